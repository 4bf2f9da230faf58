-- Groups of users and their limits: NULL is unlimited, 0 blocks. Those of the platform, customer '', are for all customers.
-- A default group holds its own customer in default_of, '' for the platform, others NULL: so each owner has one at most.
-- compatible_from: 1
CREATE TABLE user_groups (
  id TEXT NOT NULL,
  customer_id TEXT NOT NULL,
  name TEXT NOT NULL,
  daily_tokens INTEGER NULL,
  monthly_tokens INTEGER NULL,
  requests_per_minute INTEGER NULL,
  max_tokens_per_request INTEGER NULL,
  concurrent_requests INTEGER NULL,
  default_reservation INTEGER NULL,
  time_zone TEXT NULL,
  on_store_failure TEXT NOT NULL,
  default_of TEXT NULL,
  version INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX user_groups_name ON user_groups (name, customer_id);
CREATE UNIQUE INDEX user_groups_default ON user_groups (default_of);
CREATE INDEX user_groups_created ON user_groups (created_at, id);
CREATE INDEX user_groups_customer ON user_groups (customer_id, created_at, id);
