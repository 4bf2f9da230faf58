-- Mirror of models and where they are offered.
-- compatible_from: 1
CREATE TABLE llmage_cache (
  id TEXT NOT NULL,
  llmid TEXT NULL,
  name TEXT NULL,
  model TEXT NULL,
  providerid TEXT NULL,
  ownerid TEXT NULL,
  upappid TEXT NULL,
  llmcatelogid TEXT NULL,
  catelogname TEXT NULL,
  apiname TEXT NULL,
  ppid TEXT NULL,
  isdefaultcatelog TEXT NULL,
  min_balance INTEGER NULL,
  status TEXT NULL,
  enabled_date TEXT NULL,
  expired_date TEXT NULL,
  created_at INTEGER NOT NULL,
  cached_at INTEGER NOT NULL,
  sync_version INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  deleted INTEGER NOT NULL,
  PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;
CREATE INDEX llmage_cache_llmid ON llmage_cache (llmid, created_at, id);
CREATE INDEX llmage_cache_ppid ON llmage_cache (ppid, status);
CREATE INDEX llmage_cache_program ON llmage_cache (ppid, created_at, id);
CREATE INDEX llmage_cache_created ON llmage_cache (created_at, id);
CREATE INDEX llmage_cache_sweep ON llmage_cache (deleted, generation, id);
