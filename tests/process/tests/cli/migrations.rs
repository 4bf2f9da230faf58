use std::time::Duration;

use sageapi_process_tests::Installation;
use sageapi_process_tests::installation::Ended;
use sageapi_test_support::client::Client;
use sageapi_test_support::database::{Kind, TestDatabase, kinds};
use sageapi_test_support::server::{ServerProcess, cli};
use serde_json::Value;

const ANOTHER_KEY: &str = "//////////////////////////////////////////8=";
const SOON: Duration = Duration::from_secs(30);

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
        // A missing embedded database is not an empty one; this creates it.
        database.execute("CREATE TABLE t (n BIGINT)").await;
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

/// A migrated database that an operator claims.
async fn claimed(kind: Kind) -> Installation {
    let installation = Installation::new(kind).await;
    assert_eq!(installation.json(&["migrate", "--owner", "one"]).await["owner"], "one");
    installation
}

/// Takes the last migration back; gives its name.
async fn set_back(installation: &Installation) -> String {
    let database = &installation.database;
    let name = database.texts("SELECT name FROM schema_migrations ORDER BY version DESC").await.remove(0);
    let last = database.int("SELECT MAX(version) FROM schema_migrations").await;
    database.execute(&format!("DELETE FROM schema_migrations WHERE version = {last}")).await;
    database.execute(&format!("UPDATE schema_info SET version = {}", last - 1)).await;
    name
}

async fn readyz(server: &ServerProcess) -> http::StatusCode {
    Client::new("", "", "").fetch(&format!("{}/readyz", server.admin())).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_wrong_key_a_claimed_database_is_refused_for_the_key() {
    for kind in kinds() {
        let mut installation = claimed(kind).await;
        installation.set("SAGEAPI_AUTH_ENCRYPTION_KEY", ANOTHER_KEY);
        let verify = installation.command(&["verify"]).await;
        assert_eq!(verify.code, 64, "{verify:?}");
        let mut server = installation.server().spawn();
        assert_eq!(server.wait(SOON).await.code(), Some(64), "{:?}", server.stderr());
        for said in [verify.stderr, server.stderr().join("\n")] {
            assert!(said.contains("another encryption key") && !said.contains("take-over"), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_claimed_database_that_is_behind_commands_and_servers_name_what_is_pending() {
    for kind in kinds() {
        let installation = claimed(kind).await;
        let pending = set_back(&installation).await;
        let verify = installation.command(&["verify"]).await;
        assert_eq!(verify.code, 69, "{verify:?}");
        let mut said = vec![verify.stderr];
        // An embedded database is migrated by its server.
        if kind == Kind::MySql {
            let mut server = installation.server().without_waiting().start().await;
            let why = |line: &str| line.contains(&pending).then(|| line.to_owned());
            said.push(server.process().wait_stderr("why it is not ready", why).await);
            assert_eq!(readyz(&server).await, 503);
            server.sigterm();
            assert_eq!(server.wait().await.code(), Some(0));
        }
        for said in said {
            assert!(said.contains(&pending) && said.contains("migrate --owner one"), "{said}");
            assert!(!said.contains("take-over"), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_on_a_newer_or_changed_schema_stays_up_unready_and_serves_once_it_fits() {
    for kind in kinds() {
        let installation = Installation::new(kind).await;
        let database = &installation.database;
        let last = database.int("SELECT version FROM schema_info").await;
        let sum =
            database.texts("SELECT HEX(checksum) FROM schema_migrations WHERE version = 1").await.remove(0);
        let cases = [
            (
                format!("UPDATE schema_info SET version = {0}, compatible_from = {0}", last + 1),
                "this binary knows",
                format!("UPDATE schema_info SET version = {last}, compatible_from = 1"),
            ),
            (
                "UPDATE schema_migrations SET checksum = x'00' WHERE version = 1".to_owned(),
                "was changed after",
                format!("UPDATE schema_migrations SET checksum = x'{sum}' WHERE version = 1"),
            ),
        ];
        for (break_it, reason, mend_it) in cases {
            database.execute(&break_it).await;
            let mut server = installation.server().without_waiting().start().await;
            let why = |line: &str| line.contains(reason).then_some(());
            server.process().wait_stderr("why it is not ready", why).await;
            assert_eq!(readyz(&server).await, 503, "{kind}: {reason}");
            database.execute(&mend_it).await;
            server.wait_ready().await;
            server.sigterm();
            assert_eq!(server.wait().await.code(), Some(0), "{kind}: {reason}");
        }
    }
}
