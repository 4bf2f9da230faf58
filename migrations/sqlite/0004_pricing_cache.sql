-- Mirror of pricing programs, one row a validity.
-- compatible_from: 1
CREATE TABLE pricing_cache (
  id TEXT NOT NULL,
  ppid TEXT NULL,
  pricing_type TEXT NULL,
  name TEXT NULL,
  ownerid TEXT NULL,
  providerid TEXT NULL,
  pricing_belong TEXT NULL,
  discount TEXT NULL,
  currency TEXT NULL,
  pricing_spec TEXT NULL,
  pricing_data TEXT NULL,
  enabled_date TEXT NULL,
  expired_date TEXT NULL,
  created_at INTEGER NOT NULL,
  cached_at INTEGER NOT NULL,
  sync_version INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  deleted INTEGER NOT NULL,
  PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;
CREATE INDEX pricing_cache_ppid ON pricing_cache (ppid, enabled_date, id);
CREATE INDEX pricing_cache_created ON pricing_cache (created_at, id);
CREATE INDEX pricing_cache_sweep ON pricing_cache (deleted, generation, id);
