//! An empty store for tests of this crate.

use base64::Engine as _;
use sageapi_test_support::database::TestDatabase;
use uuid::Uuid;

use super::{Context, Keyring, Migrate, Store};
use crate::config::DatabaseTarget;
use crate::model::{ManualClock, Secret, SeededEntropy, SystemClock, SystemEntropy, Timestamp, new_uuid};

/// A store on a SQLite file of its own, which goes with it.
pub(crate) struct TestStore {
    pub store: Store,
    _dir: tempfile::TempDir,
}

impl TestStore {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let target = DatabaseTarget::Sqlite { path: dir.path().join("sageapi.db") };
        let key = Secret::new(base64::engine::general_purpose::STANDARD.encode([1; 32]));
        let context = Context {
            instance: Uuid::from_u128(1),
            keyring: Keyring::new(&key, &[]).unwrap(),
            clock: ManualClock::new(Timestamp::from_seconds(1_780_000_000)),
            entropy: SeededEntropy::new(1),
            sole_cache: true,
        };
        let store = Store::open(&target, 3, 1, context).unwrap();
        store.migrate(&Migrate::default()).await.unwrap();
        Self { store, _dir: dir }
    }
}

/// A store on a test's database, one of several instances.
pub(crate) async fn migrated(database: &TestDatabase) -> Store {
    let key = base64::engine::general_purpose::STANDARD.encode([7; 32]);
    let env = [("SAGEAPI_DATABASE_URL", database.url()), ("SAGEAPI_AUTH_ENCRYPTION_KEY", key.clone())];
    let env = env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let nothing = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    let target = crate::config::load(None, &env, &nothing).unwrap().config.database.target;
    let (clock, entropy) = (SystemClock::new(), SystemEntropy::new());
    let context = Context {
        instance: new_uuid(Timestamp::default(), &*entropy),
        keyring: Keyring::new(&Secret::new(key), &[]).unwrap(),
        clock,
        entropy,
        sole_cache: false,
    };
    let store = Store::open(&target, 6, 1, context).unwrap();
    store.migrate(&Migrate::default()).await.unwrap();
    store
}
