use std::time::Duration;

use sageapi_server::domain::booking::{Action, Booking};
use sageapi_server::domain::verify::{Verified, verify};
use sageapi_server::model::{Kind, Timestamp};
use sageapi_server::store::{LedgerChanges, NewCustomer, RecordFilter, Store, Window};
use sageapi_test_support::app::App;
use sageapi_test_support::database::TestDatabase;

use crate::engine::{self, Teller};
use crate::{Db, cny, contract, customer, money, record};

const HOUR: Duration = Duration::from_hours(1);

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
        // It hears of each page of records too.
        let verified = verify(&db.store, |seen| heard.push((seen.customers, seen.records))).await.unwrap();
        heard.dedup();
        assert_eq!(verified, Verified { customers: 3, records: 63, ..Verified::default() });
        assert_eq!(heard, [(1, 21), (2, 42), (3, 63)]);
        app.stop().await;
    }

    async fn every_kind_of_tampering_is_found(db: ready) {
        let engine = engine::start(&db.store);
        for id in ["org_a", "org_b", "org_c"] {
            fill(&db, &engine, id).await;
        }
        engine.drain().await;
        assert_eq!(difference(&db.store).await, None);
        let record = "customer_id = 'org_b' AND seq = 6";
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
            ("accounting_records", "currency = 'eur'", record),
            ("accounting_records", "user_id = 'somebody'", record),
            ("accounting_records", "llmid = 'x'", record),
            ("accounting_records", "model_name = 'x'", record),
            ("accounting_records", "pricing_id = 'x'", record),
            ("accounting_records", "pricing_version = 1", record),
            ("accounting_records", "input_tokens = 0", record),
            ("accounting_records", "output_tokens = 0", record),
            ("accounting_records", "total_tokens = 8", record),
            ("accounting_records", "total_tokens = NULL", record),
            ("accounting_records", "quantity = '{}'", record),
            ("accounting_records", "unrounded = '1'", record),
            ("accounting_records", "arithmetic = '{}'", record),
            ("accounting_records", "request_id = 'x'", record),
            ("accounting_records", "note = ''", record),
            ("accounting_records", "event_time = event_time + 1", record),
            ("accounting_records", "created_at = created_at - 1", record),
            ("accounting_records", "reverses = id", record),
            ("accounting_records", "hold_id = id", record),
            ("accounting_records", "amount = 9223372036854775807", record),
            ("accounting_records", "customer_id = 'org_z'", "customer_id = 'org_c' AND seq = 9"),
            ("accounting_records", "kind = 'gift'", record),
            ("accounting_records", "seq = 99", "customer_id = 'org_b' AND seq = 9"),
            ("customer_balance", "balance = balance + 1", customer),
            ("customer_balance", "balance = balance - 1", "customer_id = 'org_c'"),
            ("customer_balance", "balance = 9223372036854775807", customer),
            ("customer_balance", "held = held + 1", customer),
            ("customer_balance", "holds_made = holds_made - 1", customer),
            ("customer_balance", "holds_made = holds_made + 1", customer),
            ("customer_balance", "currency = 'USD'", customer),
            ("customer_balance", "status = 'x'", customer),
            ("customer_balance", "last_seq = last_seq + 1", customer),
            ("customer_balance", "last_seq = last_seq - 1", customer),
            ("customer_balance", "customer_id = 'org_bb'", customer),
            ("holds", "state = 'released'", "customer_id = 'org_b' AND state = 'open'"),
            ("holds", "state = 'open'", "customer_id = 'org_b' AND state = 'released'"),
            ("holds", "state = 'captured', captured = amount", "customer_id = 'org_b' AND state = 'released'"),
            ("holds", "state = 'released'", "customer_id = 'org_b' AND transno = 'h1'"),
            ("holds", "state = 'released', captured = 0", "customer_id = 'org_b' AND transno = 'h1'"),
            ("holds", "captured = captured + 1", "customer_id = 'org_b' AND transno = 'h1'"),
            ("holds", "captured = 1", "customer_id = 'org_b' AND state = 'released'"),
            ("holds", "amount = amount + 1", "customer_id = 'org_b' AND state = 'open'"),
            ("holds", "amount = -9223372036854775807", "customer_id = 'org_b' AND state = 'released'"),
            ("holds", "currency = 'USD'", "customer_id = 'org_b' AND state = 'released'"),
            ("holds", "state = 'x'", "customer_id = 'org_b' AND state = 'released'"),
            ("holds", "customer_id = 'org_bb'", "customer_id = 'org_b' AND state = 'released'"),
            ("holds", "customer_id = 'org_a', transno = 'h9'", "customer_id = 'org_b' AND state = 'released'"),
            ("holds", "updated_at = updated_at + 1", "customer_id = 'org_b' AND transno = 'h1'"),
            ("record_reversals", "amount = amount + 1", "amount = 2000000000"),
            ("record_reversals", "amount = -1", "amount = 2000000000"),
            ("record_reversals", "amount = 9223372036854775807", "amount = 2000000000"),
            ("record_reversals", "original_id = reversal_id", "amount = 2000000000"),
        ];
        for (table, what, which) in edits {
            found(&db, table, &format!("UPDATE {table} SET {what} WHERE {which}")).await;
        }
        for seq in [1, 3, 5, 6, 9] {
            let removed = format!("DELETE FROM accounting_records WHERE customer_id = 'org_b' AND seq = {seq}");
            found(&db, "accounting_records", &removed).await;
        }
        // Records that nobody booked, before the first one and under the name of a hold.
        let columns = "customer_id, id, transno, kind, amount, delta, currency, balance_after, held_after, \
             available_after, body_hash, prev_hash, hash, event_time, created_at";
        let values = "customer_id, X'00112233445566778899aabbccddeeff', 'foreign', kind, amount, delta, currency, \
             balance_after, held_after, available_after, body_hash, prev_hash, hash, event_time, created_at";
        for seq in [0, -5, 99] {
            let inserted = format!(
                "INSERT INTO accounting_records (seq, {columns}) \
                 SELECT {seq}, {values} FROM accounting_records WHERE {record}"
            );
            let found = found(&db, "accounting_records", &inserted).await;
            assert!(found.starts_with("org_b"), "{found}");
        }
        let renamed = "UPDATE holds SET transno = 't1' WHERE customer_id = 'org_b' AND state = 'open'";
        assert!(found(&db, "holds", renamed).await.contains("t1"));
        for state in ["open", "captured", "released"] {
            let removed = format!("DELETE FROM holds WHERE customer_id = 'org_b' AND state = '{state}'");
            found(&db, "holds", &removed).await;
        }
        found(&db, "record_reversals", "DELETE FROM record_reversals").await;
        for reversal in ["id", "X'00112233445566778899aabbccddeeff'"] {
            // The record would show as reversed, and a true reversal be refused.
            let phantom = format!(
                "INSERT INTO record_reversals (original_id, reversal_id, amount) \
                 SELECT id, {reversal}, 3000000000 FROM accounting_records WHERE transno = 't2'"
            );
            found(&db, "record_reversals", &phantom).await;
        }
        for id in ["org_a", "org_b", "org_c"] {
            let removed = format!("DELETE FROM customer_balance WHERE customer_id = '{id}'");
            let found = found(&db, "customer_balance", &removed).await;
            assert!(found.starts_with(id), "{found}");
        }
    }

    async fn a_hold_that_two_records_settle_is_found(db: ready) {
        let engine = engine::start(&db.store);
        fill(&db, &engine, "org_a").await;
        engine.drain().await;
        let filter = RecordFilter { customer_id: Some(customer("org_a")), ..RecordFilter::default() };
        let records = db.store.list(&filter, &Window::newest(100)).await.unwrap();
        let capture = records.iter().find(|record| record.kind == Kind::Capture).unwrap();
        let mut row = db.store.customer(&customer("org_a")).await.unwrap().unwrap();
        // Well made otherwise: the chain goes on, and the balance follows.
        let again = |created_at| {
            let mut second = record(&row.id, row.last_seq + 1, "again", created_at);
            (second.kind, second.amount, second.delta) = (Kind::Capture, capture.amount, capture.delta);
            (second.hold_id, second.prev_hash) = (capture.hold_id, row.last_hash);
            second.balance_after = row.balance.checked_add(second.delta).unwrap();
            second.hash = second.chain_hash();
            second
        };
        let second = again(records[0].created_at);
        (row.balance, row.last_seq, row.last_hash) = (second.balance_after, second.seq, second.hash);
        let written = db.store.write("test", move |tx| {
            let (records, customers) = (vec![second.clone()], vec![row.clone()]);
            let changes = LedgerChanges { records, customers, ..LedgerChanges::default() };
            Box::pin(async move { tx.write(&changes).await })
        });
        written.await.unwrap();
        let found = difference(&db.store).await.unwrap();
        assert!(found.contains("hold"), "{found}");
    }

    async fn a_record_booked_before_its_predecessor_is_found(db: ready) {
        let id = db.customer("org_a").await;
        let mut row = db.store.customer(&id).await.unwrap().unwrap();
        let first = record(&id, 1, "t1", row.created_at);
        let mut second = record(&id, 2, "t2", Timestamp::from_micros(row.created_at.micros() - 1));
        second.prev_hash = first.hash;
        second.hash = second.chain_hash();
        (row.balance, row.last_seq, row.last_hash) = (second.balance_after, second.seq, second.hash);
        let written = db.store.write("test", move |tx| {
            let (records, customers) = (vec![first.clone(), second.clone()], vec![row.clone()]);
            let changes = LedgerChanges { records, customers, ..LedgerChanges::default() };
            Box::pin(async move { tx.write(&changes).await })
        });
        written.await.unwrap();
        let found = difference(&db.store).await.unwrap();
        assert!(found.contains("before the record before it"), "{found}");
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
        let engine = engine::start(&db.store);
        let writers: Vec<_> = ["org_a", "org_b"].into_iter().map(|id| {
            let (engine, store) = (engine.clone(), db.store.clone());
            tokio::spawn(async move {
                let id = customer(id);
                let new = NewCustomer { id: id.clone(), currency: cny(), credit_limit: money("1000000") };
                assert!(store.create_customer(new).await.unwrap());
                let teller = Teller { engine: &engine, customer: id };
                for round in 0..20 {
                    everything(&teller, &format!("w{round}.")).await;
                }
            })
        }).collect();
        let mut records = Vec::new();
        while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
            let seen = verify(&db.store, |_| ()).await.unwrap();
            assert_eq!(seen.difference, None);
            records.push(seen.records);
        }
        for writer in writers {
            writer.await.unwrap();
        }
        assert!(records.iter().any(|seen| (1..320).contains(seen)), "it only looked before or after: {records:?}");
        engine.drain().await;
        assert_eq!(difference(&db.store).await, None);
    }
}

/// A customer with a credit of 100 and four charges, of which it took something back; with holds that were captured,
/// let go, and are still open.
async fn fill(db: &Db, engine: &Booking, id: &str) {
    let teller = Teller { engine, customer: db.customer(id).await };
    teller.record(engine::book("credit", Kind::Credit, money("100"))).await;
    everything(&teller, "").await;
    teller.hold(engine::hold("open", money("5"), HOUR)).await;
}

/// One of each: charges, a reversal in two parts, a hold captured in part and one let go, a batch and an atomic one.
/// Leaves eight records.
async fn everything(teller: &Teller<'_>, prefix: &str) {
    let name = |name: &str| format!("{prefix}{name}");
    let charge = |n: &str| engine::book(&name(n), Kind::Charge, money("3"));
    let first = teller.record(charge("t1")).await;
    let held = teller.hold(engine::hold(&name("h1"), money("4"), HOUR)).await;
    let let_go = teller.hold(engine::hold(&name("h2"), money("4"), HOUR)).await;
    teller.record(engine::reverse(&name("r1"), first.id, Some(money("2")))).await;
    teller.record(engine::reverse(&name("r2"), first.id, None)).await;
    teller.record(engine::capture(&name("c1"), held.id, Some(money("1.5")))).await;
    teller.hold(Action::Release(let_go.id)).await;
    let of = |n: &str| engine::request(&teller.customer, 0, charge(n));
    for verdict in teller.engine.submit_bulk(vec![of("t2"), of("t3")]).await.unwrap() {
        verdict.unwrap();
    }
    teller.engine.submit_group(vec![of("t4"), of("t5")]).await.unwrap();
}

/// Makes a change of this table that must be found, and takes it back.
async fn found(db: &Db, table: &str, change: &str) -> String {
    let database = &db.database;
    database.execute(&format!("CREATE TABLE kept AS SELECT * FROM {table}")).await;
    assert!(database.execute(change).await > 0, "nothing was changed by {change}");
    let found = difference(&db.store).await;
    database.execute(&format!("DELETE FROM {table}")).await;
    database.execute(&format!("INSERT INTO {table} SELECT * FROM kept")).await;
    database.execute("DROP TABLE kept").await;
    let found = found.unwrap_or_else(|| panic!("not found: {change}"));
    assert_eq!(difference(&db.store).await, None, "everything is as it was before {change}");
    found
}
