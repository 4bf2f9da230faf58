use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sageapi_server::ServerEnv;
use sageapi_server::model::{CustomerId, Kind, Record, RecordId, Timestamp};
use sageapi_server::store::{Filter as _, LedgerChanges, RecordFilter, Store, Window};
use sageapi_test_support::app::{App, booking};

use crate::{Db, contract, customer, record};

fn of(customer_id: Option<&CustomerId>) -> RecordFilter {
    RecordFilter { customer_id: customer_id.cloned(), ..RecordFilter::default() }
}

/// Every record of a filter, in pages.
async fn walk(store: &Store, filter: &RecordFilter, ascending: bool, limit: i64) -> Vec<Record> {
    let mut all: Vec<Record> = Vec::new();
    loop {
        let after = all.last().map(|record| filter.place(record));
        let page = store.list(filter, &Window { after, ascending, limit }).await.unwrap();
        assert!(page.len() <= usize::try_from(limit).unwrap());
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// 60 records of two customers: five share each time.
async fn fill(db: &Db) -> (CustomerId, CustomerId) {
    let (a, b) = (db.customer("org_a").await, db.customer("org_b").await);
    let (one, two) = (a.clone(), b.clone());
    db.store
        .write("test.records", move |tx| {
            let records = (0..60).map(|n: i64| {
                let owner = if n % 2 == 0 { &one } else { &two };
                let mut record = record(owner, n / 2 + 1, &format!("t{n}"), time(n / 5));
                record.details.user_id = Some(format!("user_{}", n % 3));
                record.details.request_id = Some(format!("r{n}"));
                record.details.llmid = Some("llm_1".into());
                record.details.model_name = (n >= 30).then(|| "model".into());
                record.kind = if n < 10 { Kind::Credit } else { Kind::Charge };
                record.event_time = time(100 - n);
                record
            });
            let changes = LedgerChanges { records: records.collect(), ..LedgerChanges::default() };
            Box::pin(async move { tx.write(&changes).await })
        })
        .await
        .unwrap();
    (a, b)
}

fn time(n: i64) -> Timestamp {
    Timestamp::from_micros(1_780_000_000_000_000 + n)
}

contract! {
    async fn lists_are_walked_whole_in_pages_of_any_size_both_ways(db: ready) {
        let (a, _) = fill(&db).await;
        for limit in [1, 4, 7, 60, 1000] {
            let mut seqs: Vec<_> = walk(&db.store, &of(Some(&a)), true, limit).await.iter().map(|r| r.seq).collect();
            assert_eq!(seqs, (1..=30).collect::<Vec<_>>());
            seqs.reverse();
            let back: Vec<_> = walk(&db.store, &of(Some(&a)), false, limit).await.iter().map(|r| r.seq).collect();
            assert_eq!(back, seqs);
            let all = walk(&db.store, &of(None), true, limit).await;
            let places: Vec<_> = all.iter().map(|r| (r.created_at, r.id)).collect();
            assert_eq!(places.len(), 60);
            assert!(places.is_sorted(), "{places:?}");
            let mut back: Vec<_> = walk(&db.store, &of(None), false, limit).await.iter().map(|r| r.id).collect();
            back.reverse();
            assert_eq!(back, all.iter().map(|r| r.id).collect::<Vec<_>>());
        }
    }

    async fn every_filter_leaves_what_it_says(db: ready) {
        let (a, _) = fill(&db).await;
        let base = of(None);
        let text = |text: &str| Some(text.to_owned());
        let cases = [
            ("whole", base.clone(), 60),
            ("user", RecordFilter { user_id: text("user_1"), ..base.clone() }, 20),
            ("request", RecordFilter { request_id: text("r7"), ..base.clone() }, 1),
            ("model", RecordFilter { model_name: text("model"), ..base.clone() }, 30),
            ("llmid", RecordFilter { llmid: text("llm_1"), ..base.clone() }, 60),
            ("kind", RecordFilter { kind: Some(Kind::Credit), ..base.clone() }, 10),
            ("transno", RecordFilter { transno: text("t8"), ..base.clone() }, 1),
            ("nothing", RecordFilter { transno: text("T8"), ..base.clone() }, 0),
            ("from", RecordFilter { from: Some(time(10)), ..base.clone() }, 10),
            ("to", RecordFilter { to: Some(time(2)), ..base.clone() }, 10),
            ("between", RecordFilter { from: Some(time(2)), to: Some(time(4)), ..base.clone() }, 10),
            ("never", RecordFilter { from: Some(time(4)), to: Some(time(4)), ..base.clone() }, 0),
            ("events", RecordFilter { event_from: Some(time(50)), event_to: Some(time(60)), ..base.clone() }, 10),
        ];
        for (what, filter, expected) in cases {
            for customer_id in [None, Some(a.clone())] {
                let filter = RecordFilter { customer_id, ..filter.clone() };
                let found = walk(&db.store, &filter, false, 7).await;
                let counted = db.store.count(&filter, 1000).await.unwrap();
                assert_eq!(counted, i64::try_from(found.len()).unwrap(), "{what}");
                if let Some(owner) = &filter.customer_id {
                    assert!(found.iter().all(|r| r.customer_id == *owner), "{what}");
                } else {
                    assert_eq!(counted, expected, "{what}");
                }
            }
        }
        assert_eq!(db.store.count(&base, 7).await.unwrap(), 7, "counting stops at its cap");
    }

    async fn a_walk_beside_inserts_skips_nothing_and_sees_nothing_twice(db: empty) {
        let app = App::builder(db.database.kind()).without_background().start().await;
        for id in ["org_a", "org_b"] {
            app.customer(id, "1000").await;
        }
        let env = &app.env;
        let mut before: Vec<RecordId> = Vec::new();
        for n in 0..40 {
            let request = booking(if n % 2 == 0 { "org_a" } else { "org_b" }, &format!("old-{n}"), Kind::Charge, "1");
            before.push(env.bookings().create(request).await.unwrap().record.id);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..4).map(|task| tokio::spawn(insert(env.clone(), task, Arc::clone(&stop)))).collect();
        for (customer_id, ascending) in [(Some("org_a"), false), (Some("org_a"), true), (None, false), (None, true)] {
            let filter = of(customer_id.map(customer).as_ref());
            let mut seen = BTreeMap::new();
            let mut last: Option<Record> = None;
            // An ascending walk beside writers would never end: it stops long after it has met all that was there.
            for _ in 0..if ascending { 400 } else { usize::MAX } {
                let after = last.as_ref().map(|record| filter.place(record));
                let page = env.store().list(&filter, &Window { after, ascending, limit: 5 }).await.unwrap();
                for record in &page {
                    *seen.entry(record.id).or_insert(0) += 1;
                }
                let Some(record) = page.into_iter().next_back() else { break };
                last = Some(record);
            }
            let twice: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
            assert_eq!(twice, [], "{customer_id:?} {ascending}");
            for (n, id) in before.iter().enumerate().filter(|(n, _)| customer_id.is_none() || n % 2 == 0) {
                assert!(seen.contains_key(id), "{customer_id:?} {ascending}: record {n} was skipped");
            }
        }
        stop.store(true, Ordering::SeqCst);
        let mut booked = 0;
        for writer in writers {
            booked += writer.await.unwrap();
        }
        assert!(booked > 0, "nothing was inserted beside the walks");
        app.stop().await;
    }
}

/// Books until told to stop; how often.
async fn insert(env: ServerEnv, task: u32, stop: Arc<AtomicBool>) -> u32 {
    let mut count = 0;
    while !stop.load(Ordering::SeqCst) {
        let owner = if count % 2 == 0 { "org_a" } else { "org_b" };
        let request = booking(owner, &format!("new-{task}-{count}"), Kind::Charge, "0.001");
        env.bookings().create(request).await.unwrap();
        count += 1;
    }
    count
}
