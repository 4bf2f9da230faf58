-- Feed rows that could not be applied, with why.
-- compatible_from: 1
CREATE TABLE sync_quarantine (
  entity_type TEXT NOT NULL,
  entity_id TEXT NOT NULL,
  version INTEGER NOT NULL,
  error_msg TEXT NOT NULL,
  row_text TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (entity_type, entity_id)
) STRICT, WITHOUT ROWID;
