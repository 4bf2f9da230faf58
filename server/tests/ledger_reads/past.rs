use std::time::Duration;

use sageapi_server::model::Timestamp;
use serde_json::json;

use crate::ledger::{fill, on_every_database, walk};

#[test]
fn a_past_balance_is_that_after_the_last_record_until_then() {
    on_every_database(async |app| {
        let key = app.customer("org-p", "0").await;
        let nothing = key.get("/balance?at=2999-01-01T00:00:00Z").await;
        assert_eq!(nothing.data()["balance"], "0");
        for n in 0..10 {
            fill(&app.env, "org-p", n, 1).await;
        }
        // Several of one moment.
        fill(&app.env, "org-p", 10, 40).await;
        let rows = walk(&key, "/accounting?order=asc", async || ()).await;
        for row in &rows {
            let at = row["created_at"].as_str().unwrap();
            let last = rows.iter().rev().find(|row| row["created_at"].as_str().unwrap() <= at).unwrap();
            let past = key.get(&format!("/balance?at={at}")).await;
            let past = past.data();
            for (member, of) in [
                ("balance", "balance_after"),
                ("held", "held_after"),
                ("available", "available_after"),
                ("seq", "seq"),
                ("currency", "currency"),
                ("customer_id", "customer_id"),
            ] {
                assert_eq!(past[member], last[of], "{member} at {at}");
            }
            assert_eq!((&past["as_of"], &past["source"]), (&json!(at), &json!("ledger")));
            assert_eq!((&past["status"], &past["credit_limit"]), (&json!("active"), &json!("0")));
        }
        let newest = key.get("/balance?at=2999-01-01T08:00:00%2B08:00").await;
        assert_eq!(
            (&newest.data()["seq"], &newest.data()["as_of"]),
            (&json!(50), &json!("2999-01-01T00:00:00.000000Z"))
        );
        let before = key.get("/balance?at=2001-01-01T00:00:00Z").await;
        assert_eq!((&before.data()["seq"], &before.data()["balance"]), (&json!(0), &json!("0")));
        assert_eq!(
            app.platform.get("/balance?at=2001-01-01T00:00:00Z&customer_id=nobody").await.problem(),
            (404, "not_found")
        );
        assert_eq!(key.get("/balance?at=yesterday").await.problem(), (400, "invalid_request"));
        assert_eq!(
            key.get("/balance?at=2001-01-01T00:00:00Z&customer_id=org-x").await.problem(),
            (403, "customer_forbidden")
        );
    });
}

#[test]
fn a_past_balance_counts_the_holds_that_were_open_then() {
    on_every_database(async |app| {
        let key = app.customer("org-h", "100").await;
        let now = async || key.get("/balance").await.data()["as_of"].as_str().unwrap().to_owned();
        let held_at = async |at: &str| {
            let past = key.get(&format!("/balance?at={at}")).await;
            let text = |member: &str| past.data()[member].as_str().unwrap().to_owned();
            (text("held"), text("available"))
        };
        let pair = |held: &str, available: &str| (held.to_owned(), available.to_owned());
        let hold = async |transno: &str, amount: &str| {
            let made = key.post("/holds", &json!({"transno": transno, "amount": amount})).await;
            assert_eq!(made.status, 201, "{}", made.text());
            (
                made.data()["id"].as_str().unwrap().to_owned(),
                made.data()["created_at"].as_str().unwrap().to_owned(),
            )
        };
        let before = now().await;
        // SQLite's clock shows the millisecond that has begun.
        while app.env.store().now().await.unwrap() <= Timestamp::parse(&before).unwrap() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (first, first_made) = hold("h1", "40").await;
        let (second, second_made) = hold("h2", "5").await;
        let released = key.post(&format!("/holds/{first}/release"), &json!({})).await;
        assert_eq!(released.status, 200);
        let captured =
            key.post(&format!("/holds/{second}/capture"), &json!({"transno": "c", "amount": "3"})).await;
        let captured_at = captured.data()["created_at"].as_str().unwrap().to_owned();
        assert_eq!(held_at(&before).await, pair("0", "100"));
        assert_eq!(held_at(&first_made).await, pair("40", "60"));
        assert_eq!(held_at(&second_made).await, pair("45", "55"));
        hold("h3", "7").await;
        // It will have expired then, or will have been captured: that is not known yet.
        assert_eq!(held_at("2999-01-01T00:00:00Z").await, pair("7", "90"));
        assert_eq!(held_at(&captured_at).await, pair("0", "97"));
    });
}
