//! A failure of one customer does not affect others in the same commits.

use std::time::Duration;

use futures_util::future::join_all;
use sageapi_server::domain::booking::{Action, Request, Reserve};
use sageapi_server::model::{Currency, CustomerId, Money, Transno};
use sageapi_server::store::NewCustomer;
use sageapi_test_support::app::{App, AppBuilder};
use sageapi_test_support::database::Kind;
use serde_json::{Value, json};
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::raw::{Credentials, Reply};
use crate::site::{Customer, Site, new_id, on, on_every_database_with};

/// What takes longer than this fails; it is far below what a customer that is locked used to cost.
const LONG: Duration = Duration::from_secs(60);

/// All customers in one shard.
fn one_writer(builder: AppBuilder) -> AppBuilder {
    builder.config(|config| config.accounting.writers = 1)
}

async fn charge(site: &Site, key: &Credentials, transno: &str) -> Reply {
    site.post(key, "/accounting", &json!({"transno": transno, "amount": "0.01"})).await
}

/// Keeps a customer's row locked, as a transaction does whose host is gone.
pub async fn lock(site: &Site, id: &str) -> MySqlConnection {
    let mut conn = site.database().mysql().await;
    conn.execute("START TRANSACTION").await.unwrap();
    let lock = format!("SELECT 1 FROM customer_balance WHERE customer_id = '{id}' FOR UPDATE");
    conn.fetch_all(AssertSqlSafe(lock)).await.unwrap();
    conn
}

#[test]
fn a_customer_that_somebody_keeps_locked_waits_alone() {
    on(Kind::MySql, async || {
        let site = Site::new(one_writer(App::builder(Kind::MySql)).start().await);
        let locked = site.customer("10").await;
        let neighbours = join_all((0..8).map(|_| site.customer("10"))).await;
        let mut stranger = lock(&site, &locked.id).await;
        let asking = join_all((0..4).map(|n| {
            let (site, locked) = (&site, &locked);
            async move { charge(site, &locked.key, &format!("early-{n}")).await }
        }));
        let booked = async {
            for round in 0..20 {
                let transno = format!("t-{round}");
                let done = join_all(neighbours.iter().map(|c| charge(&site, &c.key, &transno))).await;
                for reply in done {
                    assert_eq!(reply.status, 201, "round {round}: {}", reply.text());
                }
            }
            // Together with the customer that is locked, each for itself or all at once.
            let items: Vec<_> = [&locked, &neighbours[0], &neighbours[1]]
                .map(|c| json!({"transno": "batch", "customer_id": c.id, "amount": "0.01"}))
                .into();
            let items = json!(items);
            let each = site.post(&site.platform, "/accounting/batch", &items);
            let atomic: Vec<_> = [&locked, &neighbours[2]]
                .map(|c| json!({"transno": "atomic", "customer_id": c.id, "amount": "0.01"}))
                .into();
            let atomic = json!(atomic);
            let all = site.post(&site.platform, "/accounting/batch?atomic=true", &atomic);
            let later = charge(&site, &neighbours[2].key, "later");
            let (each, all, later) = tokio::join!(each, all, later);
            let statuses: Vec<_> = each.rows().iter().map(|row| row["status"].clone()).collect();
            assert_eq!(statuses, [503, 201, 201], "{}", each.text());
            assert_eq!(all.refusal(), (503, "store_unavailable"));
            assert_eq!(later.status, 201, "{}", later.text());
        };
        let (early, ()) = tokio::time::timeout(LONG, async { tokio::join!(asking, booked) }).await.unwrap();
        for reply in early {
            assert_eq!(reply.refusal(), (503, "store_unavailable"));
            assert!(!reply.header("retry-after").is_empty());
        }
        // Who asks while the lock goes hears of the booking, and the customer is as any other again.
        let free = async { stranger.execute("ROLLBACK").await.unwrap() };
        let (late, _) = tokio::join!(charge(&site, &locked.key, "late"), free);
        assert_eq!(late.status, 201, "{}", late.text());
        assert_eq!(charge(&site, &locked.key, "early-0").await.status, 201);
        assert_eq!(site.get(&locked.key, "/balance").await.data()["balance"], "9.98");
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn a_retry_waits_five_seconds_for_the_first_request_and_is_then_told_that_it_is_in_progress() {
    on(Kind::MySql, async || {
        let site = Site::new(App::start(Kind::MySql).await);
        let (c, neighbour) = (site.customer("10").await, site.customer("10").await);
        let mut stranger = lock(&site, &c.id).await;
        let first = charge(&site, &c.key, "same");
        let second = async {
            let line = "sageapi_booking_queue_depth 1";
            site.until(line, async || site.env().metrics().encode().lines().any(|l| l == line)).await;
            let began = site.env().clock().monotonic();
            let items = |other: &str| {
                let of = |transno: &str, c: &Customer| json!({"transno": transno, "customer_id": c.id, "amount": "0.01"});
                json!([of(other, &neighbour), of("same", &c), of(other, &neighbour)])
            };
            let (each, atomic) = (items("each"), items("atomic"));
            let (told, each, all) = tokio::join!(
                charge(&site, &c.key, "same"),
                site.post(&site.platform, "/accounting/batch", &each),
                site.post(&site.platform, "/accounting/batch?atomic=true", &atomic),
            );
            for told in [&told, &all] {
                assert_eq!(told.refusal(), (409, "transno_in_progress"), "{}", told.text());
                assert!(!told.header("retry-after").is_empty());
            }
            assert_eq!(all.json["index"], 1);
            let rows = each.rows();
            let statuses: Vec<_> = rows.iter().map(|row| row["status"].clone()).collect();
            assert_eq!(statuses, [201, 409, 200], "a batch does not stand behind itself: {}", each.text());
            assert_eq!(rows[1]["error"]["code"], "transno_in_progress");
            let waited = site.env().clock().monotonic().saturating_sub(began);
            assert!(waited >= Duration::from_secs(5), "it waits for the first one before: {waited:?}");
            stranger.execute("ROLLBACK").await.unwrap();
        };
        let (first, ()) = tokio::join!(first, second);
        // Those behind it were told to retry, but are still decided, perhaps before it: one of them books.
        assert!(matches!(first.status, 200 | 201), "{}", first.text());
        assert_eq!(charge(&site, &c.key, "same").await.status, 200);
        assert_eq!(site.get(&c.key, "/balance").await.data()["balance"], "9.99");
    });
}

#[test]
fn a_customer_whose_row_is_behind_its_records_fails_alone() {
    on_every_database_with(one_writer, async |site| {
        let broken = site.customer("10").await;
        let neighbours = join_all((0..30).map(|_| site.customer("10"))).await;
        let back = |by: &str| {
            format!(
                "UPDATE customer_balance SET last_seq = last_seq {by} 1 WHERE customer_id = '{}'",
                broken.id
            )
        };
        assert_eq!(site.database().execute(&back("-")).await, 1);
        let of = |c: &Customer| json!({"transno": "t", "customer_id": c.id, "amount": "0.01"});
        let mut items: Vec<Value> = neighbours.iter().map(of).collect();
        items.insert(17, of(&broken));
        let done = site.post(&site.platform, "/accounting/batch", &json!(items)).await;
        for (place, row) in done.rows().iter().enumerate() {
            assert_eq!(row["status"], if place == 17 { 500 } else { 201 }, "{place}: {row}");
        }
        assert_eq!(charge(&site, &broken.key, "u").await.refusal(), (500, "internal"));
        assert_eq!(site.database().execute(&back("+")).await, 1);
        assert_eq!(charge(&site, &broken.key, "u").await.status, 201);
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn a_full_queue_refuses_singles_and_loses_none_that_it_took() {
    on(Kind::Sqlite, async || {
        let app = App::builder(Kind::Sqlite).config(|config| config.accounting.queue = 20).start().await;
        let site = Site::new(app);
        let customers = join_all((0..6).map(|_| site.customer("10"))).await;
        // Nothing is committed while somebody else writes to the file.
        let mut stranger = site.database().sqlite().await;
        stranger.execute("BEGIN IMMEDIATE").await.unwrap();
        let depth = async |wanted: i64| {
            let line = format!("sageapi_booking_queue_depth {wanted}");
            site.until(&line, async || site.env().metrics().encode().lines().any(|l| l == line)).await;
        };
        let of = |c: usize| (0..4).map(move |n| (c, format!("t-{n}")));
        let send = |(c, transno): (usize, String)| {
            let (site, customers) = (&site, &customers);
            async move { charge(site, &customers[c].key, &transno).await }
        };
        let told = async {
            depth(4).await;
            let fifth = charge(&site, &customers[0].key, "fifth").await;
            assert_eq!(fifth.refusal(), (503, "overloaded"), "a fifth of the queue is one customer's");
            assert!(!fifth.header("retry-after").is_empty());
        };
        let others = async {
            told.await;
            let others = join_all((1..5).flat_map(of).map(send));
            let full = async {
                depth(20).await;
                let late = charge(&site, &customers[5].key, "late").await;
                assert_eq!(late.refusal(), (503, "overloaded"), "the queue is full");
                stranger.execute("ROLLBACK").await.unwrap();
            };
            tokio::join!(others, full).0
        };
        let (first, others) = tokio::join!(join_all(of(0).map(send)), others);
        for reply in first.into_iter().chain(others) {
            assert_eq!(reply.status, 201, "{}", reply.text());
        }
        assert_eq!(charge(&site, &customers[5].key, "late").await.status, 201);
        depth(0).await;
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

/// A customer with so many holds of 1 that last eight seconds, all made at once.
async fn holds(site: &Site, count: usize) -> CustomerId {
    let id = CustomerId::parse(&new_id("holder")).unwrap();
    let new = NewCustomer {
        id: id.clone(),
        currency: Currency::parse("CNY").unwrap(),
        credit_limit: Money::parse("5000").unwrap(),
    };
    assert!(site.env().store().create_customer(new).await.unwrap());
    let hold = |n: usize| Request {
        customer_id: id.clone(),
        body_hash: [0; 32],
        nonce: None,
        action: Action::Hold(Reserve {
            transno: Transno::parse(&format!("h-{n}")).unwrap(),
            amount: Money::parse("1").unwrap(),
            currency: None,
            ttl: Duration::from_secs(8),
            user_id: None,
            note: None,
        }),
    };
    for made in site.env().bookings().submit_bulk((0..count).map(hold).collect()).await.unwrap() {
        made.unwrap();
    }
    id
}

#[test]
fn thousands_of_holds_that_expire_at_once_are_closed_once_even_if_one_customer_is_locked_or_has_very_many() {
    const CUSTOMERS: usize = 2_200;
    const OF_ONE: usize = 1_300;
    on_every_database_with(AppBuilder::without_background, async |site| {
        let elsewhere = site.command().await;
        let first = holds(&site, 1).await;
        let many = holds(&site, OF_ONE).await;
        for _ in 0..CUSTOMERS / 100 {
            join_all((0..100).map(|_| holds(&site, 1))).await;
        }
        let count = async |what: &str| site.database().int(&format!("SELECT COUNT(*) FROM {what}")).await;
        let all = i64::try_from(1 + OF_ONE + CUSTOMERS).unwrap();
        assert_eq!(count("holds WHERE state = 'open'").await, all, "nobody looked yet");
        let now = async || site.env().store().now().await.unwrap().micros();
        let last = site.database().int("SELECT MAX(expires_at) FROM holds").await;
        let due = async {
            while now().await <= last {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LONG, due).await.expect("time goes on");
        // The one that is due first is locked by somebody else.
        let mut stranger = None;
        if site.database().kind() == Kind::MySql {
            stranger = Some(lock(&site, first.as_str()).await);
        }
        site.env().start_background().await;
        elsewhere.env.start_background().await;
        let left = i64::from(stranger.is_some());
        let closed = async {
            while count("holds WHERE state = 'open'").await > left {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LONG, closed).await.expect("they are closed in time");
        if let Some(mut stranger) = stranger {
            stranger.execute("ROLLBACK").await.unwrap();
        }
        site.until("the last one is closed", async || count("holds WHERE state = 'open'").await == 0).await;
        assert_eq!(count("holds WHERE state = 'expired'").await, all);
        assert_eq!(count("customer_balance WHERE held <> 0").await, 0);
        // Created, and twice for each hold: one that was let go twice would count once more.
        let versions = format!(
            "customer_balance WHERE version <> CASE customer_id WHEN '{many}' THEN {} ELSE 3 END",
            1 + 2 * OF_ONE
        );
        assert_eq!(count(&versions).await, 0);
        assert_eq!(site.verify().await, Vec::<String>::new());
        elsewhere.stop().await;
    });
}
