-- One row: before when usage may have been deleted, and the time zone whose days usage_daily and usage_totals have.
-- compatible_from: 1
CREATE TABLE usage_state (
  id INTEGER NOT NULL,
  floor INTEGER NOT NULL,
  time_zone TEXT NOT NULL,
  PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;
