//! An empty store for tests of this crate.

use base64::Engine as _;
use uuid::Uuid;

use super::{Context, Keyring, Migrate, Store};
use crate::config::DatabaseTarget;
use crate::model::{ManualClock, Secret, SeededEntropy, Timestamp};

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
