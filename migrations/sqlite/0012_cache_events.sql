-- One row a commit: which cached things changed. Polled by every instance, kept ten minutes.
-- compatible_from: 1
CREATE TABLE cache_events (
  id BLOB NOT NULL,
  origin BLOB NOT NULL,
  keys_changed TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;
CREATE INDEX cache_events_created ON cache_events (created_at);
