-- Admitted checks. Closed ones are kept for a day.
-- compatible_from: 1
CREATE TABLE IF NOT EXISTS quota_reservations (
  id BINARY(16) NOT NULL,
  customer_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  user_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  request_id VARCHAR(160) CHARACTER SET ascii COLLATE ascii_bin NULL,
  -- The request_id while it is open, else NULL.
  open_request_id VARCHAR(160) CHARACTER SET ascii COLLATE ascii_bin NULL,
  declared BIGINT NOT NULL,
  day_start BIGINT NOT NULL,
  month_start BIGINT NOT NULL,
  state VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  expires_at BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY quota_reservations_request (customer_id, user_id, open_request_id),
  KEY quota_reservations_subject (customer_id, user_id, state, expires_at),
  KEY quota_reservations_due (state, expires_at, customer_id),
  KEY quota_reservations_closed (state, updated_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
