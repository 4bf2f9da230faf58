-- Groups of users and their limits: NULL is unlimited, 0 blocks. Those of the platform, customer '', are for all customers.
-- A default group holds its own customer in default_of, '' for the platform, others NULL: so each owner has one at most.
-- compatible_from: 1
CREATE TABLE IF NOT EXISTS user_groups (
  id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  customer_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  name VARCHAR(128) NOT NULL,
  daily_tokens BIGINT NULL,
  monthly_tokens BIGINT NULL,
  requests_per_minute BIGINT NULL,
  max_tokens_per_request BIGINT NULL,
  concurrent_requests BIGINT NULL,
  default_reservation BIGINT NULL,
  time_zone VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  on_store_failure VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  default_of VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  version BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY user_groups_name (name, customer_id),
  UNIQUE KEY user_groups_default (default_of),
  KEY user_groups_created (created_at, id),
  KEY user_groups_customer (customer_id, created_at, id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
