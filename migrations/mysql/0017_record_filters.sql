-- A booking is found by its name over all customers too, and a customer's records by their model.
-- compatible_from: 1
ALTER TABLE accounting_records
  DROP KEY accounting_records_transno,
  ADD UNIQUE KEY accounting_records_transno (transno, customer_id),
  ADD KEY accounting_records_model (customer_id, model_name, seq);
