-- Which record takes back how much of which: derived from the ledger, for looking up.
-- compatible_from: 1
CREATE TABLE IF NOT EXISTS record_reversals (
  original_id BINARY(16) NOT NULL,
  reversal_id BINARY(16) NOT NULL,
  amount BIGINT NOT NULL,
  PRIMARY KEY (original_id, reversal_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
