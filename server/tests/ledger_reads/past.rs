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
