-- One row a customer. Written by the booking engine alone.
-- compatible_from: 1
CREATE TABLE customer_balance (
  customer_id TEXT NOT NULL,
  balance INTEGER NOT NULL,
  held INTEGER NOT NULL,
  holds_made INTEGER NOT NULL,
  currency TEXT NOT NULL,
  credit_limit INTEGER NOT NULL,
  status TEXT NOT NULL,
  mode TEXT NULL,
  usage_billing TEXT NOT NULL,
  upstream_balance INTEGER NULL,
  last_seq INTEGER NOT NULL,
  last_hash BLOB NOT NULL,
  version INTEGER NOT NULL,
  last_recharge INTEGER NULL,
  last_consumption INTEGER NULL,
  sync_version INTEGER NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (customer_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX customer_balance_created ON customer_balance (created_at, customer_id);
