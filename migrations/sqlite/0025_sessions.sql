-- One row a session; its id is the family of its tokens, which are computed and never stored.
-- compatible_from: 1
CREATE TABLE sessions (
  id BLOB NOT NULL,
  kind TEXT NOT NULL,
  user_id TEXT NOT NULL,
  customer_id TEXT NOT NULL,
  generation INTEGER NOT NULL,
  generation_seen INTEGER NOT NULL,
  kid TEXT NOT NULL,
  rotated_at INTEGER NOT NULL,
  idle_until INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  last_seen INTEGER NULL,
  reauthenticated_at INTEGER NOT NULL,
  revoked_at INTEGER NULL,
  revoked_reason TEXT NULL,
  device_name TEXT NULL,
  address TEXT NULL,
  version INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_created ON sessions (created_at, id);
CREATE INDEX sessions_customer ON sessions (customer_id, created_at, id);
CREATE INDEX sessions_user ON sessions (user_id, created_at, id);
CREATE INDEX sessions_idle ON sessions (idle_until);
