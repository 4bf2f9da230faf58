-- How many sign-ins may be tried: a bucket is full again at full_at, and its row can go then.
-- compatible_from: 1
CREATE TABLE login_throttle (
  bucket BLOB NOT NULL,
  full_at INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  locked_until INTEGER NOT NULL,
  PRIMARY KEY (bucket)
) STRICT, WITHOUT ROWID;
CREATE INDEX login_throttle_full ON login_throttle (full_at);
