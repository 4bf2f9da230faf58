-- Mirror of pricing programs, one row a validity.
-- compatible_from: 1
CREATE TABLE IF NOT EXISTS pricing_cache (
  id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  ppid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  pricing_type VARCHAR(64) NULL,
  name VARCHAR(255) NULL,
  ownerid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  providerid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  pricing_belong VARCHAR(64) NULL,
  discount VARCHAR(64) NULL,
  currency VARCHAR(8) NULL,
  pricing_spec MEDIUMTEXT NULL,
  pricing_data MEDIUMTEXT NULL,
  enabled_date VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NULL,
  expired_date VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NULL,
  created_at BIGINT NOT NULL,
  cached_at BIGINT NOT NULL,
  sync_version BIGINT NOT NULL,
  generation BIGINT NOT NULL,
  deleted SMALLINT NOT NULL,
  PRIMARY KEY (id),
  KEY pricing_cache_ppid (ppid, enabled_date, id),
  KEY pricing_cache_created (created_at, id),
  KEY pricing_cache_sweep (deleted, generation, id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
