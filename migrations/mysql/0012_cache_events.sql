-- One row a commit: which cached things changed. Polled by every instance, kept ten minutes.
-- compatible_from: 1
CREATE TABLE IF NOT EXISTS cache_events (
  id BINARY(16) NOT NULL,
  origin BINARY(16) NOT NULL,
  keys_changed MEDIUMTEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (id),
  KEY cache_events_created (created_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
