use sageapi_process_tests::{Installation, SimProcess};
use sageapi_test_support::database::kinds;
use sageapi_upstream_sim::{DEMO_KEY, DEMO_SECRET};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn sync_once_mirrors_one_entity_or_all_and_then_only_what_changed() {
    for kind in kinds() {
        let mut installation = Installation::new(kind).await;
        let sim =
            SimProcess::start(&["--users", "120", "--models", "7", "--apis", "3", "--programs", "4"]).await;
        installation.set("SAGEAPI_UPSTREAM_URL", sim.url());
        installation.set("SAGEAPI_UPSTREAM_DAPI_KEY", DEMO_KEY);
        installation.set("SAGEAPI_UPSTREAM_DAPI_SECRET", DEMO_SECRET);
        installation.set("SAGEAPI_SYNC_USERS_BATCH_SIZE", "50");

        let one = installation.json(&["sync", "--once", "llmage"]).await;
        assert_eq!(one.as_array().unwrap().len(), 1);
        assert_eq!(
            (&one[0]["entity"], &one[0]["upserts"], &one[0]["pages"]),
            (&json!("llmage"), &json!(7), &json!(1))
        );
        let all = installation.json(&["sync", "--once"]).await;
        let upserts: Vec<_> = all
            .as_array()
            .unwrap()
            .iter()
            .map(|run| (run["entity"].as_str().unwrap(), run["upserts"].as_u64().unwrap()))
            .collect();
        let pricing = installation.database.int("SELECT COUNT(*) FROM pricing_cache").await;
        assert_eq!(
            upserts,
            [("users", 120), ("pricing", u64::try_from(pricing).unwrap()), ("llmage", 0), ("uapi", 3)]
        );
        assert_eq!(all[0]["pages"], 3);
        sim.command("delete", json!({"entity": "users", "count": 2})).await;
        let text = installation.command(&["sync", "--once", "users"]).await;
        assert_eq!((text.code, text.stderr.as_str()), (0, ""), "{text:?}");
        assert!(text.stdout.contains("users") && text.stdout.contains("2 deleted"), "{text:?}");
        assert_eq!(
            installation.database.int("SELECT COUNT(*) FROM users_cache WHERE deleted = 0").await,
            118
        );
    }
}
