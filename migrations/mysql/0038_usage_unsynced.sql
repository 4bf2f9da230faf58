-- Usage records of an edge that the primary does not have yet: written with them, deleted when it does.
-- compatible_from: 1
CREATE TABLE IF NOT EXISTS usage_unsynced (
  customer_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  useq BIGINT NOT NULL,
  id BINARY(16) NOT NULL,
  received_at BIGINT NOT NULL,
  PRIMARY KEY (customer_id, useq),
  UNIQUE KEY usage_unsynced_id (id),
  KEY usage_unsynced_received (received_at, customer_id, useq)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
