-- Whose the due holds are is read from the index: after a long pause there are very many, and each commit looks.
-- compatible_from: 1
DROP INDEX holds_due;
CREATE INDEX holds_due ON holds (state, expires_at, customer_id);
