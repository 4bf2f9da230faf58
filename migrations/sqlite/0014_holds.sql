-- Money reserved before an expensive call.
-- compatible_from: 1
CREATE TABLE holds (
  id BLOB NOT NULL,
  customer_id TEXT NOT NULL,
  transno TEXT NOT NULL,
  amount INTEGER NOT NULL,
  captured INTEGER NOT NULL,
  currency TEXT NOT NULL,
  state TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  user_id TEXT NULL,
  note TEXT NULL,
  body_hash BLOB NOT NULL,
  balance_after INTEGER NOT NULL,
  held_after INTEGER NOT NULL,
  available_after INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX holds_transno ON holds (customer_id, transno);
CREATE INDEX holds_due ON holds (state, expires_at);
CREATE INDEX holds_customer ON holds (customer_id, created_at, id);
CREATE INDEX holds_created ON holds (created_at, id);
