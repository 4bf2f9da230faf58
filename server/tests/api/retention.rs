//! Usage records that were deleted are not counted twice, and what `verify` says of usage and quotas.

use std::time::Duration;

use sageapi_server::domain::usage::{BEHIND_FLOOR, Purge, PurgeMode};
use sageapi_server::model::{Timestamp, UserRole};
use serde_json::json;

use crate::people::signing_in;
use crate::site::{Site, on_every_database, on_every_database_with};
use crate::usage::{balance, book_usage, record, stocked, sums};

const DAY: Duration = Duration::from_hours(24);

/// Makes usage look as if it had been told when it happened.
async fn told_in_time(site: &Site) {
    let database = site.database();
    assert!(database.execute("UPDATE usage_logs SET received_at = event_time").await > 0);
    let newest =
        "SELECT MAX(received_at) FROM usage_logs u WHERE u.customer_id = customer_balance.customer_id";
    let sql = format!("UPDATE customer_balance SET last_usage_at = ({newest}) WHERE last_useq > 0");
    assert!(database.execute(&sql).await > 0);
}

/// Deletes as the command does, without the time in which instances hear of it.
async fn purge(site: &Site, before: Timestamp) -> u64 {
    let store = site.env().store();
    store.raise_usage_floor(before.plus(BEHIND_FLOOR)).await.unwrap().unwrap();
    let mut purge = Purge::before(before, PurgeMode::Delete);
    while purge.next_slice(store).await.unwrap() {}
    purge.rows()
}

#[test]
fn a_repetition_of_what_was_deleted_does_not_count_twice() {
    on_every_database(async |site| {
        let (c, key) = stocked(&site).await;
        let (booked, booked_key) = stocked(&site).await;
        book_usage(&site, &booked).await;
        let now = site.env().store().now().await.unwrap();
        let body = |n: u32| {
            let event_time = now.minus(DAY * (10 - n)).to_string();
            json!({"request_id": format!("r-{n}"), "user_id": "u", "model": "large", "input_tokens": 1000,
                   "event_time": event_time})
        };
        for n in 1..=4 {
            record(&site, &key, &body(n)).await;
            record(&site, &booked_key, &body(n)).await;
        }
        told_in_time(&site).await;
        assert!(site.verify().await.is_empty());
        // Exactly when the third happened: strictly before it.
        assert_eq!(purge(&site, now.minus(DAY * 7)).await, 4);
        let places = format!("SELECT useq FROM usage_logs WHERE customer_id = '{}' ORDER BY useq", c.id);
        assert_eq!(site.database().ints(&places).await, [[Some(3)], [Some(4)]]);
        assert!(site.verify().await.is_empty(), "{:?}", site.verify().await);
        let mut tried = 0;
        site.until("the floor is heard of", async || {
            tried += 1;
            let late = json!({
                "request_id": format!("late-{tried}"), "event_time": now.minus(DAY * 9).to_string(),
            });
            site.post(&key, "/usage", &late).await.status == 422
        })
        .await;
        let before = [sums(&site, "usage_totals", &c).await, sums(&site, "usage_daily", &booked).await];
        for n in [1, 2] {
            let again = site.post(&key, "/usage", &body(n)).await;
            assert_eq!(again.refusal(), (422, "event_too_old"), "{}", again.text());
            // What was charged is told apart for ever.
            let again = site.post(&booked_key, "/usage", &body(n)).await;
            assert_eq!((again.status, &again.data()["replayed"]), (200, &json!(true)), "{}", again.text());
        }
        for n in [3, 4] {
            assert_eq!(site.post(&key, "/usage", &body(n)).await.status, 200);
        }
        let after = [sums(&site, "usage_totals", &c).await, sums(&site, "usage_daily", &booked).await];
        assert_eq!(after, before);
        assert_eq!(balance(&site, &booked_key).await, "2");
        record(&site, &key, &json!({"request_id": "r-5"})).await;
        assert!(site.verify().await.is_empty(), "{:?}", site.verify().await);
        // All of a customer may go, and its places go on.
        let count = "SELECT COUNT(*) FROM usage_logs";
        assert!(site.database().int(count).await > 0);
        told_in_time(&site).await;
        purge(&site, now.plus(DAY)).await;
        assert_eq!(site.database().int(count).await, 0);
        assert!(site.verify().await.is_empty(), "{:?}", site.verify().await);
    });
}

#[test]
fn every_kind_of_tampering_with_usage_and_quotas_is_found() {
    on_every_database_with(signing_in, async |site| {
        let (c, key) = stocked(&site).await;
        let (booked, booked_key) = stocked(&site).await;
        book_usage(&site, &booked).await;
        site.customer("10").await;
        let user = site.person(Some(&c.id), UserRole::User).await;
        let now = site.env().store().now().await.unwrap();
        for n in 1..=4 {
            let mut body = json!({
                "request_id": format!("r-{n}"), "user_id": format!("u-{}", n % 2), "model": "large",
                "input_tokens": 1000 * n, "output_tokens": n, "status_code": 200 + n * 50,
            });
            if n == 1 {
                body["event_time"] = json!(now.minus(DAY * 5).to_string());
            }
            record(&site, &key, &body).await;
            record(&site, &booked_key, &body).await;
        }
        record(&site, &key, &json!({"request_id": "r-5", "model": "none"})).await;
        for n in 0..3 {
            let check = json!({"user_id": user.id.as_str(), "tokens": 100 + n});
            let checked = site.post(&key, "/quota/check", &check).await;
            assert_eq!(checked.data()["allowed"], true, "{}", checked.text());
        }
        assert_eq!(site.verify().await, Vec::<String>::new());
        let (of, of_booked) = (format!("customer_id = '{}'", c.id), format!("customer_id = '{}'", booked.id));
        let row = format!("{of} AND useq = 3");
        let charged = format!("{of_booked} AND useq = 3");
        let one_of_day = format!("{of} AND user_id = 'u-0'");
        // What is changed, and what `verify` says of it.
        let mut edits = vec![
            ("usage_logs", "useq = 9".to_owned(), row.clone(), "useq 3 is missing"),
            ("usage_logs", "useq = 9".to_owned(), format!("{of} AND useq = 5"), "useq 5 is missing"),
            ("usage_logs", "useq = 0".to_owned(), format!("{of} AND useq = 1"), "numbered from 1"),
            ("usage_logs", "total_tokens = total_tokens + 1".to_owned(), row.clone(), "total_tokens"),
            ("usage_logs", "received_at = received_at + 600000000".to_owned(), row.clone(), "stored before"),
            ("usage_logs", "event_time = event_time - 86400000000".to_owned(), row.clone(), "usage_totals"),
            ("usage_logs", "user_id = 'x'".to_owned(), row.clone(), "by user, group and model"),
            ("usage_logs", "group_id = 'x'".to_owned(), row.clone(), "by user, group and model"),
            ("usage_logs", "model = 'x'".to_owned(), row.clone(), "by user, group and model"),
            ("usage_logs", "currency = 'USD'".to_owned(), row.clone(), "(CNY)"),
            ("usage_logs", "status_code = 500".to_owned(), format!("{of} AND useq = 1"), "errors"),
            ("usage_logs", "cost = cost + 1".to_owned(), row.clone(), "cost"),
            ("usage_logs", "cost = NULL".to_owned(), row.clone(), "a reason for none"),
            ("usage_logs", "billing = 'book'".to_owned(), row.clone(), "billing is book"),
            ("usage_logs", "billing = 'x'".to_owned(), row.clone(), ""),
            ("usage_logs", "record_id = NULL".to_owned(), charged.clone(), "billing is book"),
            (
                "usage_logs",
                "record_id = X'00112233445566778899aabbccddeeff'".to_owned(),
                charged.clone(),
                "is not its charge",
            ),
            ("usage_logs", "cost = cost + 1".to_owned(), charged.clone(), "is not its charge"),
            ("customer_balance", "last_useq = last_useq + 1".to_owned(), of.clone(), "the last useq is 6"),
            ("customer_balance", "last_usage_at = last_usage_at - 1".to_owned(), of.clone(), "the last useq"),
            (
                "customer_balance",
                "last_useq = 7".to_owned(),
                "last_useq = 0".to_owned(),
                "there are no usage records",
            ),
            ("usage_daily", "day = '2020-01-01'".to_owned(), one_of_day.clone(), "2020-01-01"),
            ("usage_daily", "user_id = 'x'".to_owned(), one_of_day.clone(), "by user, group and model"),
            ("usage_totals", "currency = 'EUR'".to_owned(), of.clone(), "usage_totals"),
            ("usage_totals", "customer_id = 'nobody'".to_owned(), of_booked.clone(), ""),
            (
                "quota_counters",
                "reserved = reserved + 1".to_owned(),
                format!("{of} AND kind = 'live'"),
                "said to be open",
            ),
            (
                "quota_counters",
                "reserved = reserved - 1".to_owned(),
                format!("{of} AND kind = 'day'"),
                "day from",
            ),
            (
                "quota_counters",
                "reserved = reserved - 1".to_owned(),
                format!("{of} AND kind = 'month'"),
                "month from",
            ),
            (
                "quota_counters",
                "user_id = 'x'".to_owned(),
                format!("{of} AND reserved = 3"),
                "3 reservations are",
            ),
            ("quota_reservations", "state = 'settled'".to_owned(), "declared = 101".to_owned(), "day from"),
            ("quota_reservations", "declared = 1".to_owned(), "declared = 101".to_owned(), "day from"),
            ("quota_reservations", "user_id = 'x'".to_owned(), "declared = 101".to_owned(), "day from"),
            (
                "quota_reservations",
                "customer_id = 'x', user_id = 'x'".to_owned(),
                "declared > 0".to_owned(),
                "",
            ),
            ("usage_state", "time_zone = 'Nowhere'".to_owned(), "id = 1".to_owned(), "Nowhere"),
        ];
        for column in ["requests", "errors", "input_tokens", "output_tokens", "cost", "unpriced"] {
            edits.push(("usage_totals", format!("{column} = {column} + 1"), of.clone(), column));
            edits.push(("usage_daily", format!("{column} = {column} + 1"), one_of_day.clone(), column));
        }
        for (table, what, which, said) in edits {
            let edit = format!("UPDATE {table} SET {what} WHERE {which}");
            let found = found(&site, table, &edit).await;
            assert!(found.contains(said), "{edit}: {found}");
            if table.starts_with("usage_") && !said.is_empty() && table != "usage_state" {
                let whose = if which.starts_with(&of) { &c.id } else { &booked.id };
                assert!(found.starts_with(whose.as_str()), "{edit}: {found}");
            }
        }
        let (first, charges) =
            (format!("{of} AND useq = 1"), format!("{of_booked} AND transno = 'usage:r-2'"));
        for (table, which, said) in [
            ("usage_logs", first.as_str(), "useq 1 is missing"),
            ("usage_logs", &of, "there are no usage records"),
            ("usage_daily", &one_of_day, "usage_daily adds up to"),
            ("usage_daily", &of, "usage_daily adds up to"),
            ("usage_totals", &of, "usage_totals says"),
            ("quota_counters", &of, "3 reservations are open"),
            ("quota_reservations", "declared = 101", "day from"),
            ("accounting_records", &charges, ""),
            ("customer_balance", &of, ""),
        ] {
            let found = found(&site, table, &format!("DELETE FROM {table} WHERE {which}")).await;
            assert!(found.contains(said), "{table}: {found}");
        }
    });
}

#[test]
fn sums_of_days_whose_records_may_be_gone_are_at_least_as_large() {
    on_every_database(async |site| {
        let (c, key) = stocked(&site).await;
        let now = site.env().store().now().await.unwrap();
        for (n, days) in [(1, 9), (2, 9), (3, 2)] {
            let event_time = now.minus(DAY * days).to_string();
            let body = json!({"request_id": format!("r-{n}"), "model": "large", "input_tokens": 1000, "event_time": event_time});
            record(&site, &key, &body).await;
        }
        site.env().store().raise_usage_floor(now.minus(DAY * 5)).await.unwrap().unwrap();
        assert!(site.verify().await.is_empty());
        let day = |days: u32| now.minus(DAY * days).to_string()[..10].to_owned();
        for (days, change, is_found) in
            [(9, "+ 1", false), (9, "- 1", true), (2, "+ 1", true), (2, "- 1", true)]
        {
            for table in ["usage_totals", "usage_daily"] {
                let sql =
                    format!("UPDATE {table} SET requests = requests {change} WHERE day = '{}'", day(days));
                assert_eq!(site.database().execute(&sql).await, 1, "{sql}");
            }
            let verified = site.verify().await;
            assert_eq!(!verified.is_empty(), is_found, "{days} {change}: {verified:?}");
            if let Some(found) = verified.first() {
                let at = format!("{}, {}: usage_totals says requests", c.id, day(days));
                assert!(found.starts_with(&at), "{found}");
            }
            let back = if change == "+ 1" { "- 1" } else { "+ 1" };
            for table in ["usage_totals", "usage_daily"] {
                let sql =
                    format!("UPDATE {table} SET requests = requests {back} WHERE day = '{}'", day(days));
                site.database().execute(&sql).await;
            }
        }
        assert!(site.verify().await.is_empty());
    });
}

/// Makes a change of this table that must be found, and takes it back.
async fn found(site: &Site, table: &str, change: &str) -> String {
    let database = site.database();
    database.execute(&format!("CREATE TABLE kept AS SELECT * FROM {table}")).await;
    assert!(database.execute(change).await > 0, "nothing was changed by {change}");
    let found = site.verify().await.pop();
    database.execute(&format!("DELETE FROM {table}")).await;
    database.execute(&format!("INSERT INTO {table} SELECT * FROM kept")).await;
    database.execute("DROP TABLE kept").await;
    let found = found.unwrap_or_else(|| panic!("not found: {change}"));
    assert_eq!(site.verify().await, Vec::<String>::new(), "everything is as it was before {change}");
    found
}
