-- Each customer's due holds have a range of their own: after a long pause there are very many, and each commit looks.
-- compatible_from: 1
CREATE INDEX holds_expiring ON holds (customer_id, state, expires_at);
