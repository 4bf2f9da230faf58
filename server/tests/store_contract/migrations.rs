use sageapi_contract::Verdict;
use sageapi_server::store::{Migrate, OwnerCheck, SchemaState, Store};
use sageapi_test_support::database::{Kind, TestDatabase};

use crate::{Db, contract};

const OTHER_KEY: &str = "//////////////////////////////////////////8=";

fn owned_by(owner: &str) -> Migrate {
    Migrate { owner: Some(owner.to_owned()), ..Migrate::default() }
}

/// What a migration by this owner would find.
async fn verdict(store: &Store, owner: Option<&str>) -> SchemaState {
    store.schema_state(OwnerCheck::Owner(owner)).await.unwrap()
}

/// What who serves or runs another command finds.
async fn seen(store: &Store) -> SchemaState {
    store.schema_state(OwnerCheck::User).await.unwrap()
}

/// Everything that the schema consists of, as sorted text.
async fn schema(database: &TestDatabase) -> Vec<String> {
    let queries: &[&str] = match database.kind() {
        Kind::Sqlite => {
            &["SELECT type || ' ' || name || ': ' || COALESCE(sql, '') FROM sqlite_master ORDER BY 1"]
        }
        Kind::MySql => &[
            "SELECT CONCAT_WS(' ', table_name, column_name, ordinal_position, column_type, is_nullable, \
             collation_name) FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY 1",
            "SELECT CONCAT_WS(' ', table_name, index_name, seq_in_index, column_name, non_unique) \
             FROM information_schema.statistics WHERE table_schema = DATABASE() ORDER BY 1",
        ],
    };
    let mut all = Vec::new();
    for query in queries {
        all.extend(database.texts(query).await);
    }
    all
}

/// The migrations' files: version, name and text, in order.
fn files(kind: Kind) -> Vec<(i64, String, String)> {
    let folder = match kind {
        Kind::Sqlite => "sqlite",
        Kind::MySql => "mysql",
    };
    let folder = format!("{}/../migrations/{folder}", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name[..4].parse().unwrap(), name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// Where a migration can break off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// It is noted as begun, its statement was not run.
    Begun,
    /// Its statement was run, which is not noted.
    Run,
    /// It is noted as done; the next one is not.
    Done,
}

/// Makes the database what it is when a migration broke off at `version`.
async fn break_off(db: &Db, noted: &[String], version: i64, stop: Stop) {
    let kind = db.database.kind();
    let tables = match kind {
        Kind::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'schema_%'",
        Kind::MySql => {
            "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() \
             AND table_name NOT LIKE 'schema_%'"
        }
    };
    for table in db.database.texts(tables).await {
        db.database.execute(&format!("DROP TABLE {table}")).await;
    }
    db.database.execute("DELETE FROM schema_migrations").await;
    for ((number, _, text), insert) in files(kind).iter().zip(noted) {
        if *number > version {
            break;
        }
        if *number < version || stop != Stop::Begun {
            db.database.execute(text).await;
        }
        db.database.execute(insert).await;
    }
    let (reached, done) = if stop == Stop::Done { (version, 1) } else { (version - 1, 0) };
    db.database
        .execute(&format!("UPDATE schema_migrations SET done = {done} WHERE version = {version}"))
        .await;
    db.database.execute(&format!("UPDATE schema_info SET version = {reached}")).await;
}

contract! {
    async fn a_fresh_database_is_brought_forward_and_again_without_harm(db: empty) {
        let before = verdict(&db.store, None).await;
        assert_eq!((before.verdict, before.from, before.can_serve), (Verdict::Forward, 0, false));
        assert_eq!(before.pending.len(), files(db.database.kind()).len());
        assert_eq!(schema(&db.database).await, Vec::<String>::new(), "a look changes nothing");
        let done = db.store.migrate(&Migrate::default()).await.unwrap();
        assert_eq!((done.verdict, done.from, done.to), (Verdict::Forward, 0, db.store.schema_version()));
        let made = schema(&db.database).await;
        for _ in 0..2 {
            let again = db.store.migrate(&Migrate::default()).await.unwrap();
            assert_eq!((again.verdict, again.from, again.pending.len()), (Verdict::None, done.to, 0));
            assert!(again.can_serve);
        }
        assert_eq!(schema(&db.database).await, made);
        let names: Vec<_> = files(db.database.kind()).into_iter().map(|(_, name, _)| name).collect();
        assert_eq!(db.database.texts("SELECT name FROM schema_migrations ORDER BY version").await, names);
    }

    async fn both_kinds_have_the_same_migrations(db: empty) {
        let names = |kind| files(kind).into_iter().map(|(number, name, _)| (number, name)).collect::<Vec<_>>();
        assert_eq!(names(Kind::Sqlite), names(Kind::MySql));
        let last = names(db.database.kind()).last().unwrap().0;
        assert_eq!(db.store.schema_version(), last);
    }

    async fn a_migration_that_broke_off_anywhere_is_simply_run_again(db: ready) {
        let kind = db.database.kind();
        let made = schema(&db.database).await;
        let insert = match kind {
            Kind::Sqlite => {
                "SELECT 'INSERT INTO schema_migrations (version, name, checksum, compatible_from, done, updated_at) \
                 VALUES (' || version || ', ''' || name || ''', x''' || hex(checksum) || ''', ' || compatible_from || \
                 ', 1, 0)' FROM schema_migrations ORDER BY version"
            }
            Kind::MySql => {
                "SELECT CONCAT('INSERT INTO schema_migrations (version, name, checksum, compatible_from, done, \
                 updated_at) VALUES (', version, ', ''', name, ''', x''', HEX(checksum), ''', ', compatible_from, \
                 ', 1, 0)') FROM schema_migrations ORDER BY version"
            }
        };
        let noted = db.database.texts(insert).await;
        assert_eq!(noted.len(), files(kind).len());
        // SQLite migrates in one transaction: what can be met is an earlier version, complete.
        let stops: &[Stop] = match kind {
            Kind::Sqlite => &[Stop::Done],
            Kind::MySql => &[Stop::Begun, Stop::Run, Stop::Done],
        };
        for version in 1..=db.store.schema_version() {
            for stop in stops {
                let at = format!("{stop:?} {version}");
                break_off(&db, &noted, version, *stop).await;
                let before = verdict(&db.store, None).await;
                let complete = *stop == Stop::Done && version == db.store.schema_version();
                assert_eq!(before.can_serve, complete, "{at}");
                assert_eq!(before.verdict, if complete { Verdict::None } else { Verdict::Forward }, "{at}");
                let again = db.store.migrate(&Migrate::default()).await.unwrap_or_else(|e| panic!("{at}: {e}"));
                assert_eq!(again.from, if *stop == Stop::Done { version } else { version - 1 }, "{at}");
                let after = verdict(&db.store, None).await;
                assert_eq!((after.verdict, after.from, after.can_serve), (Verdict::None, after.to, true), "{at}");
                assert_eq!(schema(&db.database).await, made, "{at}");
            }
        }
    }

    async fn bookkeeping_that_broke_off_is_completed(db: ready) {
        let made = schema(&db.database).await;
        let insert_only = [
            ["DELETE FROM schema_info", "DELETE FROM schema_migrations"].as_slice(),
            &["DROP TABLE schema_info", "DELETE FROM schema_migrations"],
            &["DROP TABLE schema_migrations", "DROP TABLE schema_info"],
        ];
        for broken in insert_only {
            for statement in broken {
                db.database.execute(statement).await;
            }
            let tables = match db.database.kind() {
                Kind::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'schema_%'",
                Kind::MySql => {
                    "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() \
                     AND table_name NOT LIKE 'schema_%'"
                }
            };
            for table in db.database.texts(tables).await {
                db.database.execute(&format!("DROP TABLE {table}")).await;
            }
            assert_eq!(verdict(&db.store, None).await.from, 0, "{broken:?}");
            db.store.migrate(&Migrate::default()).await.unwrap();
            assert_eq!(schema(&db.database).await, made, "{broken:?}");
        }
    }

    async fn an_unfinished_migration_may_still_be_corrected(db: ready) {
        // The file was changed after its first, failed run: the text that is run at last is what counts.
        if db.database.kind() == Kind::MySql {
            let last = db.store.schema_version();
            let begun = format!("UPDATE schema_migrations SET done = 0, checksum = x'00' WHERE version = {last}");
            db.database.execute(&begun).await;
            db.database.execute(&format!("UPDATE schema_info SET version = {}", last - 1)).await;
            db.store.migrate(&Migrate::default()).await.unwrap();
            assert_eq!(verdict(&db.store, None).await.verdict, Verdict::None);
        }
    }

    async fn two_migrations_at_once_do_the_work_once(db: empty) {
        let stores: Vec<_> = (0..4).map(|_| db.another()).collect();
        let runs = stores.iter().map(|store| {
            let store = store.clone();
            tokio::spawn(async move { store.migrate(&Migrate::default()).await.unwrap() })
        });
        let runs: Vec<_> = runs.collect();
        let mut found = Vec::new();
        for run in runs {
            found.push(run.await.unwrap().verdict);
        }
        assert_eq!(found.iter().filter(|v| **v == Verdict::Forward).count(), 1, "{found:?}");
        assert_eq!(found.iter().filter(|v| **v == Verdict::None).count(), 3, "{found:?}");
        assert!(verdict(&db.store, None).await.can_serve);
    }

    async fn a_newer_schema_is_served_while_it_is_compatible_and_never_changed(db: ready) {
        let to = db.store.schema_version();
        let newer = format!(
            "INSERT INTO schema_migrations (version, name, checksum, compatible_from, done, updated_at) \
             VALUES ({}, 'later', x'00', 1, 1, 0)",
            to + 1
        );
        db.database.execute(&newer).await;
        db.database.execute(&format!("UPDATE schema_info SET version = {}, compatible_from = {to}", to + 1)).await;
        let state = verdict(&db.store, None).await;
        assert_eq!((state.verdict, state.from, state.to, state.can_serve), (Verdict::Newer, to + 1, to, true));
        let refused = db.store.migrate(&Migrate::default()).await.unwrap();
        assert_eq!(refused.verdict, Verdict::Newer);
        assert_eq!(db.database.int("SELECT version FROM schema_info").await, to + 1);
        db.database.execute(&format!("UPDATE schema_info SET compatible_from = {}", to + 1)).await;
        assert!(!verdict(&db.store, None).await.can_serve);
    }

    async fn a_changed_file_makes_the_schema_dirty(db: ready) {
        db.database.execute("UPDATE schema_migrations SET checksum = x'00' WHERE version = 2").await;
        let state = verdict(&db.store, None).await;
        assert_eq!((state.verdict, state.can_serve), (Verdict::Dirty, false));
        assert!(state.message.contains("0002_accounting_records"), "{}", state.message);
        assert_eq!(db.store.migrate(&Migrate::default()).await.unwrap().verdict, Verdict::Dirty);
    }

    async fn a_claimed_database_is_left_to_its_owner(db: empty) {
        db.store.migrate(&owned_by("blue")).await.unwrap();
        let state = verdict(&db.store, None).await;
        assert_eq!((state.verdict, state.owner.as_deref()), (Verdict::OwnedByAnother, Some("blue")));
        assert!(state.can_serve, "an instance serves regardless of the database's owner");
        assert_eq!(verdict(&db.store, Some("blue")).await.verdict, Verdict::None);
        for stranger in [Migrate::default(), owned_by("green")] {
            let refused = db.store.migrate(&stranger).await.unwrap();
            assert_eq!((refused.verdict, refused.owner.as_deref()), (Verdict::OwnedByAnother, Some("blue")));
        }
        let taken = db.store.migrate(&Migrate { take_over: true, ..owned_by("green") }).await.unwrap();
        assert_eq!((taken.verdict, taken.owner.as_deref()), (Verdict::None, Some("green")));
        assert_eq!(verdict(&db.store, Some("blue")).await.verdict, Verdict::OwnedByAnother);
        assert_eq!(db.store.migrate(&owned_by("green")).await.unwrap().verdict, Verdict::None);
    }

    async fn who_uses_a_claimed_database_is_told_what_stops_it_and_not_who_claimed_it(db: empty) {
        db.store.migrate(&owned_by("blue")).await.unwrap();
        assert_eq!((seen(&db.store).await.verdict, seen(&db.store).await.can_serve), (Verdict::None, true));
        let kept = db.store.migrate(&Migrate::ignoring_owner()).await.unwrap();
        assert_eq!((kept.verdict, kept.owner.as_deref()), (Verdict::None, Some("blue")));

        let wrong_key = seen(&db.keyed(OTHER_KEY, &[])).await;
        assert_eq!((wrong_key.verdict, wrong_key.can_serve), (Verdict::KeyMismatch, false));
        assert!(wrong_key.obstacle().contains("auth.encryption_key"), "{}", wrong_key.obstacle());

        let (last, name, _) = files(db.database.kind()).pop().unwrap();
        db.database.execute(&format!("DELETE FROM schema_migrations WHERE version = {last}")).await;
        db.database.execute(&format!("UPDATE schema_info SET version = {}", last - 1)).await;
        let behind = seen(&db.store).await;
        assert_eq!((behind.verdict, behind.can_serve), (Verdict::Forward, false));
        for word in [name.as_str(), "migrate --owner blue"] {
            assert!(behind.obstacle().contains(word), "{word}: {}", behind.obstacle());
        }

        db.database.execute("UPDATE schema_migrations SET checksum = x'00' WHERE version = 2").await;
        assert_eq!(seen(&db.store).await.verdict, Verdict::Dirty);
        for state in [wrong_key, behind, seen(&db.store).await] {
            assert!(!state.obstacle().contains("take-over"), "{}", state.obstacle());
        }
    }

    async fn another_encryption_key_is_told_until_it_is_adopted(db: ready) {
        let stranger = db.keyed(OTHER_KEY, &[]);
        let state = verdict(&stranger, None).await;
        assert_eq!((state.verdict, state.can_serve), (Verdict::KeyMismatch, false));
        assert_eq!(stranger.migrate(&Migrate::default()).await.unwrap().verdict, Verdict::KeyMismatch);
        assert_eq!(verdict(&db.store, None).await.verdict, Verdict::None, "the refusal changed nothing");
        let rotating = db.keyed(OTHER_KEY, &[sageapi_test_support::app::ENCRYPTION_KEY]);
        assert!(verdict(&rotating, None).await.can_serve);
        rotating.adopt_encryption_key().await.unwrap();
        assert_eq!(verdict(&stranger, None).await.verdict, Verdict::None);
        assert_eq!(verdict(&db.store, None).await.verdict, Verdict::KeyMismatch);
    }
}
