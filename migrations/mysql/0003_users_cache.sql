-- Mirror of the platform's users. Never passwords.
-- compatible_from: 1
CREATE TABLE IF NOT EXISTS users_cache (
  id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  username VARCHAR(255) NULL,
  nick_name VARCHAR(255) NULL,
  email VARCHAR(255) NULL,
  mobile VARCHAR(64) NULL,
  orgid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  orgname VARCHAR(255) NULL,
  user_status VARCHAR(16) NULL,
  sync_from VARCHAR(64) NULL,
  created_at BIGINT NOT NULL,
  cached_at BIGINT NOT NULL,
  sync_version BIGINT NOT NULL,
  generation BIGINT NOT NULL,
  deleted SMALLINT NOT NULL,
  PRIMARY KEY (id),
  KEY users_cache_org (orgid, created_at, id),
  KEY users_cache_created (created_at, id),
  KEY users_cache_username (username, created_at, id),
  KEY users_cache_sweep (deleted, generation, id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
