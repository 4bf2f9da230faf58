-- Events seen, as the first 16 bytes of a hash over the webhook-id.
-- compatible_from: 1
CREATE TABLE IF NOT EXISTS webhook_ids (
  id_hash BINARY(16) NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (id_hash),
  KEY webhook_ids_expiry (expires_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
