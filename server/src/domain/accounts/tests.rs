use std::collections::HashSet;

use uuid::Uuid;

use super::*;
use crate::domain::page::TOTAL_CAP;
use crate::model::{BookingDetails, Currency, Money, Transno};
use crate::store::LedgerChanges;
use crate::store::test_store::TestStore;

impl TestStore {
    async fn insert(&self, records: Vec<Record>) {
        let insert = self.store.write("test.insert", move |tx| {
            let changes = LedgerChanges { records: records.clone(), ..LedgerChanges::default() };
            Box::pin(async move { tx.write(&changes).await })
        });
        insert.await.unwrap();
    }

    /// Every row of the list, page by page; `between` runs after each page.
    async fn walk(&self, q: &AccountingQuery, mut between: impl AsyncFnMut(usize)) -> Vec<Record> {
        let mut q = q.clone();
        let mut rows = Vec::new();
        for page in 0.. {
            let found = query_accounting(&self.store, &Reach::Everything, q.clone()).await.unwrap();
            rows.extend(found.rows.into_iter().map(|view| view.record));
            between(page).await;
            q.page.cursor = found.next_cursor;
            if q.page.cursor.is_none() {
                break;
            }
        }
        rows
    }
}

fn customer(id: &str) -> CustomerId {
    CustomerId::parse(id).unwrap()
}

/// The record `seq` of a customer, booked at second `seq / 2`, so that times occur twice.
fn record(customer_id: &str, seq: i64) -> Record {
    let unit = Money::parse("1").unwrap();
    // Ids that differ, in an order that is not that of `seq`.
    let mixed = u64::try_from(seq).unwrap().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let last = *customer_id.as_bytes().last().unwrap();
    Record {
        id: RecordId(Uuid::from_u64_pair(mixed, u64::from(last))),
        customer_id: customer(customer_id),
        seq,
        transno: Transno::parse(&format!("t-{seq}")).unwrap(),
        kind: if seq % 2 == 0 { Kind::Charge } else { Kind::Credit },
        amount: unit,
        delta: unit,
        currency: Currency::parse("CNY").unwrap(),
        details: BookingDetails {
            user_id: Some(format!("u-{}", seq % 3)),
            llmid: Some("llm".to_owned()),
            model_name: Some(format!("model-{}", seq % 2)),
            request_id: Some(format!("r-{seq}")),
            ..BookingDetails::default()
        },
        pricing_version: None,
        unrounded: None,
        arithmetic: None,
        reverses: None,
        hold_id: None,
        balance_after: unit,
        held_after: Money::ZERO,
        available_after: unit,
        body_hash: [0; 32],
        prev_hash: [0; 32],
        hash: [0; 32],
        event_time: Timestamp::from_seconds(1000 - seq),
        created_at: Timestamp::from_seconds(seq / 2),
    }
}

fn records(customer: &str, seqs: std::ops::RangeInclusive<i64>) -> Vec<Record> {
    seqs.map(|seq| record(customer, seq)).collect()
}

fn page(limit: u16, ascending: bool) -> PageRequest {
    PageRequest { limit, ascending, ..PageRequest::default() }
}

fn of(customer_id: &str, limit: u16) -> AccountingQuery {
    AccountingQuery {
        customer_id: Some(customer(customer_id)),
        page: page(limit, false),
        ..Default::default()
    }
}

/// What a case changes of a query.
type Change = fn(&mut AccountingQuery);

fn seqs(rows: &[Record]) -> Vec<i64> {
    rows.iter().map(|record| record.seq).collect()
}

fn viewed(rows: &[RecordView]) -> Vec<i64> {
    rows.iter().map(|view| view.record.seq).collect()
}

#[tokio::test]
async fn a_walk_through_a_customers_records_skips_and_doubles_nothing_while_others_are_booked() {
    let db = TestStore::new().await;
    db.insert([records("c-1", 1..=10), records("c-2", 1..=5)].concat()).await;
    let book = async |page: usize| {
        let seq = 11 + i64::try_from(page).unwrap();
        db.insert(vec![record("c-1", seq)]).await;
    };
    let newest_first = db.walk(&of("c-1", 3), book).await;
    assert_eq!(seqs(&newest_first), [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);

    let oldest_first = AccountingQuery { page: page(14, true), ..of("c-1", 1) };
    let rows = db.walk(&oldest_first, async |_| ()).await;
    assert_eq!(seqs(&rows), (1..=14).collect::<Vec<_>>());
    assert!(rows.iter().all(|record| record.customer_id == customer("c-1")));
}

#[tokio::test]
async fn a_walk_through_all_customers_goes_by_time_and_id() {
    let db = TestStore::new().await;
    db.insert([records("c-1", 1..=9), records("c-2", 1..=9)].concat()).await;
    for ascending in [false, true] {
        let q = AccountingQuery { page: page(4, ascending), ..Default::default() };
        let rows = db
            .walk(&q, async |page| {
                // Both ends of the list grow while it is read.
                let seq = 100 + i64::try_from(page).unwrap() + 50 * i64::from(ascending);
                db.insert(vec![
                    record("c-3", seq),
                    Record { created_at: Timestamp::default(), ..record("c-4", seq) },
                ])
                .await;
            })
            .await;
        let ids: HashSet<_> = rows.iter().map(|record| record.id).collect();
        assert_eq!(ids.len(), rows.len(), "no record twice");
        for record in [records("c-1", 1..=9), records("c-2", 1..=9)].concat() {
            assert!(ids.contains(&record.id), "{}/{} is missing", record.customer_id, record.seq);
        }
        let ordered = if ascending {
            rows.is_sorted_by_key(|r| (r.created_at, r.id))
        } else {
            rows.iter().rev().is_sorted_by_key(|r| (r.created_at, r.id))
        };
        assert!(ordered, "ascending: {ascending}");
    }
}

#[tokio::test]
async fn a_cursor_takes_another_limit_but_no_other_list() {
    let db = TestStore::new().await;
    db.insert([records("c-1", 1..=6), records("c-2", 1..=6)].concat()).await;
    let first = query_accounting(&db.store, &Reach::Everything, of("c-1", 2)).await.unwrap();
    assert_eq!(viewed(&first.rows), [6, 5]);
    let cursor = first.next_cursor;
    assert!(cursor.is_some());
    let continued = |change: Change| {
        let mut q = of("c-1", 2);
        q.page.cursor = cursor.clone();
        change(&mut q);
        q
    };
    let rest =
        query_accounting(&db.store, &Reach::Everything, continued(|q| q.page.limit = 100)).await.unwrap();
    assert_eq!((viewed(&rest.rows), rest.next_cursor), (vec![4, 3, 2, 1], None));
    let counted =
        query_accounting(&db.store, &Reach::Everything, continued(|q| q.page.count = true)).await.unwrap();
    assert_eq!((viewed(&counted.rows), counted.total), (vec![4, 3], Some(6)));

    let others: [Change; 15] = [
        |q| q.customer_id = None,
        |q| q.customer_id = Some(customer("c-2")),
        |q| q.user_id = Some("u-1".to_owned()),
        |q| q.model = Some("model-1".to_owned()),
        |q| q.llmid = Some("llm".to_owned()),
        |q| q.transno = Some("t-1".to_owned()),
        |q| q.request_id = Some("r-1".to_owned()),
        |q| q.kind = Some(Kind::Charge),
        |q| q.status = Some("accounted".to_owned()),
        |q| q.status = Some("failed".to_owned()),
        |q| q.from = Some(Timestamp::default()),
        |q| q.to = Some(Timestamp::from_seconds(9)),
        |q| q.event_from = Some(Timestamp::default()),
        |q| q.event_to = Some(Timestamp::from_seconds(9)),
        |q| q.page.ascending = true,
    ];
    for (i, change) in others.into_iter().enumerate() {
        let result = query_accounting(&db.store, &Reach::Everything, continued(change)).await;
        assert!(matches!(result, Err(Error::InvalidCursor)), "change {i}: {result:?}");
    }
}

#[tokio::test]
async fn each_filter_leaves_the_records_that_it_names() {
    let db = TestStore::new().await;
    db.insert([records("c-1", 1..=6), records("c-2", 7..=7)].concat()).await;
    let cases: [(Change, &[i64]); 14] = [
        (|_| (), &[6, 5, 4, 3, 2, 1]),
        (|q| q.customer_id = None, &[7, 6, 5, 4, 3, 2, 1]),
        (|q| q.customer_id = Some(customer("c-3")), &[]),
        (|q| q.user_id = Some("u-1".to_owned()), &[4, 1]),
        (|q| q.model = Some("model-0".to_owned()), &[6, 4, 2]),
        (|q| q.llmid = Some("other".to_owned()), &[]),
        (|q| q.transno = Some("t-3".to_owned()), &[3]),
        (|q| q.request_id = Some("r-4".to_owned()), &[4]),
        (|q| q.kind = Some(Kind::Credit), &[5, 3, 1]),
        (|q| q.status = Some("accounted".to_owned()), &[6, 5, 4, 3, 2, 1]),
        (|q| q.status = Some("reversed".to_owned()), &[]),
        // Half-open: 1 s is in, 3 s is not; booked at second seq / 2.
        (
            |q| (q.from, q.to) = (Some(Timestamp::from_seconds(1)), Some(Timestamp::from_seconds(3))),
            &[5, 4, 3, 2],
        ),
        (|q| q.event_from = Some(Timestamp::from_seconds(998)), &[2, 1]),
        (|q| q.event_to = Some(Timestamp::from_seconds(996)), &[6, 5]),
    ];
    for (i, (change, expected)) in cases.into_iter().enumerate() {
        let mut q = of("c-1", 100);
        q.page.count = true;
        change(&mut q);
        let found = query_accounting(&db.store, &Reach::Everything, q).await.unwrap();
        let mut found_seqs = viewed(&found.rows);
        // Records of one second go by id over all customers.
        found_seqs.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(found_seqs, expected, "case {i}");
        assert_eq!(found.total, Some(i64::try_from(expected.len()).unwrap()), "case {i}");
        assert_eq!(found.next_cursor, None, "case {i}");
    }
}

#[tokio::test]
async fn an_unknown_status_is_an_invalid_parameter() {
    let db = TestStore::new().await;
    let q = AccountingQuery { status: Some("Accounted".to_owned()), ..of("c-1", 1) };
    let Err(Error::Invalid(fields)) = query_accounting(&db.store, &Reach::Everything, q).await else {
        panic!("not refused")
    };
    assert_eq!(fields[0].field, "status");
}

#[tokio::test]
async fn counting_stops_at_its_cap() {
    let db = TestStore::new().await;
    db.insert(records("c-1", 1..=TOTAL_CAP + 1)).await;
    let mut q = of("c-1", 1);
    q.page.count = true;
    assert_eq!(query_accounting(&db.store, &Reach::Everything, q).await.unwrap().total, Some(TOTAL_CAP));
}

#[tokio::test]
async fn a_record_of_another_customer_is_not_found() {
    let db = TestStore::new().await;
    let own = record("c-1", 1);
    db.insert(vec![own.clone()]).await;
    for reach in [Reach::Everything, Reach::Customer(customer("c-1"))] {
        assert_eq!(get_accounting(&db.store, &reach, own.id).await.unwrap().record, own);
    }
    let foreign = get_accounting(&db.store, &Reach::Customer(customer("c-2")), own.id).await;
    let absent = get_accounting(&db.store, &Reach::Everything, RecordId(Uuid::nil())).await;
    for result in [foreign, absent] {
        assert!(matches!(result, Err(Error::NotFound("accounting record"))), "{result:?}");
    }
}
