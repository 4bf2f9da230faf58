use std::collections::HashSet;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::*;
use crate::config::{self, LiveConfig};
use crate::domain::caches::Caches;
use crate::domain::mirrored_users::MirroredUsers;
use crate::domain::prices::Prices;
use crate::model::{Cell, Clock, ManualClock};
use crate::store::test_store::TestStore;
use crate::store::{Change, Op, Page};
use crate::telemetry::metrics::Metrics;

/// 2026-05-28T20:26:40Z.
const NOW: Timestamp = Timestamp::from_seconds(1_780_000_000);

/// A row with some of its columns; users are created at second `created`.
fn row(entity: Entity, id: &str, created: i64, columns: &[(&str, &str)]) -> Change {
    for (name, _) in columns {
        assert!(entity.columns().iter().any(|column| column.name == *name), "{entity} has no {name}");
    }
    let cells = entity.columns().iter().map(|column| {
        let value = columns.iter().find(|(name, _)| *name == column.name);
        value.map_or(Cell::Null, |(_, text)| Cell::Text((*text).into()))
    });
    let op = Op::Upsert { created_at: Some(Timestamp::from_seconds(created)), cells: cells.collect() };
    Change { id: TextId::parse(id).unwrap(), version: 1, op }
}

async fn apply(db: &TestStore, entity: Entity, changes: Vec<Change>) {
    let page = Page { changes, ..Page::default() };
    db.store.apply_page(entity, None, page).await.unwrap();
}

fn users(ids: std::ops::Range<i64>) -> Vec<Change> {
    // Two of each second, and two customers.
    ids.map(|i| {
        let org = format!("c-{}", i % 2);
        row(Entity::Users, &format!("u{i:02}"), i / 2, &[("orgid", &org), ("username", &format!("name{i}"))])
    })
    .collect()
}

async fn pricing(db: &TestStore) {
    let programs = [
        ("old", "p-1", "2025-01-01", "2026-05-28", ""),
        ("now", "p-1", "2026-05-28", "2026-05-29", ""),
        ("next", "p-1", "2026-05-29", "9999-12-31", ""),
        ("cost", "p-2", "2025-01-01", "9999-12-31", "provider"),
        ("draft", "p-3", "2025-01-01", "9999-12-31", ""),
    ];
    let rows = programs.map(|(id, ppid, enabled, expired, belongs)| {
        let dates = [("ppid", ppid), ("enabled_date", enabled), ("expired_date", expired)];
        row(Entity::Pricing, id, 0, &[&dates[..], &[("pricing_belong", belongs)]].concat())
    });
    apply(db, Entity::Pricing, rows.into()).await;
    let offers = [("m-1", "p-1", "published"), ("m-2", "p-2", "published"), ("m-3", "p-3", "draft")];
    let rows = offers.map(|(id, ppid, status)| {
        let columns = [("llmid", "llm"), ("model", id), ("ppid", ppid), ("status", status)];
        row(Entity::Llmage, id, 0, &columns)
    });
    apply(db, Entity::Llmage, rows.into()).await;
}

fn page(limit: u16, ascending: bool) -> PageRequest {
    PageRequest { limit, ascending, ..PageRequest::default() }
}

fn ids(rows: &[MirrorRow]) -> Vec<&str> {
    rows.iter().map(|row| row.id.as_str()).collect()
}

fn sorted(rows: &[MirrorRow]) -> Vec<&str> {
    let mut ids = ids(rows);
    ids.sort_unstable();
    ids
}

#[test]
fn the_day_is_that_of_the_zone() {
    let shanghai = TimeZone::get("Asia/Shanghai").unwrap();
    assert_eq!(day_at(NOW, &TimeZone::UTC), "2026-05-28");
    assert_eq!(day_at(NOW, &shanghai), "2026-05-29");
    assert_eq!(day_at(Timestamp::default(), &TimeZone::get("America/New_York").unwrap()), "1969-12-31");
    assert!(day_at(Timestamp::from_micros(i64::MAX), &shanghai).starts_with("9999-12-3"));
}

#[tokio::test]
async fn a_walk_through_users_skips_and_doubles_nothing_while_others_are_mirrored() {
    let db = TestStore::new().await;
    apply(&db, Entity::Users, users(10..20)).await;
    for ascending in [false, true] {
        let mut q = UsersQuery { page: page(3, ascending), ..Default::default() };
        let mut rows = Vec::new();
        for i in (0..10).chain(20..30) {
            let found = query_users(&db.store, &Reach::Everything, q.clone()).await.unwrap();
            rows.extend(found.rows);
            q.page.cursor = found.next_cursor;
            if q.page.cursor.is_none() {
                break;
            }
            let i = if ascending { 29 - i % 10 } else { i };
            apply(&db, Entity::Users, users(i..i + 1)).await;
        }
        assert_eq!(q.page.cursor, None, "the walk has ended");
        let seen: HashSet<_> = ids(&rows).into_iter().map(str::to_owned).collect();
        assert_eq!(seen.len(), rows.len(), "no user twice");
        for i in 10..20 {
            assert!(seen.contains(&format!("u{i}")), "u{i} is missing, ascending: {ascending}");
        }
        let key = |row: &&MirrorRow| (row.created_at, row.id.clone());
        let ordered = if ascending {
            rows.iter().is_sorted_by_key(|r| key(&r))
        } else {
            rows.iter().rev().is_sorted_by_key(|r| key(&r))
        };
        assert!(ordered, "ascending: {ascending}");
    }
}

#[tokio::test]
async fn users_are_filtered_and_counted() {
    let db = TestStore::new().await;
    let mut rows = users(0..4);
    rows.push(row(
        Entity::Users,
        "x",
        9,
        &[("nick_name", "50%_a"), ("email", "x@Sage"), ("user_status", "1")],
    ));
    apply(&db, Entity::Users, rows).await;
    let q = |text: &str| UsersQuery { q: Some(text.to_owned()), ..Default::default() };
    let customer_id = CustomerId::parse("c-1").ok();
    let cases = [
        (UsersQuery::default(), vec!["x", "u03", "u02", "u01", "u00"]),
        (UsersQuery { customer_id: customer_id.clone(), ..Default::default() }, vec!["u03", "u01"]),
        (UsersQuery { customer_id, ..q("name3") }, vec!["u03"]),
        (UsersQuery { username: Some("name2".to_owned()), ..Default::default() }, vec!["u02"]),
        (UsersQuery { username: Some("name".to_owned()), ..Default::default() }, vec![]),
        (UsersQuery { status: Some("1".to_owned()), ..Default::default() }, vec!["x"]),
        (
            UsersQuery { from: Some(Timestamp::from_seconds(1)), ..Default::default() },
            vec!["x", "u03", "u02"],
        ),
        (UsersQuery { to: Some(Timestamp::from_seconds(1)), ..Default::default() }, vec!["u01", "u00"]),
        (q("0%"), vec!["x"]),
        (q("%"), vec!["x"]),
        (q("x@"), vec!["x"]),
        (q("%name"), vec![]),
    ];
    for (mut query, expected) in cases {
        query.page.count = true;
        let found = query_users(&db.store, &Reach::Everything, query.clone()).await.unwrap();
        assert_eq!(ids(&found.rows), expected, "{query:?}");
        assert_eq!(found.total, Some(i64::try_from(expected.len()).unwrap()), "{query:?}");
    }
}

#[tokio::test]
async fn a_cursor_of_users_takes_no_other_list() {
    let db = TestStore::new().await;
    apply(&db, Entity::Users, users(0..8)).await;
    let start =
        UsersQuery { customer_id: CustomerId::parse("c-1").ok(), page: page(1, false), ..Default::default() };
    let cursor = query_users(&db.store, &Reach::Everything, start.clone()).await.unwrap().next_cursor;
    assert!(cursor.is_some());
    let start = UsersQuery { page: PageRequest { cursor, ..start.page }, ..start };
    let mut wider = start.clone();
    wider.page.limit = 50;
    assert_eq!(
        ids(&query_users(&db.store, &Reach::Everything, wider).await.unwrap().rows),
        ["u05", "u03", "u01"]
    );

    let others: [fn(&mut UsersQuery); 8] = [
        |q| q.customer_id = None,
        |q| q.customer_id = CustomerId::parse("c-0").ok(),
        |q| q.username = Some("name1".to_owned()),
        |q| q.status = Some("0".to_owned()),
        |q| q.q = Some(String::new()),
        |q| q.from = Some(Timestamp::default()),
        |q| q.to = Some(NOW),
        |q| q.page.ascending = true,
    ];
    for (i, change) in others.into_iter().enumerate() {
        let mut q = start.clone();
        change(&mut q);
        let result = query_users(&db.store, &Reach::Everything, q).await;
        assert!(matches!(result, Err(Error::InvalidCursor)), "change {i}: {result:?}");
    }
    let page = start.page;
    let models = query_models(&db.store, ModelsQuery { page: page.clone(), ..Default::default() }).await;
    let uapis = query_uapis(&db.store, UapisQuery { page, ..Default::default() }).await;
    for result in [models, uapis] {
        assert!(matches!(result, Err(Error::InvalidCursor)), "{result:?}");
    }
}

#[tokio::test]
async fn pricing_is_filtered_by_day_and_by_what_the_caller_may_see() {
    let db = TestStore::new().await;
    pricing(&db).await;
    let at = |text: &str| Timestamp::parse(text).ok();
    let p1 = || PricingQuery { ppid: Some("p-1".to_owned()), ..Default::default() };
    let shanghai = TimeZone::get("Asia/Shanghai").unwrap();
    let cases = [
        (p1(), &TimeZone::UTC, vec!["next", "now", "old"]),
        (PricingQuery { status: Some(Validity::Current), ..p1() }, &TimeZone::UTC, vec!["now"]),
        (PricingQuery { status: Some(Validity::Current), ..p1() }, &shanghai, vec!["next"]),
        (PricingQuery { status: Some(Validity::Future), ..p1() }, &TimeZone::UTC, vec!["next"]),
        (PricingQuery { status: Some(Validity::Expired), ..p1() }, &TimeZone::UTC, vec!["old"]),
        (PricingQuery { at: at("2025-06-01T00:00:00Z"), ..p1() }, &TimeZone::UTC, vec!["old"]),
        (
            PricingQuery { at: at("2025-06-01T00:00:00Z"), status: Some(Validity::Future), ..p1() },
            &TimeZone::UTC,
            vec!["next", "now"],
        ),
        (PricingQuery::default(), &TimeZone::UTC, vec!["cost", "draft", "next", "now", "old"]),
        (
            PricingQuery { published_only: true, ..Default::default() },
            &TimeZone::UTC,
            vec!["next", "now", "old"],
        ),
        (
            PricingQuery { llmid: Some("llm".to_owned()), published_only: true, ..Default::default() },
            &TimeZone::UTC,
            vec!["next", "now", "old"],
        ),
        (PricingQuery { llmid: Some("other".to_owned()), ..Default::default() }, &TimeZone::UTC, vec![]),
    ];
    for (q, zone, expected) in cases {
        let found = query_pricing(&db.store, q.clone(), NOW, zone).await.unwrap();
        assert_eq!(sorted(&found.rows), expected, "{q:?}");
    }
}

#[tokio::test]
async fn a_walk_through_current_prices_goes_on_after_midnight() {
    let db = TestStore::new().await;
    pricing(&db).await;
    let start = PricingQuery { status: Some(Validity::Current), page: page(1, true), ..Default::default() };
    let first = query_pricing(&db.store, start.clone(), NOW, &TimeZone::UTC).await.unwrap();
    let continued = PricingQuery { page: PageRequest { cursor: first.next_cursor, ..start.page }, ..start };
    let tomorrow = NOW.plus(std::time::Duration::from_hours(24));
    assert!(query_pricing(&db.store, continued.clone(), tomorrow, &TimeZone::UTC).await.is_ok());

    let others: [fn(&mut PricingQuery); 6] = [
        |q| q.status = Some(Validity::Future),
        |q| q.status = None,
        |q| q.at = Some(NOW),
        |q| q.published_only = true,
        |q| q.llmid = Some("llm".to_owned()),
        |q| q.pricing_type = Some("t".to_owned()),
    ];
    for (i, change) in others.into_iter().enumerate() {
        let mut q = continued.clone();
        change(&mut q);
        let result = query_pricing(&db.store, q, NOW, &TimeZone::UTC).await;
        assert!(matches!(result, Err(Error::InvalidCursor)), "change {i}: {result:?}");
    }
}

#[tokio::test]
async fn a_program_is_found_by_its_valid_row_and_hidden_from_customers_unless_published() {
    let db = TestStore::new().await;
    pricing(&db).await;
    let config = LiveConfig::new(config::defaults());
    let clock: Arc<dyn Clock> = ManualClock::new(NOW);
    let caches = Caches::new(&config, &clock, &Metrics::new("0"));
    let prices = Prices::new(db.store.clone(), &caches, config);
    let found = async |ppid: &str, at: Timestamp, published_only: bool| {
        prices.get(ppid, at, published_only).await.map(|row| row.id.as_str().to_owned())
    };
    assert_eq!(found("p-1", NOW, true).await.unwrap(), "now");
    assert_eq!(found("p-2", NOW, false).await.unwrap(), "cost");
    assert_eq!(found("p-3", NOW, false).await.unwrap(), "draft");
    for (ppid, at) in
        [("p-2", NOW), ("p-3", NOW), ("p-1", Timestamp::default()), ("p-4", NOW), ("p 1", NOW), ("", NOW)]
    {
        let result = found(ppid, at, true).await;
        assert!(matches!(result, Err(Error::NotFound("pricing program"))), "{ppid}: {result:?}");
    }
}

#[tokio::test]
async fn a_user_of_another_customer_or_of_none_is_not_found() {
    let db = TestStore::new().await;
    apply(
        &db,
        Entity::Users,
        vec![row(Entity::Users, "own", 1, &[("orgid", "c-1")]), row(Entity::Users, "free", 1, &[])],
    )
    .await;
    let config = LiveConfig::new(config::defaults());
    let clock: Arc<dyn Clock> = ManualClock::new(NOW);
    let users = MirroredUsers::new(db.store.clone(), &Caches::new(&config, &clock, &Metrics::new("0")));
    let reach = |id| Reach::Customer(CustomerId::parse(id).unwrap());
    let (own, other, all) = (reach("c-1"), reach("c-2"), Reach::Everything);
    assert_eq!(users.get(&own, "own").await.unwrap().id.as_str(), "own");
    assert_eq!(users.get(&all, "free").await.unwrap().id.as_str(), "free");
    for (reach, id) in [(&other, "own"), (&own, "free"), (&own, "absent"), (&all, "own "), (&all, "")] {
        let result = users.get(reach, id).await;
        assert!(matches!(result, Err(Error::NotFound("user"))), "{id}: {result:?}");
    }
}

#[tokio::test]
async fn a_model_is_found_by_row_id_and_then_by_model_id() {
    let db = TestStore::new().await;
    apply(
        &db,
        Entity::Llmage,
        vec![
            row(Entity::Llmage, "row-1", 0, &[("llmid", "llm-a"), ("model", "x"), ("status", "published")]),
            row(Entity::Llmage, "row-2", 0, &[("llmid", "llm-a"), ("model", "y"), ("ppid", "p-1")]),
            row(Entity::Llmage, "llm-b", 0, &[("llmid", "llm-c")]),
            row(Entity::Llmage, "row-3", 0, &[("llmid", "llm-b")]),
        ],
    )
    .await;
    for (id, found) in [("row-2", "row-2"), ("llm-a", "row-1"), ("llm-b", "llm-b"), ("llm-c", "llm-b")] {
        assert_eq!(get_model(&db.store, id).await.unwrap().id.as_str(), found, "{id}");
    }
    assert!(matches!(get_model(&db.store, "llm").await, Err(Error::NotFound("model"))));
    let text = |value: &str| Some(value.to_owned());
    for (q, expected) in [
        (ModelsQuery { llmid: text("llm-a"), ..Default::default() }, vec!["row-1", "row-2"]),
        (ModelsQuery { model: text("y"), ..Default::default() }, vec!["row-2"]),
        (ModelsQuery { status: text("published"), ..Default::default() }, vec!["row-1"]),
        (ModelsQuery { ppid: text("p-1"), ..Default::default() }, vec!["row-2"]),
    ] {
        assert_eq!(sorted(&query_models(&db.store, q.clone()).await.unwrap().rows), expected, "{q:?}");
    }
}

#[tokio::test]
async fn upstream_apis_are_listed_by_name() {
    let db = TestStore::new().await;
    apply(
        &db,
        Entity::Uapi,
        vec![row(Entity::Uapi, "a", 0, &[("name", "chat")]), row(Entity::Uapi, "b", 0, &[])],
    )
    .await;
    let all = query_uapis(&db.store, UapisQuery::default()).await.unwrap();
    assert_eq!(ids(&all.rows), ["b", "a"]);
    let q = UapisQuery { name: Some("chat".to_owned()), ..Default::default() };
    assert_eq!(ids(&query_uapis(&db.store, q).await.unwrap().rows), ["a"]);
}
