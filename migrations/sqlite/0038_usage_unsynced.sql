-- Usage records of an edge that the primary does not have yet: written with them, deleted when it does.
-- compatible_from: 1
CREATE TABLE usage_unsynced (
  customer_id TEXT NOT NULL,
  useq INTEGER NOT NULL,
  id BLOB NOT NULL,
  received_at INTEGER NOT NULL,
  PRIMARY KEY (customer_id, useq)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX usage_unsynced_id ON usage_unsynced (id);
CREATE INDEX usage_unsynced_received ON usage_unsynced (received_at, customer_id, useq);
