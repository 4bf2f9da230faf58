-- One row: before when usage may have been deleted, and the time zone whose days usage_daily and usage_totals have.
-- compatible_from: 1
CREATE TABLE IF NOT EXISTS usage_state (
  id SMALLINT NOT NULL,
  floor BIGINT NOT NULL,
  time_zone VARCHAR(64) NOT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
