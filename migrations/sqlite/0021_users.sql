-- People who can sign in. The platform's have the customer '': a unique key lets NULL stand twice.
-- compatible_from: 1
CREATE TABLE users (
  id TEXT NOT NULL,
  customer_id TEXT NOT NULL,
  username TEXT NOT NULL,
  role TEXT NOT NULL,
  password_hash TEXT NULL,
  is_active INTEGER NOT NULL,
  security_version INTEGER NOT NULL,
  last_login_at INTEGER NULL,
  version INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX users_name ON users (username, customer_id);
CREATE INDEX users_created ON users (created_at, id);
CREATE INDEX users_customer ON users (customer_id, created_at, id);
