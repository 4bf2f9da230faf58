-- Which group a user belongs to: one at most, for those who sign in here and mirrored ones alike.
-- compatible_from: 1
CREATE TABLE IF NOT EXISTS group_members (
  customer_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  user_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  group_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY (customer_id, user_id),
  KEY group_members_group (group_id, customer_id, user_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
