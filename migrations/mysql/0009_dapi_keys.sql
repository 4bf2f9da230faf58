-- Keys of REST clients. Secrets are sealed with AES-256-GCM; bearer tokens are kept as an HMAC.
-- compatible_from: 1
CREATE TABLE IF NOT EXISTS dapi_keys (
  key_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  name VARCHAR(128) NULL,
  customer_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  scopes VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  auth_mode VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  secret VARBINARY(512) NULL,
  previous_secret VARBINARY(512) NULL,
  previous_until BIGINT NULL,
  token_hash BINARY(32) NULL,
  previous_token_hash BINARY(32) NULL,
  enabled SMALLINT NOT NULL,
  expires_at BIGINT NULL,
  allowed_cidrs VARCHAR(1024) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  version BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (key_id),
  UNIQUE KEY dapi_keys_name (name),
  UNIQUE KEY dapi_keys_token (token_hash),
  UNIQUE KEY dapi_keys_previous_token (previous_token_hash),
  KEY dapi_keys_customer (customer_id, created_at, key_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
