-- The place and the time of a customer's newest row in usage_logs. Defaults let instances of the version before go on.
-- compatible_from: 1
ALTER TABLE customer_balance
  ADD COLUMN last_useq BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN last_usage_at BIGINT NOT NULL DEFAULT 0;
