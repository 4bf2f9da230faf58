-- A list of all keys by creation.
-- compatible_from: 1
CREATE INDEX dapi_keys_created ON dapi_keys (created_at, key_id);
