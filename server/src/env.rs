//! [`ServerEnv`], the composition root and the face of the library: what the HTTP handlers and the
//! commands call, and what a program that embeds SageAPI calls.

mod database_file;
mod error;
mod health;
mod open;
mod threads;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub use error::OpenError;
pub use health::{CacheHealth, DatabaseHealth, Health, HealthStatus, SyncHealth};
pub use open::{Role, check, load_sageapi};

use self::database_file::DatabaseFile;
use self::threads::BookingThreads;
use crate::config::{Config, LiveConfig};
use crate::domain::admin::bootstrap::create_first_admin;
use crate::domain::admin::groups::Groups;
use crate::domain::admin::members::Members;
use crate::domain::admin::users::Users;
use crate::domain::auth::Auth;
use crate::domain::balances::Balances;
use crate::domain::booking::{Bookings, UsageFloor, sweep_due};
use crate::domain::caches::Caches;
use crate::domain::invalidation::InvalidationPoller;
use crate::domain::keys::Keys;
use crate::domain::mirrored_users::MirroredUsers;
use crate::domain::prices::Prices;
use crate::domain::quota::QuotaService;
use crate::domain::sign_in::SignIn;
use crate::domain::usage::{CostFn, UsageLog, UsageWriter, watch_floor};
use crate::model::{Clock, Entropy};
use crate::store::{OwnerCheck, SchemaState, Store, StoreMetrics};
use crate::sync::{EventReceiver, SyncService};
use crate::telemetry::metrics::Metrics;

/// How long the start waits for the first poll of other instances.
const FIRST_POLL_TIMEOUT: Duration = Duration::from_secs(2);

/// Everything an instance consists of, but its listeners. Clones share it.
#[derive(Clone)]
pub struct ServerEnv {
    inner: Arc<Inner>,
}

struct Inner {
    config: LiveConfig,
    role: Role,
    instance: Uuid,
    started_at: Duration,
    store: Store,
    caches: Caches,
    auth: Auth,
    sign_in: Arc<SignIn>,
    keys: Keys,
    bookings: Bookings,
    usage: Arc<UsageLog>,
    quotas: QuotaService,
    usage_floor: UsageFloor,
    /// What its writers run on.
    _booking_threads: Option<BookingThreads>,
    sync: SyncService,
    balances: Balances,
    users: MirroredUsers,
    admin_users: Users,
    groups: Groups,
    members: Members,
    events: EventReceiver,
    prices: Arc<Prices>,
    metrics: Metrics,
    store_metrics: StoreMetrics,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// The schema was seen to fit at least once.
    schema_ok: AtomicBool,
    draining: AtomicBool,
    /// What the last look at the database saw; see `health`.
    database: AtomicU8,
    /// The file of an embedded database, locked by its server. Last: it is closed after SQLite's descriptors.
    _file: Option<DatabaseFile>,
}

impl ServerEnv {
    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.inner.config.current()
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// The source of randomness.
    pub fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.inner.entropy
    }

    /// The metrics, as shown by /metrics. Gauges that are not kept up to date are set here.
    pub fn metrics(&self) -> &Metrics {
        let Inner { bookings, store, store_metrics, metrics, .. } = &*self.inner;
        bookings.engine().update_metrics();
        store_metrics.set(store.pool_counts(), store.is_full());
        metrics
    }

    /// Authentication by dapi keys.
    pub fn auth(&self) -> &Auth {
        &self.inner.auth
    }

    /// Signing in, and the sessions of users.
    pub fn sign_in(&self) -> &SignIn {
        &self.inner.sign_in
    }

    /// Making and rotating keys.
    pub fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The mirror.
    pub fn sync(&self) -> &SyncService {
        &self.inner.sync
    }

    /// Customers' balances.
    pub fn balances(&self) -> &Balances {
        &self.inner.balances
    }

    /// Takes events of the upstream platform.
    pub fn events(&self) -> &EventReceiver {
        &self.inner.events
    }

    /// Everything that moves money.
    pub fn bookings(&self) -> &Bookings {
        &self.inner.bookings
    }

    /// What users consume.
    pub fn usage(&self) -> &UsageLog {
        &self.inner.usage
    }

    /// A writer that records usage in the background, priced by price lists or by a function of its own. End it before the
    /// environment, by [`UsageWriter::wait`].
    pub fn usage_writer(&self, cost: Option<Box<CostFn>>) -> UsageWriter {
        let Inner { usage, clock, config, stop, .. } = &*self.inner;
        let capacity = config.read(|config| config.accounting.queue);
        UsageWriter::new(usage.clone(), clock.clone(), capacity, cost, stop.clone())
    }

    /// Whether users may go on.
    pub fn quotas(&self) -> &QuotaService {
        &self.inner.quotas
    }

    /// Mirrored users, one by one.
    pub fn users(&self) -> &MirroredUsers {
        &self.inner.users
    }

    /// Administration of users who sign in here.
    pub fn admin_users(&self) -> &Users {
        &self.inner.admin_users
    }

    /// Administration of groups of users.
    pub fn groups(&self) -> &Groups {
        &self.inner.groups
    }

    /// Administration of who belongs to which group.
    pub fn members(&self) -> &Members {
        &self.inner.members
    }

    /// Prices, by the mirrored price lists.
    pub fn prices(&self) -> &Prices {
        &self.inner.prices
    }

    /// Looks at the schema; once it fits, the instance is ready.
    pub async fn check_schema(&self) -> Result<SchemaState, crate::store::Error> {
        let state = self.inner.store.schema_state(OwnerCheck::User).await?;
        if state.can_serve {
            self.inner.schema_ok.store(true, Ordering::Release);
        }
        Ok(state)
    }

    /// Creates the first administrator of the platform, if one is configured and there is none.
    pub async fn create_first_admin(&self) -> Result<(), crate::domain::Error> {
        let config = self.config();
        let Some(admin) = config.auth.bootstrap_admin.as_ref().filter(|_| !config.server.read_only) else {
            return Ok(());
        };
        if create_first_admin(self.store(), self.admin_users(), admin).await? {
            tracing::info!(username = admin.username, "created the first administrator of the platform");
        }
        Ok(())
    }

    /// Starts what runs beside requests: cache invalidation, the mirror, and the maintenance of the
    /// database. When it returns, changes elsewhere are heard, unless the database does not answer just now.
    pub async fn start_background(&self) {
        let inner = &self.inner;
        inner.sync.start(&inner.tasks, &inner.stop);
        inner.tasks.spawn(inner.store.clone().checkpoint(inner.stop.clone()));
        let (sign_in, store, stop) = (inner.sign_in.clone(), inner.store.clone(), inner.stop.clone());
        inner.tasks.spawn(async move { sign_in.access().seen().run(store, stop).await });
        if !inner.sign_in.is_on() {
            tracing::info!("users cannot sign in: auth.jwt_secret is not set");
        }
        if let Ok(Some(risk)) = inner.store.durability_risk().await {
            tracing::warn!(risk, "the database may lose what it has committed");
        }
        let (store, floor, config) = (inner.store.clone(), inner.usage_floor.clone(), inner.config.clone());
        inner.tasks.spawn(watch_floor(store, floor, config, inner.stop.clone()));
        // Nothing moves while the data is being inspected, not even holds that are due.
        if !self.config().server.read_only {
            let (booking, store) = (inner.bookings.engine().clone(), inner.store.clone());
            inner.tasks.spawn(sweep_due(booking, store, inner.stop.clone()));
        }
        inner.tasks.spawn(health::watch_database(self.clone(), inner.stop.clone()));
        // The first poll drops what was cached, so who waits for it caches once. The task tries again what fails.
        let mut poller = InvalidationPoller::default();
        let polled = tokio::time::timeout(FIRST_POLL_TIMEOUT, poller.poll(&inner.store, &inner.caches));
        tokio::select! {
            () = inner.stop.cancelled() => return,
            polled = polled => if !matches!(polled, Ok(Ok(()))) {
                tracing::debug!("not hearing of changes by other instances yet");
            }
        }
        inner.tasks.spawn(poller.run(inner.store.clone(), inner.caches.clone(), inner.stop.clone()));
    }

    /// Waits until every booking taken in so far is durable or refused, and takes in no more; then
    /// ends the background and closes the database.
    pub async fn shut_down(&self) {
        let inner = &self.inner;
        inner.stop.cancel();
        inner.bookings.engine().drain().await;
        inner.quotas.drain().await;
        inner.tasks.close();
        inner.tasks.wait().await;
        inner.store.close().await;
    }

    /// From now on /readyz fails, so that no new traffic arrives; requests are still served.
    pub fn begin_draining(&self) {
        self.inner.draining.store(true, Ordering::Release);
    }

    /// Whether the schema was good once and the instance is not draining. A database that goes away
    /// later does not change it: reads go on from the caches.
    pub fn is_ready(&self) -> bool {
        self.is_started() && !self.inner.draining.load(Ordering::Acquire)
    }

    /// Whether the schema was good once.
    pub fn is_started(&self) -> bool {
        self.inner.schema_ok.load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for ServerEnv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerEnv").field("instance", &self.inner.instance).finish_non_exhaustive()
    }
}
