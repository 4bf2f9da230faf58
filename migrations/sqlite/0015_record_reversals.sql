-- Which record takes back how much of which: derived from the ledger, for looking up.
-- compatible_from: 1
CREATE TABLE record_reversals (
  original_id BLOB NOT NULL,
  reversal_id BLOB NOT NULL,
  amount INTEGER NOT NULL,
  PRIMARY KEY (original_id, reversal_id)
) STRICT, WITHOUT ROWID;
