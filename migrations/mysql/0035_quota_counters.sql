-- What is counted of users: tokens by day and month (kinds day, month), and requests and open reservations (kind live, whose
-- window_start is 0). A new window is a new row, and nothing is reset.
-- compatible_from: 1
CREATE TABLE IF NOT EXISTS quota_counters (
  customer_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  user_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  kind VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  window_start BIGINT NOT NULL,
  window_end BIGINT NOT NULL,
  used BIGINT NOT NULL,
  reserved BIGINT NOT NULL,
  ring VARBINARY(320) NOT NULL,
  PRIMARY KEY (customer_id, user_id, kind, window_start),
  KEY quota_counters_ended (window_end)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
