-- A list of all keys by creation.
-- compatible_from: 1
ALTER TABLE dapi_keys ADD KEY dapi_keys_created (created_at, key_id);
