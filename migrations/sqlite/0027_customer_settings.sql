-- What administrators set of a customer has a version of its own: bookings do not move it.
-- compatible_from: 1
ALTER TABLE customer_balance ADD COLUMN settings_version INTEGER NOT NULL DEFAULT 1;
CREATE INDEX customer_balance_status ON customer_balance (status, created_at, customer_id);
