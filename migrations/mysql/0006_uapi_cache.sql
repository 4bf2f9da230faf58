-- Mirror of upstream APIs. Never keys nor header templates.
-- compatible_from: 1
CREATE TABLE IF NOT EXISTS uapi_cache (
  id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  upappid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  upappname VARCHAR(255) NULL,
  baseurl VARCHAR(1024) NULL,
  name VARCHAR(255) NULL,
  path VARCHAR(1024) NULL,
  httpmethod VARCHAR(16) NULL,
  stream VARCHAR(16) NULL,
  need_auth VARCHAR(8) NULL,
  ioid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  input_fields MEDIUMTEXT NULL,
  created_at BIGINT NOT NULL,
  cached_at BIGINT NOT NULL,
  sync_version BIGINT NOT NULL,
  generation BIGINT NOT NULL,
  deleted SMALLINT NOT NULL,
  PRIMARY KEY (id),
  KEY uapi_cache_created (created_at, id),
  KEY uapi_cache_sweep (deleted, generation, id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
