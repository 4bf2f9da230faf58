-- How many sign-ins may be tried: a bucket is full again at full_at, and its row can go then.
-- compatible_from: 1
CREATE TABLE IF NOT EXISTS login_throttle (
  bucket BINARY(32) NOT NULL,
  full_at BIGINT NOT NULL,
  attempts BIGINT NOT NULL,
  locked_until BIGINT NOT NULL,
  PRIMARY KEY (bucket),
  KEY login_throttle_full (full_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
