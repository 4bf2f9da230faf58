use std::time::Duration;

use sageapi_server::model::{CustomerId, Record, RecordId, Transno};
use sageapi_server::store::{Dialect, Error, LedgerChanges, LedgerRow, NonceUse, NotCommitted, Tx, Writer};

use crate::{contract, customer, money, record};

/// `count` bookings of 1 of a customer that is locked, the way that the engine does them.
fn decide(row: LedgerRow, count: i64, name: &str) -> LedgerChanges {
    let mut customer = row.customer;
    // The clock was read before the lock was waited for.
    let now = row.now.max(customer.updated_at);
    let id = &customer.id;
    let mut records: Vec<Record> = Vec::new();
    for n in 1..=count {
        let mut next = record(id, customer.last_seq + 1, &format!("{name} {n}").replace(' ', "-"), now);
        next.prev_hash = customer.last_hash;
        next.hash = next.chain_hash();
        customer.last_seq += 1;
        customer.last_hash = next.hash;
        customer.balance = next.balance_after;
        records.push(next);
    }
    customer.version += 1;
    customer.last_recharge = Some(now);
    customer.updated_at = now;
    LedgerChanges { records, customers: vec![customer], ..LedgerChanges::default() }
}

/// Books without committing.
async fn book(writer: &mut Writer, id: &CustomerId, count: i64) -> Tx {
    let (mut tx, mut rows) = writer.begin(std::slice::from_ref(id)).await.unwrap();
    tx.write(&decide(rows.remove(0), count, "t")).await.unwrap();
    tx
}

async fn booked(writer: &mut Writer, id: &CustomerId, count: i64, name: &str) -> Vec<Record> {
    let mut attempt = 0;
    loop {
        match writer.begin(std::slice::from_ref(id)).await {
            Ok((tx, mut rows)) => {
                let changes = decide(rows.remove(0), count, name);
                match writer.commit(tx, &changes).await {
                    Ok(()) => return changes.records,
                    Err(NotCommitted::Undone(e)) if e.is_contended() => {}
                    Err(e) => panic!("{e:?}"),
                }
            }
            Err(e) => assert!(e.is_contended(), "{e}"),
        }
        attempt += 1;
        assert!(attempt < 50, "no luck in {attempt} attempts");
        writer.back_off(attempt).await;
    }
}

contract! {
    async fn who_keeps_a_customer_locked_is_told_at_once_and_waited_for(db: ready) {
        if db.store.dialect() != Dialect::MySql {
            // A writer of SQLite holds the whole file: nobody is to blame.
            return;
        }
        let ids = ["a", "b", "c", "absent"].map(customer);
        for id in &ids[..3] {
            db.customer(id.as_str()).await;
        }
        let mut writer = db.another().writer();
        let (tx, _) = writer.begin(&ids[1..2]).await.unwrap();
        assert_eq!(db.store.locked_customers(&ids).await.unwrap(), ids[1..2]);
        let (store, b) = (db.store.clone(), ids[1].clone());
        assert!(matches!(store.await_customer(&b).await, Err(Error::Locked(_))), "it stays locked");
        let waiting = tokio::spawn(async move { store.await_customer(&b).await });
        writer.rollback(tx).await;
        waiting.await.unwrap().unwrap();
        db.store.await_customer(&ids[0]).await.unwrap();
        assert_eq!(db.store.locked_customers(&ids).await.unwrap(), []);
    }

    async fn customers_are_locked_in_the_order_of_their_ids_and_absent_ones_are_left_out(db: ready) {
        for id in ["c", "a", "b"] {
            db.customer(id).await;
        }
        let before = db.store.now().await.unwrap();
        let mut writer = db.store.writer();
        let (tx, rows) = writer.begin(&["c", "absent", "a", "b", "a"].map(customer)).await.unwrap();
        writer.rollback(tx).await;
        assert_eq!(rows.iter().map(|row| row.customer.id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        // SQLite's clock counts milliseconds.
        assert!(rows.iter().all(|row| row.now >= before.minus(Duration::from_millis(1))));
    }

    async fn a_booking_is_read_as_it_was_written(db: ready) {
        let id = db.customer("org_a").await;
        let now = db.store.now().await.unwrap();
        let mut full = record(&id, 1, "t-1", now);
        full.details.user_id = Some("user".into());
        full.details.llmid = Some("llm".into());
        full.details.model_name = Some("model".into());
        full.details.pricing_id = Some("pp".into());
        full.pricing_version = Some(i64::MAX);
        full.details.input_tokens = Some(1);
        full.details.output_tokens = Some(2);
        full.details.usage = Some("{\"calls\":1.5}".into());
        full.unrounded = Some("0.1234567890123".into());
        full.arithmetic = Some(r#"{"lines":[{"factor":"字符"}]}"#.into());
        full.details.request_id = Some("r".into());
        full.reverses = Some(RecordId(uuid(1)));
        full.hold_id = Some(RecordId(uuid(2)));
        full.details.note = Some("Ünïcode ✓ 备注 'quoted'".into());
        full.delta = money("-9000000000");
        full.balance_after = money("-0.000000001");
        full.hash = full.chain_hash();
        let kept = full.clone();
        db.store.write("test.record", move |tx| {
            let changes = LedgerChanges { records: vec![full.clone()], ..LedgerChanges::default() };
            Box::pin(async move { tx.write(&changes).await })
        }).await.unwrap();
        let read = db.another().record(kept.id).await.unwrap().unwrap();
        assert_eq!(read, kept);
        assert_eq!(read.chain_hash(), read.hash);
        assert_eq!(db.database.int("SELECT total_tokens FROM accounting_records").await, 3);
        assert_eq!(db.store.customer_of_record(kept.id).await.unwrap(), Some(id));
        assert_eq!(db.store.record(RecordId(uuid(3))).await.unwrap(), None);
        assert_eq!(db.store.customer_of_record(RecordId(uuid(3))).await.unwrap(), None);
    }

    async fn a_transno_and_a_seq_are_unique_within_a_customer(db: ready) {
        let (a, b) = (db.customer("org_a").await, db.customer("org_b").await);
        let now = db.store.now().await.unwrap();
        let insert = async |record: Record| {
            db.store.write("test.record", move |tx| {
                let changes = LedgerChanges { records: vec![record.clone()], ..LedgerChanges::default() };
                Box::pin(async move { tx.write(&changes).await })
            }).await
        };
        insert(record(&a, 1, "t-1", now)).await.unwrap();
        assert!(matches!(insert(record(&a, 2, "t-1", now)).await, Err(Error::Duplicate(_))));
        assert!(matches!(insert(record(&a, 1, "t-2", now)).await, Err(Error::Duplicate(_))));
        let third = record(&a, 3, "t-3", now);
        insert(third.clone()).await.unwrap();
        let again = Record { seq: 4, transno: Transno::parse("t-4").unwrap(), ..third };
        assert!(matches!(insert(again).await, Err(Error::Duplicate(_))));
        insert(record(&b, 1, "t-1", now)).await.unwrap();
        insert(record(&a, 4, "T-1", now)).await.unwrap();
    }

    async fn earlier_bookings_are_found_among_any_number_of_names(db: ready) {
        let (a, b) = (db.customer("org_a").await, db.customer("org_b").await);
        let mut writer = db.store.writer();
        booked(&mut writer, &a, 100, "t").await;
        booked(&mut writer, &b, 1, "t").await;
        for count in [0_u32, 1, 2, 3, 5, 33, 64, 90] {
            let mut names: Vec<_> =
                (1..=count).map(|n| (&a, Transno::parse(&format!("t-{n}")).unwrap())).collect();
            names.push((&a, Transno::parse("absent").unwrap()));
            names.push((&b, Transno::parse("t-2").unwrap()));
            let (mut tx, _) = writer.begin(&[]).await.unwrap();
            let found = tx.find_records(names.iter().map(|(c, t)| (*c, t))).await.unwrap();
            writer.rollback(tx).await;
            let mut found: Vec<_> = found.iter().map(|r| (r.customer_id.clone(), r.seq)).collect();
            found.sort();
            assert_eq!(found, (1..=i64::from(count)).map(|seq| (a.clone(), seq)).collect::<Vec<_>>());
        }
    }

    async fn more_rows_than_fit_one_statement_are_written_whole(db: ready) {
        let ids: Vec<_> = (0..150).map(|n| format!("org_{n:03}")).collect();
        for id in &ids {
            db.customer(id).await;
        }
        let ids: Vec<_> = ids.iter().map(|id| customer(id)).collect();
        let mut writer = db.store.writer();
        let (tx, rows) = writer.begin(&ids).await.unwrap();
        assert_eq!(rows.len(), 150);
        let customers = rows.into_iter().map(|row| row.customer).collect();
        let mut changes = LedgerChanges { customers, ..LedgerChanges::default() };
        for (n, customer) in changes.customers.iter_mut().enumerate() {
            customer.balance = money(&format!("{n}"));
            customer.version += 1;
        }
        writer.commit(tx, &changes).await.unwrap();
        for customer in changes.customers {
            assert_eq!(db.store.customer(&customer.id).await.unwrap(), Some(customer));
        }
        booked(&mut writer, &ids[0], 150, "t").await;
        assert_eq!(db.database.int("SELECT COUNT(*) FROM accounting_records").await, 150);
    }

    async fn what_is_not_committed_is_gone(db: ready) {
        let id = db.customer("org_a").await;
        let before = db.store.customer(&id).await.unwrap();
        let mut writer = db.store.writer();
        let tx = book(&mut writer, &id, 3).await;
        writer.rollback(tx).await;
        let tx = book(&mut writer, &id, 3).await;
        // A task that is dropped half-way.
        drop(tx);
        drop(writer);
        assert_eq!(db.another().customer(&id).await.unwrap(), before);
        assert_eq!(db.database.int("SELECT COUNT(*) FROM accounting_records").await, 0);
        booked(&mut db.store.writer(), &id, 3, "t").await;
        assert_eq!(db.store.customer(&id).await.unwrap().unwrap().last_seq, 3);
    }

    async fn a_transaction_that_panics_leaves_nothing_behind(db: ready) {
        let id = db.customer("org_a").await;
        for _ in 0..3 {
            let of = id.clone();
            let result = db.store.write::<(), _>("test.panic", move |tx| {
                let of = of.clone();
                Box::pin(async move {
                    let now = tx.now().await?;
                    let records = vec![record(&of, 1, "t", now)];
                    tx.write(&LedgerChanges { records, ..LedgerChanges::default() }).await?;
                    panic!("on purpose");
                })
            }).await;
            assert!(result.is_err());
        }
        // Neither is its work committed by the next transaction, nor does it hold its locks.
        booked(&mut db.store.writer(), &id, 1, "t").await;
        assert_eq!(db.database.int("SELECT COUNT(*) FROM accounting_records").await, 1);
        assert_eq!(db.another().customer(&id).await.unwrap().unwrap().last_seq, 1);
    }

    async fn the_next_to_lock_a_customer_sees_what_the_one_before_committed(db: ready) {
        let id = db.customer("org_a").await;
        let mut first = db.store.writer();
        let tx = book(&mut first, &id, 1).await;
        let second = {
            let (store, id) = (db.another(), id.clone());
            tokio::spawn(async move { booked(&mut store.writer(), &id, 1, "second").await.remove(0) })
        };
        // Gives the second one time to run into the lock.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!second.is_finished());
        first.commit(tx, &LedgerChanges::default()).await.unwrap();
        assert_eq!(second.await.unwrap().seq, 2);
    }

    async fn nothing_is_committed_of_what_meets_a_row_that_is_there(db: ready) {
        let (id, until) = (db.customer("org_a").await, db.store.now().await.unwrap().plus(Duration::from_mins(11)));
        let nonces = [1, 2].map(|n| NonceUse::new("ak_1", &format!("nonce {n}"), until));
        let mut writer = db.store.writer();
        let mut commit = async |nonces: &[NonceUse], name: &str| {
            let (tx, mut rows) = writer.begin(std::slice::from_ref(&id)).await.unwrap();
            let changes = LedgerChanges { nonces: nonces.to_vec(), ..decide(rows.remove(0), 2, name) };
            writer.commit(tx, &changes).await
        };
        commit(&nonces[..1], "it's a\\").await.unwrap();
        for (nonces, name) in [(&nonces[..], "u"), (&nonces[1..], "it's a\\")] {
            let refused = commit(nonces, name).await;
            assert!(matches!(refused, Err(NotCommitted::Undone(Error::Duplicate(_)))), "{refused:?}");
        }
        assert_eq!(db.database.int("SELECT COUNT(*) FROM accounting_records").await, 2);
        assert_eq!(db.database.int("SELECT COUNT(*) FROM nonces").await, 1);
        commit(&nonces[1..], "u").await.unwrap();
        assert_eq!(db.store.customer(&id).await.unwrap().unwrap().last_seq, 4);
    }

    async fn a_commit_may_be_larger_than_one_trip(db: ready) {
        let id = db.customer("org_a").await;
        let mut writer = db.store.writer();
        let (tx, mut rows) = writer.begin(std::slice::from_ref(&id)).await.unwrap();
        let mut changes = decide(rows.remove(0), 200, "t");
        for record in &mut changes.records {
            record.arithmetic = Some(format!("{{\"備\": \"{}\"}}", "'\\字".repeat(2000)));
        }
        writer.commit(tx, &changes).await.unwrap();
        let read = db.store.record(changes.records[150].id).await.unwrap().unwrap();
        assert_eq!(read.arithmetic, changes.records[150].arithmetic);
        assert_eq!(db.store.customer(&id).await.unwrap().unwrap().last_seq, 200);
    }

    async fn writers_of_many_instances_leave_one_chain_without_gaps(db: ready) {
        const TASKS: i64 = 6;
        const EACH: i64 = 10;
        let id = db.customer("org_a").await;
        let tasks: Vec<_> = (0..TASKS).map(|task| {
            let (store, id) = (db.another(), id.clone());
            tokio::spawn(async move {
                let mut writer = store.writer();
                for n in 0..EACH {
                    booked(&mut writer, &id, 1 + n % 3, &format!("t{task}.{n}")).await;
                }
            })
        }).collect();
        for task in tasks {
            task.await.unwrap();
        }
        let verified = sageapi_server::domain::verify::verify(&db.store, |_| ()).await.unwrap();
        assert_eq!(verified.difference, None);
        let expected = TASKS * (0..EACH).map(|n| 1 + n % 3).sum::<i64>();
        assert_eq!(i64::try_from(verified.records).unwrap(), expected);
    }
}

fn uuid(n: u8) -> uuid::Uuid {
    uuid::Uuid::from_bytes([n; 16])
}
