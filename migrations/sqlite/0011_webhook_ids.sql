-- Events seen, as the first 16 bytes of a hash over the webhook-id.
-- compatible_from: 1
CREATE TABLE webhook_ids (
  id_hash BLOB NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (id_hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_ids_expiry ON webhook_ids (expires_at);
