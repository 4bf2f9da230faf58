-- Sums over usage_logs by day of the event, user, group and model, written in the same commits. They outlive the rows.
-- compatible_from: 1
CREATE TABLE usage_daily (
  customer_id TEXT NOT NULL,
  day TEXT NOT NULL,
  user_id TEXT NOT NULL,
  group_id TEXT NOT NULL,
  model TEXT NOT NULL,
  currency TEXT NOT NULL,
  requests INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cost INTEGER NOT NULL,
  unpriced INTEGER NOT NULL,
  PRIMARY KEY (customer_id, day, user_id, group_id, model, currency)
) STRICT, WITHOUT ROWID;
