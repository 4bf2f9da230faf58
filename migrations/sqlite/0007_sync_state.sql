-- One row an entity: cursor, result of the last run, and the lease of its one runner.
-- compatible_from: 1
CREATE TABLE sync_state (
  entity_type TEXT NOT NULL,
  entity_id TEXT NOT NULL,
  `cursor` TEXT NULL,
  generation INTEGER NOT NULL,
  snapshot INTEGER NOT NULL,
  last_sync_time INTEGER NULL,
  last_snapshot_time INTEGER NULL,
  sync_version INTEGER NOT NULL,
  sync_status TEXT NOT NULL,
  error_class TEXT NULL,
  error_msg TEXT NULL,
  retry_count INTEGER NOT NULL,
  rows_applied INTEGER NOT NULL,
  lease_owner TEXT NULL,
  lease_until INTEGER NOT NULL,
  fencing_token INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (entity_type, entity_id)
) STRICT, WITHOUT ROWID;
