use sageapi_process_tests::Installation;
use sageapi_test_support::database::kinds;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_created_credited_limited_suspended_and_resumed() {
    for kind in kinds() {
        let installation = Installation::new(kind).await;
        let run = async |args: &[&str]| installation.json(&[&["customer"], args].concat()).await;
        let created = run(&["create", "org_a", "--currency", "USD"]).await;
        let expected = json!({
            "customer_id": "org_a", "balance": "0", "held": "0", "available": "0", "credit_limit": "0", "currency": "USD",
            "status": "active", "mode": null, "seq": 0,
        });
        let of = |shown: &Value| {
            let mut shown = shown.clone();
            shown.as_object_mut().unwrap().remove("version");
            shown
        };
        assert_eq!(of(&created), expected);
        for _ in 0..2 {
            let credited = run(&["credit", "org_a", "12.5", "--transno", "T-1"]).await;
            assert_eq!(
                (&credited["balance"], &credited["seq"]),
                (&json!("12.5"), &json!(1)),
                "the second books nothing"
            );
        }
        assert_eq!(run(&["set-limit", "org_a", "100"]).await["available"], "112.5");
        assert_eq!(run(&["set-mode", "org_a", "allow_negative"]).await["mode"], "allow_negative");
        assert_eq!(run(&["set-mode", "org_a", "default"]).await["mode"], Value::Null);
        assert_eq!(run(&["suspend", "org_a"]).await["status"], "suspended");
        assert_eq!(
            run(&["credit", "org_a", "1", "--transno", "T-2"]).await["balance"],
            "13.5",
            "credits pass"
        );
        assert_eq!(run(&["resume", "org_a"]).await["status"], "active");
        let shown = run(&["show", "org_a"]).await;
        assert_eq!((&shown["balance"], &shown["status"]), (&json!("13.5"), &json!("active")));

        let text = installation.command(&["customer", "show", "org_a"]).await;
        assert_eq!(text.code, 0);
        assert!(text.stdout.contains("13.5 USD") && text.stderr.is_empty(), "{text:?}");
        assert_eq!(installation.json(&["customer", "create", "org_b"]).await["currency"], "CNY");
        assert_eq!(installation.verify().await, 2);
    }
}
