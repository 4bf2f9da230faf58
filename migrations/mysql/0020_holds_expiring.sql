-- Each customer's due holds have a range of their own: after a long pause there are very many, and each commit looks.
-- compatible_from: 1
ALTER TABLE holds ADD KEY holds_expiring (customer_id, state, expires_at);
