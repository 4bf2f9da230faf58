-- Mirror of upstream APIs. Never keys nor header templates.
-- compatible_from: 1
CREATE TABLE uapi_cache (
  id TEXT NOT NULL,
  upappid TEXT NULL,
  upappname TEXT NULL,
  baseurl TEXT NULL,
  name TEXT NULL,
  path TEXT NULL,
  httpmethod TEXT NULL,
  stream TEXT NULL,
  need_auth TEXT NULL,
  ioid TEXT NULL,
  input_fields TEXT NULL,
  created_at INTEGER NOT NULL,
  cached_at INTEGER NOT NULL,
  sync_version INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  deleted INTEGER NOT NULL,
  PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;
CREATE INDEX uapi_cache_created ON uapi_cache (created_at, id);
CREATE INDEX uapi_cache_sweep ON uapi_cache (deleted, generation, id);
