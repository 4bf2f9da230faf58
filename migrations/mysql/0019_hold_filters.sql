-- A hold is found by its name over all customers too, and a list of holds by person and by state.
-- compatible_from: 1
ALTER TABLE holds
  DROP KEY holds_transno,
  ADD UNIQUE KEY holds_transno (transno, customer_id),
  ADD KEY holds_state (customer_id, state, created_at, id),
  ADD KEY holds_user (customer_id, user_id, created_at, id),
  ADD KEY holds_state_created (state, created_at, id);
