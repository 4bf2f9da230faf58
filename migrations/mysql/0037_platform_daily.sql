-- Sums over usage_totals of all customers by day, kept by the instance that does the housekeeping. The cost stands in whole units
-- and billionths: added up over customers it may exceed 64 bits.
-- compatible_from: 1
CREATE TABLE IF NOT EXISTS platform_daily (
  day VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  currency VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  requests BIGINT NOT NULL,
  errors BIGINT NOT NULL,
  input_tokens BIGINT NOT NULL,
  output_tokens BIGINT NOT NULL,
  cost_units BIGINT NOT NULL,
  cost_nanos BIGINT NOT NULL,
  unpriced BIGINT NOT NULL,
  PRIMARY KEY (day, currency)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
