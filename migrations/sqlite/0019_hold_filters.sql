-- A hold is found by its name over all customers too, and a list of holds by person and by state.
-- compatible_from: 1
DROP INDEX holds_transno;
CREATE UNIQUE INDEX holds_transno ON holds (transno, customer_id);
CREATE INDEX holds_state ON holds (customer_id, state, created_at, id);
CREATE INDEX holds_user ON holds (customer_id, user_id, created_at, id);
CREATE INDEX holds_state_created ON holds (state, created_at, id);
