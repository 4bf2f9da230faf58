-- One row a customer. Written by the booking engine alone.
-- compatible_from: 1
CREATE TABLE IF NOT EXISTS customer_balance (
  customer_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  balance BIGINT NOT NULL,
  held BIGINT NOT NULL,
  holds_made BIGINT NOT NULL,
  currency VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  credit_limit BIGINT NOT NULL,
  status VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  mode VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NULL,
  usage_billing VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  upstream_balance BIGINT NULL,
  last_seq BIGINT NOT NULL,
  last_hash BINARY(32) NOT NULL,
  version BIGINT NOT NULL,
  last_recharge BIGINT NULL,
  last_consumption BIGINT NULL,
  sync_version BIGINT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (customer_id),
  KEY customer_balance_created (created_at, customer_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
