-- Admitted checks. Closed ones are kept for a day.
-- compatible_from: 1
CREATE TABLE quota_reservations (
  id BLOB NOT NULL,
  customer_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  request_id TEXT NULL,
  -- The request_id while it is open, else NULL.
  open_request_id TEXT NULL,
  declared INTEGER NOT NULL,
  day_start INTEGER NOT NULL,
  month_start INTEGER NOT NULL,
  state TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX quota_reservations_request ON quota_reservations (customer_id, user_id, open_request_id);
CREATE INDEX quota_reservations_subject ON quota_reservations (customer_id, user_id, state, expires_at);
CREATE INDEX quota_reservations_due ON quota_reservations (state, expires_at, customer_id);
CREATE INDEX quota_reservations_closed ON quota_reservations (state, updated_at);
