-- One row an entity: cursor, result of the last run, and the lease of its one runner.
-- compatible_from: 1
CREATE TABLE IF NOT EXISTS sync_state (
  entity_type VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  entity_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `cursor` VARCHAR(1024) NULL,
  generation BIGINT NOT NULL,
  snapshot SMALLINT NOT NULL,
  last_sync_time BIGINT NULL,
  last_snapshot_time BIGINT NULL,
  sync_version BIGINT NOT NULL,
  sync_status VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  error_class VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
  error_msg VARCHAR(1024) NULL,
  retry_count BIGINT NOT NULL,
  rows_applied BIGINT NOT NULL,
  lease_owner VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  lease_until BIGINT NOT NULL,
  fencing_token BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (entity_type, entity_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
