-- What is counted of users: tokens by day and month (kinds day, month), and requests and open reservations (kind live, whose
-- window_start is 0). A new window is a new row, and nothing is reset.
-- compatible_from: 1
CREATE TABLE quota_counters (
  customer_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  window_start INTEGER NOT NULL,
  window_end INTEGER NOT NULL,
  used INTEGER NOT NULL,
  reserved INTEGER NOT NULL,
  ring BLOB NOT NULL,
  PRIMARY KEY (customer_id, user_id, kind, window_start)
) STRICT, WITHOUT ROWID;
CREATE INDEX quota_counters_ended ON quota_counters (window_end);
