-- A booking is found by its name over all customers too, and a customer's records by their model.
-- compatible_from: 1
DROP INDEX accounting_records_transno;
CREATE UNIQUE INDEX accounting_records_transno ON accounting_records (transno, customer_id);
CREATE INDEX accounting_records_model ON accounting_records (customer_id, model_name, seq);
