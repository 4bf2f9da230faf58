-- Sums over usage_totals of all customers by day, kept by the instance that does the housekeeping. The cost stands in whole units
-- and billionths: added up over customers it may exceed 64 bits.
-- compatible_from: 1
CREATE TABLE platform_daily (
  day TEXT NOT NULL,
  currency TEXT NOT NULL,
  requests INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cost_units INTEGER NOT NULL,
  cost_nanos INTEGER NOT NULL,
  unpriced INTEGER NOT NULL,
  PRIMARY KEY (day, currency)
) STRICT, WITHOUT ROWID;
