//! What the store promises, on every kind of database: each test below runs once for each kind that
//! `sageapi_test_support::database::kinds` names.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "this is code of tests"
)]

use std::sync::Arc;

use sageapi_server::model::{
    BookingDetails, Clock as _, Currency, CustomerId, Entropy as _, Kind, Money, Record, RecordId, Secret,
    SystemClock, SystemEntropy, Timestamp, Transno, new_uuid,
};
use sageapi_server::store::{Context, Keyring, Migrate, NewCustomer, Store};
use sageapi_test_support::app::ENCRYPTION_KEY;
use sageapi_test_support::database::TestDatabase;

mod cache_events;
mod customers;
mod engine;
mod full;
mod keys;
mod leases;
mod ledger;
mod migrations;
mod mirror;
mod model;
mod people;
mod quota;
mod records;
mod replay;
mod retention;
mod sessions;
mod verify;

/// A test for every kind of database. `ready` gives it one with the schema, `empty` one without.
macro_rules! contract {
    ($($(#[$meta:meta])* async fn $name:ident($db:ident: $state:ident) $body:block)+) => {$(
        $(#[$meta])*
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            for kind in sageapi_test_support::database::kinds() {
                eprintln!("on {kind}:");
                let $db = crate::Db::$state(kind).await;
                $body
            }
        }
    )+};
}
pub(crate) use contract;

/// A database with one instance on it.
struct Db {
    database: Arc<TestDatabase>,
    store: Store,
}

impl Db {
    async fn empty(kind: sageapi_test_support::database::Kind) -> Self {
        let database = Arc::new(TestDatabase::fresh(kind).await);
        let store = open(&database, ENCRYPTION_KEY, &[], false);
        Self { database, store }
    }

    async fn ready(kind: sageapi_test_support::database::Kind) -> Self {
        let db = Self::empty(kind).await;
        db.store.migrate(&Migrate::default()).await.unwrap();
        db
    }

    /// Another instance on the same database.
    fn another(&self) -> Store {
        open(&self.database, ENCRYPTION_KEY, &[], false)
    }

    /// Another instance with other encryption keys.
    fn keyed(&self, current: &str, previous: &[&str]) -> Store {
        open(&self.database, current, previous, false)
    }

    /// The one instance that caches what is in an embedded database.
    fn alone(&self) -> Store {
        open(&self.database, ENCRYPTION_KEY, &[], true)
    }

    async fn customer(&self, id: &str) -> CustomerId {
        let new = NewCustomer { id: customer(id), currency: cny(), credit_limit: Money::ZERO };
        assert!(self.store.create_customer(new).await.unwrap());
        customer(id)
    }
}

fn open(database: &TestDatabase, current: &str, previous: &[&str], sole_cache: bool) -> Store {
    let (clock, entropy) = (SystemClock::new(), SystemEntropy::new());
    let previous: Vec<_> = previous.iter().map(|key| Secret::new(*key)).collect();
    let context = Context {
        instance: new_uuid(clock.now(), &*entropy),
        keyring: Keyring::new(&Secret::new(current), &previous).unwrap(),
        clock,
        entropy,
        sole_cache,
    };
    Store::open(&database.target(), 20, 4, context).unwrap()
}

fn customer(id: &str) -> CustomerId {
    CustomerId::parse(id).unwrap()
}

fn cny() -> Currency {
    Currency::parse("CNY").unwrap()
}

fn money(text: &str) -> Money {
    Money::parse_signed(text).unwrap()
}

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemEntropy::new().fill(&mut bytes);
    bytes
}

/// A credit of 1, as if the `seq`th record of its customer.
fn record(customer: &CustomerId, seq: i64, transno: &str, created_at: Timestamp) -> Record {
    let one = money("1");
    let balance = Money::from_nanos(one.nanos() * seq).unwrap();
    let mut record = Record {
        id: RecordId(new_uuid(created_at, &*SystemEntropy::new())),
        customer_id: customer.clone(),
        seq,
        transno: Transno::parse(transno).unwrap(),
        kind: Kind::Credit,
        amount: one,
        delta: one,
        currency: cny(),
        details: BookingDetails::default(),
        pricing_version: None,
        unrounded: None,
        arithmetic: None,
        reverses: None,
        hold_id: None,
        balance_after: balance,
        held_after: Money::ZERO,
        available_after: balance,
        body_hash: random_bytes(),
        prev_hash: [0; 32],
        hash: [0; 32],
        event_time: created_at,
        created_at,
    };
    record.hash = record.chain_hash();
    record
}
