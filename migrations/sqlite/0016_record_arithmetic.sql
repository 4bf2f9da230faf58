-- How the amount of a priced record was computed, so that anyone can do it again.
-- compatible_from: 1
ALTER TABLE accounting_records ADD COLUMN arithmetic TEXT NULL;
