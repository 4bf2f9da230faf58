use sageapi_process_tests::installation::Ended;
use sageapi_test_support::database::{TestDatabase, kinds};
use sageapi_test_support::server::cli;
use serde_json::Value;

async fn migrate(database: &TestDatabase, args: &[&str]) -> (i32, Value, String) {
    let url = database.url();
    let ended =
        Ended::of(&cli(&[&["migrate"], args].concat(), [("SAGEAPI_DATABASE_URL", url.as_str())]).await);
    let result = serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}: {ended:?}"));
    (ended.code, result, ended.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_planned_migrated_claimed_and_taken_over() {
    for kind in kinds() {
        let database = TestDatabase::fresh(kind).await;
        let verdict = async |args: &[&str]| {
            let (code, result, _) = migrate(&database, args).await;
            (code, result["verdict"].as_str().unwrap().to_owned())
        };
        let (code, plan, stderr) = migrate(&database, &["--plan"]).await;
        assert_eq!((code, plan["verdict"].as_str(), stderr.as_str()), (0, Some("forward"), ""), "{plan}");
        let pending = plan["pending"].as_array().unwrap().len();
        assert_eq!((plan["from"].as_u64(), plan["to"].as_u64()), (Some(0), Some(pending as u64)), "{plan}");
        assert_eq!(verdict(&["--plan"]).await, (0, "forward".into()), "a plan changes nothing");

        let file = database.folder().join("result.json");
        let (code, result, _) = migrate(&database, &["--result-file", file.to_str().unwrap()]).await;
        assert_eq!((code, &result["verdict"]), (0, &Value::from("forward")), "{result}");
        let written: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(written, result);
        assert_eq!(verdict(&[]).await, (0, "none".into()));
        assert_eq!(verdict(&["--plan"]).await, (0, "none".into()));

        assert_eq!(verdict(&["--owner", "one"]).await, (0, "none".into()));
        assert_eq!(verdict(&["--owner", "two"]).await, (64, "owned-by-another".into()));
        assert_eq!(verdict(&["--plan", "--owner", "two"]).await, (0, "owned-by-another".into()));
        let (code, claimed, _) = migrate(&database, &["--owner", "two", "--take-over"]).await;
        assert_eq!((code, claimed["owner"].as_str()), (0, Some("two")), "{claimed}");
        assert_eq!(verdict(&["--owner", "one"]).await, (64, "owned-by-another".into()));
        let status = cli(&["migrate", "--status"], [("SAGEAPI_DATABASE_URL", database.url().as_str())]).await;
        assert!(String::from_utf8(status.stdout).unwrap().contains("claimed by two"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_migrations_at_once_both_end_well_or_one_says_try_again() {
    for kind in kinds() {
        let database = std::sync::Arc::new(TestDatabase::fresh(kind).await);
        let runs: Vec<_> = (0..3)
            .map(|_| {
                let database = database.clone();
                tokio::spawn(async move { migrate(&database, &[]).await })
            })
            .collect();
        for run in runs {
            let (code, result, _) = run.await.unwrap();
            assert!(code == 0 || code == 75, "{code}: {result}");
        }
        assert_eq!(migrate(&database, &["--plan"]).await.1["verdict"], "none");
    }
}
