//! A served instance with customers and keys, and the loop over the kinds of database.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sageapi_server::ServerEnv;
use sageapi_server::config::Config;
use sageapi_server::domain::verify::verify;
use sageapi_server::env::Role;
use sageapi_server::model::{
    Cell, Clock as _, ColumnKind, Currency, CustomerId, CustomerStatus, Entity, Kind as RecordKind,
    ManualClock, Money, SystemClock, TextId, Timestamp,
};
use sageapi_server::store::{Change, NewCustomer, Op, Page};
use sageapi_test_support::app::{App, AppBuilder};
use sageapi_test_support::client::Client;
use sageapi_test_support::database::{Kind, TestDatabase, kinds};
use serde_json::Value;

use crate::raw::{Ask, Credentials, Reply};

/// What a test may take in all; one that hangs fails instead.
const TEST_WITHIN: Duration = Duration::from_secs(180);
/// What something that must happen soon may take before the test fails.
const SOON: Duration = Duration::from_secs(10);

/// Runs a test on a fresh instance of every kind of database.
pub fn on_every_database(test: impl AsyncFn(Site)) {
    on_every_database_with(|builder| builder, test);
}

/// The same, with an instance that was configured otherwise.
pub fn on_every_database_with(configure: impl Fn(AppBuilder) -> AppBuilder, test: impl AsyncFn(Site)) {
    for kind in kinds() {
        on(kind, async || {
            let app = configure(App::builder(kind)).start().await;
            test(Site::new(app)).await;
        });
    }
}

/// The same, with an instance whose clock stands at the present until the test moves it.
pub fn on_every_database_with_a_clock(test: impl AsyncFn(Site, Arc<ManualClock>)) {
    for kind in kinds() {
        on(kind, async || {
            // The database's own clock has a say in some of it, so that the two should agree at first.
            let clock = ManualClock::new(SystemClock::new().now());
            let app = App::builder(kind).clock(clock.clone()).start().await;
            test(Site::new(app), clock).await;
        });
    }
}

/// Runs a test that makes its own instances, if its kind of database is to be tested.
pub fn on(kind: Kind, test: impl AsyncFnOnce()) {
    if !kinds().contains(&kind) {
        return;
    }
    eprintln!("on {kind}:");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime
        .block_on(async { tokio::time::timeout(TEST_WITHIN, test()).await.expect("the test ends in time") });
}

/// A clock that stands at this Unix time until it is moved.
pub fn clock_at(seconds: i64) -> Arc<ManualClock> {
    ManualClock::new(Timestamp::from_seconds(seconds))
}

/// An instance and a key of the platform.
pub struct Site {
    pub app: App,
    pub platform: Credentials,
}

/// A customer and a key of its own that may do all that a customer may.
pub struct Customer {
    pub id: String,
    pub key: Credentials,
}

impl Customer {
    pub fn customer_id(&self) -> CustomerId {
        CustomerId::parse(&self.id).unwrap()
    }
}

impl From<&Client> for Credentials {
    fn from(client: &Client) -> Self {
        Self { key_id: client.key_id.clone(), secret: client.secret.clone() }
    }
}

impl Site {
    pub fn new(app: App) -> Self {
        let platform = Credentials::from(&app.platform);
        Self { app, platform }
    }

    pub fn env(&self) -> &ServerEnv {
        &self.app.env
    }

    pub fn http(&self) -> SocketAddr {
        self.app.http
    }

    pub fn database(&self) -> &TestDatabase {
        &self.app.database
    }

    /// The instance's time in Unix seconds.
    pub fn now_s(&self) -> i64 {
        self.env().clock().now().seconds()
    }

    /// Another instance on the same database. It can be stopped or dropped at will.
    pub async fn second(&self) -> Self {
        Self::new(self.app.second().start().await)
    }

    /// What a command beside the server does goes through an instance like this.
    pub async fn command(&self) -> App {
        self.app.second().role(Role::Command).without_background().start().await
    }

    /// Restarts on the same database with another configuration.
    pub async fn restarted(self, edit: impl FnOnce(&mut Config) + Send + 'static) -> Self {
        let (clock, client) = (self.app.clock(), self.app.platform.clone());
        let database = self.app.stop().await;
        let app = App::builder(database.kind()).database(database).clock(clock).config(edit).start().await;
        Self { app, platform: Credentials::from(&client) }
    }

    /// A new customer with this credit.
    pub async fn customer(&self, credit: &str) -> Customer {
        let id = new_id("org");
        let client = self.app.customer(&id, credit).await;
        Customer { id, key: Credentials::from(&client) }
    }

    /// The same in another currency.
    pub async fn customer_in(&self, credit: &str, currency: &str) -> Customer {
        let id = new_id("org");
        let new = NewCustomer {
            id: CustomerId::parse(&id).unwrap(),
            currency: Currency::parse(currency).unwrap(),
            credit_limit: Money::ZERO,
        };
        assert!(self.env().store().create_customer(new).await.unwrap());
        self.app.book(&id, RecordKind::Credit, credit).await;
        Customer { key: self.customer_key(&id).await, id }
    }

    /// A key of a customer, which need not exist.
    pub async fn customer_key(&self, customer: &str) -> Credentials {
        Credentials::from(&self.app.key(Some(customer), sageapi_test_support::app::CUSTOMER_SCOPES).await)
    }

    pub async fn suspend(&self, customer: &Customer) {
        let suspended = CustomerStatus::Suspended;
        assert!(self.env().store().set_customer_status(&customer.customer_id(), suspended).await.unwrap());
    }

    /// Signs and sends.
    pub async fn send(&self, ask: Ask, key: &Credentials) -> Reply {
        ask.signed(key, self.now_s()).send(self.http()).await
    }

    pub async fn get(&self, key: &Credentials, path: &str) -> Reply {
        self.send(Ask::get(path), key).await
    }

    pub async fn post(&self, key: &Credentials, path: &str, body: &Value) -> Reply {
        self.send(Ask::post(path, body), key).await
    }

    /// What does not add up in the ledger; nothing.
    pub async fn verify(&self) -> Vec<String> {
        let verified = verify(self.env().store(), |_| ()).await.unwrap();
        verified.difference.into_iter().collect()
    }

    /// Waits until something holds; how long it took.
    pub async fn until(&self, what: &str, holds: impl AsyncFnMut() -> bool) -> Duration {
        until(what, holds).await
    }

    /// Writes rows into a mirror table as a pull would.
    pub async fn mirror(&self, entity: Entity, rows: &[Row<'_>]) {
        let changes = rows.iter().map(|row| row.change(entity)).collect();
        let page = Page { changes, ..Page::default() };
        self.env().store().apply_page(entity, None, page).await.unwrap();
    }
}

/// Waits until something holds; how long it took.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let clock = SystemClock::new();
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(SOON, waiting).await.is_ok(), "{what}: not within {SOON:?}");
    clock.monotonic()
}

/// An id that no other test of this process has.
pub fn new_id(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    format!("{prefix}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A row of the feed: id, version, when it was created (Unix seconds), and the columns that are not null.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    pub id: &'a str,
    pub version: i64,
    pub created_s: Option<i64>,
    pub columns: &'a [(&'a str, &'a str)],
}

impl<'a> Row<'a> {
    pub fn new(id: &'a str, columns: &'a [(&'a str, &'a str)]) -> Self {
        Self { id, version: 1, created_s: None, columns }
    }

    fn change(&self, entity: Entity) -> Change {
        for (name, _) in self.columns {
            assert!(entity.columns().iter().any(|column| column.name == *name), "{entity} has no {name}");
        }
        let cell = |column: &sageapi_server::model::Column| {
            let Some((_, text)) = self.columns.iter().find(|(name, _)| *name == column.name) else {
                return Cell::Null;
            };
            match column.kind {
                ColumnKind::Money => Cell::Int(Money::parse(text).unwrap().nanos()),
                _ => Cell::Text((*text).into()),
            }
        };
        let cells = entity.columns().iter().map(cell).collect();
        let created_at = self.created_s.map(Timestamp::from_seconds);
        Change {
            id: TextId::parse(self.id).unwrap(),
            version: self.version,
            op: Op::Upsert { created_at, cells },
        }
    }
}
