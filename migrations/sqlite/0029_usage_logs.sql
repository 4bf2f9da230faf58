-- What users consumed, once for each request. Rows are never rewritten.
-- compatible_from: 1
CREATE TABLE usage_logs (
  customer_id TEXT NOT NULL,
  useq INTEGER NOT NULL,
  id BLOB NOT NULL,
  request_id TEXT NOT NULL,
  user_id TEXT NULL,
  group_id TEXT NULL,
  model TEXT NULL,
  actual_model TEXT NULL,
  llmid TEXT NULL,
  pricing_id TEXT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  total_tokens INTEGER NOT NULL,
  quantity TEXT NULL,
  is_streaming INTEGER NULL,
  upstream_url TEXT NULL,
  status_code INTEGER NULL,
  duration_ms INTEGER NULL,
  source_node TEXT NULL,
  cost INTEGER NULL,
  currency TEXT NOT NULL,
  pricing_version INTEGER NULL,
  unrounded TEXT NULL,
  arithmetic TEXT NULL,
  unpriced TEXT NULL,
  billing TEXT NOT NULL,
  uncharged TEXT NULL,
  record_id BLOB NULL,
  hold_id BLOB NULL,
  hold_use TEXT NULL,
  reservation_id BLOB NULL,
  reservation_use TEXT NULL,
  body_hash BLOB NOT NULL,
  event_time INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  PRIMARY KEY (customer_id, useq)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX usage_logs_id ON usage_logs (id);
CREATE UNIQUE INDEX usage_logs_request ON usage_logs (customer_id, request_id);
CREATE INDEX usage_logs_user ON usage_logs (customer_id, user_id, useq);
CREATE INDEX usage_logs_received ON usage_logs (received_at, customer_id, useq);
