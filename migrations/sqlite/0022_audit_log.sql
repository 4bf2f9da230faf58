-- Who changed what, in the transaction of the change.
-- compatible_from: 1
CREATE TABLE audit_log (
  id BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  actor_kind TEXT NOT NULL,
  actor_id TEXT NOT NULL,
  action TEXT NOT NULL,
  object_kind TEXT NOT NULL,
  object_id TEXT NOT NULL,
  customer_id TEXT NOT NULL,
  diff TEXT NOT NULL,
  request_id TEXT NULL,
  address TEXT NULL,
  PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_log_created ON audit_log (created_at, id);
CREATE INDEX audit_log_customer ON audit_log (customer_id, created_at, id);
CREATE INDEX audit_log_object ON audit_log (object_kind, object_id, created_at, id);
CREATE INDEX audit_log_actor ON audit_log (actor_id, created_at, id);
