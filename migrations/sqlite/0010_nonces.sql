-- Nonces of signed writes, as the first 16 bytes of a hash over key and nonce.
-- compatible_from: 1
CREATE TABLE nonces (
  nonce_hash BLOB NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (nonce_hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX nonces_expiry ON nonces (expires_at);
