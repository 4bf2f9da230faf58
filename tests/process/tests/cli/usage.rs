//! `usage purge`.

use sageapi_process_tests::Installation;
use sageapi_test_support::database::kinds;
use serde_json::json;

/// Two records of a customer, received at these Unix times.
async fn fill(installation: &Installation, times: [i64; 2]) {
    installation.json(&["customer", "create", "org_a"]).await;
    for (useq, at) in (1..).zip(times) {
        let micros = at * 1_000_000;
        let sql = format!(
            "INSERT INTO usage_logs (customer_id, useq, id, request_id, input_tokens, output_tokens, total_tokens, currency, \
             unpriced, billing, body_hash, event_time, received_at) VALUES ('org_a', {useq}, X'{useq:032x}', 'r{useq}', 0, 0, \
             0, 'CNY', 'x', 'log', X'{useq:064x}', {micros}, {micros})"
        );
        assert_eq!(installation.database.execute(&sql).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_before_a_time_is_counted_then_deleted_and_that_is_audited() {
    let installation = Installation::new(kinds()[0]).await;
    // 2026-01-10 and 2026-01-20.
    fill(&installation, [1_768_003_200, 1_768_867_200]).await;
    let count = "SELECT COUNT(*) FROM usage_logs";
    for (before, says) in [("tomorrow", "--before"), ("2999-01-01T00:00:00Z", "two days ago")] {
        let refused = installation.command(&["usage", "purge", "--before", before]).await;
        assert_eq!((refused.code, refused.stdout.as_str()), (64, ""), "{refused:?}");
        assert!(refused.stderr.contains(says), "{refused:?}");
    }
    let purge = ["usage", "purge", "--before", "2026-01-20T00:00:00Z"];
    let counted = installation.json(&[&purge[..], &["--dry-run"]].concat()).await;
    let purged = json!({"before": "2026-01-20T00:00:00.000000Z", "rows": 1, "dry_run": true});
    assert_eq!(counted, purged);
    assert_eq!(installation.database.int(count).await, 2);
    assert_eq!(installation.database.int("SELECT MAX(floor) FROM usage_state").await, 0);
    let deleted = installation.json(&purge).await;
    assert_eq!((&deleted["rows"], &deleted["dry_run"]), (&json!(1), &json!(false)));
    assert_eq!(installation.database.int("SELECT MAX(useq) FROM usage_logs").await, 2);
    assert_eq!(installation.database.int(count).await, 1);
    // A day after what was deleted.
    assert_eq!(installation.database.int("SELECT MAX(floor) FROM usage_state").await, 1_768_953_600_000_000);
    let audited = installation.json(&["audit", "list", "--object", "usage"]).await;
    assert_eq!((&audited[0]["action"], &audited[0]["diff"]["after"]["rows"]), (&json!("purge"), &json!(1)));
}
