use std::path::{Path, PathBuf};

use sageapi_process_tests::installation::{Ended, SCOPES};
use sageapi_test_support::app::variables;
use sageapi_test_support::database::{Kind, TestDatabase};
use sageapi_test_support::server::run;

/// A command on an embedded database that has its encryption key beside it.
async fn command(database: &Path, args: &[&str]) -> Ended {
    let mut env = variables(&format!("sqlite://{}", database.display()));
    env.remove("SAGEAPI_AUTH_ENCRYPTION_KEY");
    Ended::of(&run("sageapi-server", args, env).await)
}

fn key_of(database: &Path) -> PathBuf {
    database.with_extension("db.key")
}

/// Commands that need existing data.
const COMMANDS: [&[&str]; 8] = [
    &["verify"],
    &["customer", "create", "org_a"],
    &["customer", "show", "org_a"],
    &["key", "create", "--customer", "org_a", "--scopes", SCOPES],
    &["key", "list"],
    &["sync", "--once"],
    &["migrate", "--plan"],
    &["migrate", "--status"],
];

#[tokio::test(flavor = "multi_thread")]
async fn where_no_embedded_database_is_a_command_names_the_path_and_makes_nothing() {
    let place = TestDatabase::fresh(Kind::Sqlite).await;
    let folder = place.folder().join("data");
    let database = folder.join("sage.db");
    for args in COMMANDS {
        let ended = command(&database, args).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (64, ""), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains(&database.display().to_string()), "{args:?}: {ended:?}");
        assert!(!folder.exists(), "{args:?}");
    }

    assert_eq!(command(&database, &["migrate"]).await.code, 0);
    assert!(database.is_file() && key_of(&database).is_file());
    for args in &COMMANDS[..5] {
        let ended = command(&database, args).await;
        assert_eq!(ended.code, 0, "{args:?}: {ended:?}");
    }

    let seeded = folder.join("seeded/sage.db");
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../init/data.json");
    assert_eq!(command(&seeded, &["seed", sample]).await.code, 0);
    assert!(seeded.is_file() && key_of(&seeded).is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_database_without_its_key_is_told_and_gets_no_other_one() {
    let place = TestDatabase::fresh(Kind::Sqlite).await;
    let database = place.folder().join("sage.db");
    assert_eq!(command(&database, &["migrate"]).await.code, 0);
    std::fs::remove_file(key_of(&database)).unwrap();
    for args in COMMANDS {
        let ended = command(&database, args).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (64, ""), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains(&key_of(&database).display().to_string()), "{args:?}: {ended:?}");
        assert!(!key_of(&database).exists(), "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_migrates_no_embedded_database() {
    let place = TestDatabase::fresh(Kind::Sqlite).await;
    let database = place.folder().join("sage.db");
    place.execute("CREATE TABLE t (n BIGINT)").await;
    std::fs::write(key_of(&database), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n").unwrap();
    for args in &COMMANDS[..6] {
        let ended = command(&database, args).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (69, ""), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains("0001_") && ended.stderr.contains("migrate"), "{args:?}: {ended:?}");
        assert_eq!(place.texts("SELECT name FROM sqlite_master").await, ["t"], "{args:?}");
    }
}
