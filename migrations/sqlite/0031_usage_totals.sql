-- Sums over usage_logs by day of the event, written in the same commits.
-- compatible_from: 1
CREATE TABLE usage_totals (
  customer_id TEXT NOT NULL,
  day TEXT NOT NULL,
  currency TEXT NOT NULL,
  requests INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cost INTEGER NOT NULL,
  unpriced INTEGER NOT NULL,
  PRIMARY KEY (customer_id, day, currency)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_totals_day ON usage_totals (day, customer_id, currency);
