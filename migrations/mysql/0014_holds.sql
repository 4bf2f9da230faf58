-- Money reserved before an expensive call.
-- compatible_from: 1
CREATE TABLE IF NOT EXISTS holds (
  id BINARY(16) NOT NULL,
  customer_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  transno VARCHAR(160) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  amount BIGINT NOT NULL,
  captured BIGINT NOT NULL,
  currency VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  state VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  expires_at BIGINT NOT NULL,
  user_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  note VARCHAR(1024) NULL,
  body_hash BINARY(32) NOT NULL,
  balance_after BIGINT NOT NULL,
  held_after BIGINT NOT NULL,
  available_after BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY holds_transno (customer_id, transno),
  KEY holds_due (state, expires_at),
  KEY holds_customer (customer_id, created_at, id),
  KEY holds_created (created_at, id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
