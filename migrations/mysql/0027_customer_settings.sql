-- What administrators set of a customer has a version of its own: bookings do not move it.
-- compatible_from: 1
ALTER TABLE customer_balance
  ADD COLUMN settings_version BIGINT NOT NULL DEFAULT 1,
  ADD KEY customer_balance_status (status, created_at, customer_id);
