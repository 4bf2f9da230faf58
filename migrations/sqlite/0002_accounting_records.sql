-- The ledger. Rows are never rewritten.
-- compatible_from: 1
CREATE TABLE accounting_records (
  customer_id TEXT NOT NULL,
  seq INTEGER NOT NULL,
  id BLOB NOT NULL,
  transno TEXT NOT NULL,
  kind TEXT NOT NULL,
  amount INTEGER NOT NULL,
  delta INTEGER NOT NULL,
  currency TEXT NOT NULL,
  user_id TEXT NULL,
  llmid TEXT NULL,
  model_name TEXT NULL,
  pricing_id TEXT NULL,
  pricing_version INTEGER NULL,
  input_tokens INTEGER NULL,
  output_tokens INTEGER NULL,
  total_tokens INTEGER NULL,
  quantity TEXT NULL,
  unrounded TEXT NULL,
  request_id TEXT NULL,
  reverses BLOB NULL,
  hold_id BLOB NULL,
  note TEXT NULL,
  balance_after INTEGER NOT NULL,
  held_after INTEGER NOT NULL,
  available_after INTEGER NOT NULL,
  body_hash BLOB NOT NULL,
  prev_hash BLOB NOT NULL,
  hash BLOB NOT NULL,
  event_time INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (customer_id, seq)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX accounting_records_id ON accounting_records (id);
CREATE UNIQUE INDEX accounting_records_transno ON accounting_records (customer_id, transno);
CREATE INDEX accounting_records_created ON accounting_records (created_at, id);
CREATE INDEX accounting_records_time ON accounting_records (customer_id, created_at, seq);
CREATE INDEX accounting_records_user ON accounting_records (customer_id, user_id, seq);
CREATE INDEX accounting_records_request ON accounting_records (request_id, customer_id, seq);
