-- One row a session; its id is the family of its tokens, which are computed and never stored.
-- compatible_from: 1
CREATE TABLE IF NOT EXISTS sessions (
  id BINARY(16) NOT NULL,
  kind VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  user_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  customer_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  generation BIGINT NOT NULL,
  generation_seen BIGINT NOT NULL,
  kid VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  rotated_at BIGINT NOT NULL,
  idle_until BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  last_seen BIGINT NULL,
  reauthenticated_at BIGINT NOT NULL,
  revoked_at BIGINT NULL,
  revoked_reason VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
  device_name VARCHAR(128) NULL,
  address VARCHAR(45) CHARACTER SET ascii COLLATE ascii_bin NULL,
  version BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (id),
  KEY sessions_created (created_at, id),
  KEY sessions_customer (customer_id, created_at, id),
  KEY sessions_user (user_id, created_at, id),
  KEY sessions_idle (idle_until)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
