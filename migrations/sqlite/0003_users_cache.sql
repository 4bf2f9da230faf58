-- Mirror of the platform's users. Never passwords.
-- compatible_from: 1
CREATE TABLE users_cache (
  id TEXT NOT NULL,
  username TEXT NULL,
  nick_name TEXT NULL,
  email TEXT NULL,
  mobile TEXT NULL,
  orgid TEXT NULL,
  orgname TEXT NULL,
  user_status TEXT NULL,
  sync_from TEXT NULL,
  created_at INTEGER NOT NULL,
  cached_at INTEGER NOT NULL,
  sync_version INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  deleted INTEGER NOT NULL,
  PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;
CREATE INDEX users_cache_org ON users_cache (orgid, created_at, id);
CREATE INDEX users_cache_created ON users_cache (created_at, id);
CREATE INDEX users_cache_username ON users_cache (username, created_at, id);
CREATE INDEX users_cache_sweep ON users_cache (deleted, generation, id);
