-- Which group a user belongs to: one at most, for those who sign in here and mirrored ones alike.
-- compatible_from: 1
CREATE TABLE group_members (
  customer_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  group_id TEXT NOT NULL,
  PRIMARY KEY (customer_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_members_group ON group_members (group_id, customer_id, user_id);
