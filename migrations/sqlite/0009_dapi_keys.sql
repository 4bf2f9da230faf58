-- Keys of REST clients. Secrets are sealed with AES-256-GCM; bearer tokens are kept as an HMAC.
-- compatible_from: 1
CREATE TABLE dapi_keys (
  key_id TEXT NOT NULL,
  name TEXT NULL,
  customer_id TEXT NULL,
  scopes TEXT NOT NULL,
  auth_mode TEXT NOT NULL,
  secret BLOB NULL,
  previous_secret BLOB NULL,
  previous_until INTEGER NULL,
  token_hash BLOB NULL,
  previous_token_hash BLOB NULL,
  enabled INTEGER NOT NULL,
  expires_at INTEGER NULL,
  allowed_cidrs TEXT NOT NULL,
  version INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (key_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX dapi_keys_name ON dapi_keys (name);
CREATE UNIQUE INDEX dapi_keys_token ON dapi_keys (token_hash);
CREATE UNIQUE INDEX dapi_keys_previous_token ON dapi_keys (previous_token_hash);
CREATE INDEX dapi_keys_customer ON dapi_keys (customer_id, created_at, key_id);
