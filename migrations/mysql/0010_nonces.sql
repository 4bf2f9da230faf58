-- Nonces of signed writes, as the first 16 bytes of a hash over key and nonce.
-- compatible_from: 1
CREATE TABLE IF NOT EXISTS nonces (
  nonce_hash BINARY(16) NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (nonce_hash),
  KEY nonces_expiry (expires_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
