-- Work that one instance does at a time.
-- compatible_from: 1
CREATE TABLE leases (
  name TEXT NOT NULL,
  lease_owner TEXT NULL,
  lease_until INTEGER NOT NULL,
  fencing_token INTEGER NOT NULL,
  PRIMARY KEY (name)
) STRICT, WITHOUT ROWID;
