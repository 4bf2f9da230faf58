use sageapi_server::domain::verify::{Verified, verify};
use sageapi_server::model::Kind;
use sageapi_server::store::Store;
use sageapi_test_support::app::App;
use sageapi_test_support::database::TestDatabase;

use crate::contract;

async fn difference(store: &Store) -> Option<String> {
    verify(store, |_| ()).await.unwrap().difference
}

async fn set(database: &TestDatabase, table: &str, what: &str, which: &str) {
    let changed = database.execute(&format!("UPDATE {table} SET {what} WHERE {which}")).await;
    assert!(changed > 0, "{table}: nothing was changed by {what} where {which}");
}

contract! {
    async fn an_untouched_ledger_verifies(db: ready) {
        assert_eq!(verify(&db.store, |_| ()).await.unwrap(), Verified::default(), "an empty one too");
        let app = App::builder(db.database.kind()).database(db.database.clone()).without_background().start().await;
        for id in ["org_a", "org_b", "org_c"] {
            app.customer(id, "100").await;
            for _ in 0..20 {
                app.book(id, Kind::Charge, "0.000000001").await;
            }
        }
        let mut heard = Vec::new();
        let verified = verify(&db.store, |seen| heard.push(seen.customers)).await.unwrap();
        assert_eq!(verified, Verified { customers: 3, records: 63, difference: None });
        assert_eq!(heard, [1, 2, 3]);
        app.stop().await;
    }

    async fn every_kind_of_tampering_is_found(db: ready) {
        let app = App::builder(db.database.kind()).database(db.database.clone()).without_background().start().await;
        for id in ["org_a", "org_b", "org_c"] {
            app.customer(id, "100").await;
            for _ in 0..5 {
                app.book(id, Kind::Charge, "1").await;
            }
        }
        let database = app.stop().await;
        let record = "customer_id = 'org_b' AND seq = 3";
        let customer = "customer_id = 'org_b'";
        // What is changed, and to what; every other row must still be as it was booked.
        let edits = [
            ("accounting_records", "amount = amount + 1", record),
            ("accounting_records", "delta = delta - 1", record),
            ("accounting_records", "balance_after = balance_after + 1", record),
            ("accounting_records", "held_after = 1", record),
            ("accounting_records", "available_after = 1", record),
            ("accounting_records", "kind = 'credit'", record),
            ("accounting_records", "transno = 'other'", record),
            ("accounting_records", "currency = 'EUR'", record),
            ("accounting_records", "user_id = 'somebody'", record),
            ("accounting_records", "llmid = 'x'", record),
            ("accounting_records", "model_name = 'x'", record),
            ("accounting_records", "pricing_id = 'x'", record),
            ("accounting_records", "pricing_version = 1", record),
            ("accounting_records", "input_tokens = 0", record),
            ("accounting_records", "output_tokens = 0", record),
            ("accounting_records", "quantity = '{}'", record),
            ("accounting_records", "unrounded = '1'", record),
            ("accounting_records", "arithmetic = '{}'", record),
            ("accounting_records", "request_id = 'x'", record),
            ("accounting_records", "note = ''", record),
            ("accounting_records", "event_time = event_time + 1", record),
            ("accounting_records", "created_at = created_at - 1", record),
            ("accounting_records", "customer_id = 'org_z'", "customer_id = 'org_b' AND seq = 6"),
            ("accounting_records", "kind = 'gift'", record),
            ("accounting_records", "seq = 9", "customer_id = 'org_b' AND seq = 6"),
            ("customer_balance", "balance = balance + 1", customer),
            ("customer_balance", "balance = balance - 1", "customer_id = 'org_c'"),
            ("customer_balance", "held = 1", customer),
            ("customer_balance", "last_seq = last_seq + 1", customer),
            ("customer_balance", "last_seq = last_seq - 1", customer),
            ("customer_balance", "customer_id = 'org_bb'", customer),
        ];
        assert_eq!(difference(&db.store).await, None);
        for (table, what, which) in edits {
            let keep = format!("CREATE TABLE kept AS SELECT * FROM {table}");
            database.execute(&keep).await;
            set(&database, table, what, which).await;
            let found = difference(&db.store).await;
            assert!(found.is_some(), "{table}: {what} where {which} was not found");
            database.execute(&format!("DELETE FROM {table}")).await;
            database.execute(&format!("INSERT INTO {table} SELECT * FROM kept")).await;
            database.execute("DROP TABLE kept").await;
            assert_eq!(difference(&db.store).await, None, "{what}: everything is as it was");
        }
        for which in ["seq = 1", "seq = 3", "seq = 6"] {
            database.execute("CREATE TABLE kept AS SELECT * FROM accounting_records").await;
            let removed = format!("DELETE FROM accounting_records WHERE customer_id = 'org_b' AND {which}");
            assert_eq!(database.execute(&removed).await, 1);
            assert!(difference(&db.store).await.is_some(), "a record with {which} was removed unnoticed");
            database.execute("DELETE FROM accounting_records").await;
            database.execute("INSERT INTO accounting_records SELECT * FROM kept").await;
            database.execute("DROP TABLE kept").await;
        }
        for orphan in ["org_a", "org_b", "org_c"] {
            database.execute("CREATE TABLE kept AS SELECT * FROM customer_balance").await;
            database.execute(&format!("DELETE FROM customer_balance WHERE customer_id = '{orphan}'")).await;
            let found = difference(&db.store).await.expect("records without a customer");
            assert!(found.starts_with(orphan), "{found}");
            database.execute("DELETE FROM customer_balance").await;
            database.execute("INSERT INTO customer_balance SELECT * FROM kept").await;
            database.execute("DROP TABLE kept").await;
        }
        assert_eq!(difference(&db.store).await, None);
    }

    async fn records_that_changed_places_are_found(db: ready) {
        let app = App::builder(db.database.kind()).database(db.database.clone()).without_background().start().await;
        app.customer("org_a", "100").await;
        for _ in 0..3 {
            app.book("org_a", Kind::Charge, "1").await;
        }
        let database = app.stop().await;
        for (from, to) in [(3, 99), (2, 3), (99, 2)] {
            set(&database, "accounting_records", &format!("seq = {to}"), &format!("seq = {from}")).await;
        }
        assert!(difference(&db.store).await.is_some());
    }

    async fn a_live_server_beside_it_does_no_harm(db: ready) {
        let app = App::builder(db.database.kind()).database(db.database.clone()).without_background().start().await;
        app.customer("org_a", "1000").await;
        let env = app.env.clone();
        let stop = tokio_util::sync::CancellationToken::new();
        let writer = tokio::spawn({
            let stop = stop.clone();
            async move {
                let mut count = 0;
                while !stop.is_cancelled() {
                    let request =
                        sageapi_test_support::app::booking("org_a", &format!("w{count}"), Kind::Charge, "0.01");
                    env.create_accounting(request).await.unwrap();
                    count += 1;
                }
                count
            }
        });
        for _ in 0..20 {
            assert_eq!(difference(&db.store).await, None);
        }
        stop.cancel();
        assert!(writer.await.unwrap() > 0);
        app.stop().await;
    }
}
