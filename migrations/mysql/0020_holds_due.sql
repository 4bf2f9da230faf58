-- Whose the due holds are is read from the index: after a long pause there are very many, and each commit looks.
-- compatible_from: 1
ALTER TABLE holds
  DROP KEY holds_due,
  ADD KEY holds_due (state, expires_at, customer_id);
