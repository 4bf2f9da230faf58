//! What the maintenance does with usage.

use super::*;
use crate::model::{
    Actor, Currency, CustomerId, Money, RecordId, Timestamp, Transno, UsageBilling, UsageDetails,
    UsageRecord, UsageSums, UsageTotal,
};
use crate::store::{AuditFilter, LedgerChanges, NewCustomer};

const DAY: Duration = Duration::from_hours(24);

fn usage(useq: i64, at: Timestamp) -> UsageRecord {
    UsageRecord {
        id: RecordId(Uuid::from_u128(u128::from(useq.unsigned_abs()))),
        customer_id: CustomerId::parse("org_a").unwrap(),
        useq,
        request_id: Transno::parse(&format!("r-{useq}")).unwrap(),
        details: UsageDetails::default(),
        total_tokens: 0,
        group_id: None,
        source_node: None,
        cost: None,
        currency: Currency::parse("CNY").unwrap(),
        pricing_version: None,
        unrounded: None,
        arithmetic: None,
        unpriced: Some("no model".to_owned()),
        billing: UsageBilling::Log,
        uncharged: None,
        record_id: None,
        hold_id: None,
        hold_use: None,
        reservation_id: None,
        reservation_use: None,
        body_hash: [0; 32],
        event_time: at,
        received_at: at,
    }
}

async fn put(service: &SyncService, usage: Vec<UsageRecord>, usage_totals: Vec<UsageTotal>) {
    let changes = LedgerChanges { usage, usage_totals, ..LedgerChanges::default() };
    let written = service.inner.store.write("test", move |tx| {
        let changes = changes.clone();
        Box::pin(async move { tx.write(&changes).await })
    });
    written.await.unwrap();
}

#[tokio::test]
async fn usage_is_deleted_a_round_after_the_floor_was_raised_and_a_day_behind_it() {
    let world = World::new("");
    let (first, second) = (world.instance(1).await, world.instance(2).await);
    let store = &first.inner.store;
    let customer = CustomerId::parse("org_a").unwrap();
    let currency = Currency::parse("CNY").unwrap();
    let new = NewCustomer { id: customer.clone(), currency, credit_limit: Money::ZERO };
    store.create_customer(new).await.unwrap();
    let now = store.now().await.unwrap();
    // An hour is the step of the floor.
    let age = |days: u32, hours: u64| now.minus(DAY * days + Duration::from_secs(hours * 3600));
    let rows = [age(500, 0), age(401, 2), age(400, 2), age(1, 0)];
    let rows = rows.into_iter().zip(1..).map(|(at, useq)| usage(useq, at));
    put(&first, rows.collect(), Vec::new()).await;
    store.usage_state("UTC").await.unwrap();
    let left = async || {
        let rows = store.usage_received_before(now.plus(DAY), None, 10).await.unwrap();
        rows.iter().map(|row| row.useq).collect::<Vec<_>>()
    };
    let mut held = None;
    assert_eq!(first.inner.clean_up(&mut held).await.unwrap(), 0, "all instances hear of the floor first");
    let floor = store.stored_usage_state().await.unwrap().unwrap().floor;
    assert!(floor <= age(400, 0) && floor > age(400, 1), "{floor}");
    assert_eq!(left().await, [1, 2, 3, 4]);
    held.take().unwrap().give_back().await;
    // Another instance does not know how long the floor has been there.
    let mut theirs = None;
    assert_eq!(second.inner.clean_up(&mut theirs).await.unwrap(), 0);
    theirs.take().unwrap().give_back().await;
    assert_eq!(first.inner.clean_up(&mut held).await.unwrap(), 2);
    assert_eq!(left().await, [3, 4]);
    assert_eq!(first.inner.clean_up(&mut held).await.unwrap(), 0);
    let entries = store.list(&AuditFilter::default(), &Window::newest(10)).await.unwrap();
    let purges: Vec<_> = entries.iter().filter(|entry| entry.action == "purge").collect();
    assert_eq!(purges.len(), 1);
    assert_eq!((purges[0].actor_kind, purges[0].object_kind.as_str()), (Actor::server().kind, "usage"));
    let diff: serde_json::Value = serde_json::from_str(&purges[0].diff).unwrap();
    assert_eq!(diff["after"]["rows"], 2);
}

#[tokio::test]
async fn usage_of_all_customers_is_added_up_in_recent_days_at_once_and_in_older_ones_in_turn() {
    let world = World::new("");
    let service = world.instance(1).await;
    let store = &service.inner.store;
    let now = store.now().await.unwrap();
    let day = |days: u32| crate::domain::mirror::day_at(now.minus(DAY * days), &jiff::tz::TimeZone::UTC);
    let total = |days: u32, customer: &str, requests: i64| UsageTotal {
        customer_id: CustomerId::parse(customer).unwrap(),
        day: day(days),
        currency: Currency::parse("CNY").unwrap(),
        sums: UsageSums { requests, cost: i64::MAX, ..UsageSums::default() },
    };
    let totals = (0..30).flat_map(|days| [total(days, "org_a", 1), total(days, "org_b", 2)]);
    put(&service, Vec::new(), totals.collect()).await;
    let days = async || store.platform_days("", "9").await.unwrap();
    let mut held = None;
    service.inner.clean_up(&mut held).await.unwrap();
    let added_up = days().await;
    // Three recent days, and ten older ones.
    assert_eq!(added_up.len(), 13);
    assert!(added_up.iter().all(|day| day.sums.requests == 3 && day.sums.cost() == 2 * i128::from(i64::MAX)));
    let more = |days: u32| UsageTotal {
        sums: UsageSums { requests: 4, ..UsageSums::default() },
        ..total(days, "org_c", 4)
    };
    put(&service, Vec::new(), vec![more(0), more(29)]).await;
    service.inner.clean_up(&mut held).await.unwrap();
    assert_eq!((days().await.len(), days().await.last().unwrap().sums.requests), (23, 7));
    service.inner.clean_up(&mut held).await.unwrap();
    assert_eq!((days().await.len(), days().await[0].sums.requests), (30, 7));
    // And from the newest of them on again.
    put(&service, Vec::new(), vec![more(3)]).await;
    service.inner.clean_up(&mut held).await.unwrap();
    let third = store.platform_days(&day(3), &day(3)).await.unwrap();
    assert_eq!(third[0].sums.requests, 7);
}
