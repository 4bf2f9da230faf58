//! [`ServerEnv`], the composition root and the face of the library: what the HTTP handlers and the
//! commands call, and what a program that embeds SageAPI calls.

mod database_file;
mod health;
mod mirrored;
mod open;
mod threads;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use http::HeaderMap;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub use health::{Assessment, CacheHealth, DatabaseHealth, Health, SyncHealth};
pub use open::{OpenError, Role, check, load_sageapi};

use self::database_file::DatabaseFile;
use self::threads::BookingThreads;
use crate::config::Config;
use crate::domain::accounts::{AccountingQuery, Export, GroupBy, PastBalance, RecordView, SummaryRow};
use crate::domain::auth::Auth;
use crate::domain::booking::{
    Action, Booked, Booking, BookingRequest, Earlier, Outcome, Request, due_holds, preview, sweep_due_holds,
};
use crate::domain::caches::Caches;
use crate::domain::holds::{self, HoldsQuery};
use crate::domain::invalidation::InvalidationPoller;
use crate::domain::keys::Keys;
use crate::domain::page::ListPage;
use crate::domain::prices::Prices;
use crate::domain::principal::Principal;
use crate::domain::{Error, accounts};
use crate::model::{Clock, Customer, CustomerId, Entity, Entropy, Hold, Reach, RecordId, Timestamp};
use crate::signing::webhook::{self, WebhookSecret};
use crate::store::{NonceUse, OwnerCheck, ReplayTable, SchemaState, Store};
use crate::sync::SyncService;
use crate::telemetry::metrics::Metrics;

/// How long the start waits for the first poll of other instances.
const FIRST_POLL_TIMEOUT: Duration = Duration::from_secs(2);
/// Signed times of events may differ from ours by so much.
const EVENT_TOLERANCE_S: i64 = 300;
/// An event's id is remembered for a week.
const EVENT_MEMORY: Duration = Duration::from_secs(7 * 86_400);

/// Everything an instance consists of, but its listeners. Clones share it.
#[derive(Clone)]
pub struct ServerEnv {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    role: Role,
    instance: Uuid,
    started_at: Duration,
    store: Store,
    caches: Caches,
    auth: Auth,
    keys: Keys,
    booking: Booking,
    /// What its writers run on.
    _booking_threads: Option<BookingThreads>,
    sync: SyncService,
    webhook_secrets: Vec<WebhookSecret>,
    prices: Prices,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// The schema was seen to fit at least once.
    schema_ok: AtomicBool,
    draining: AtomicBool,
    /// What the last look at the database saw; see `health`.
    database: AtomicU8,
    /// The file of an embedded database, locked by who serves it. Last: it is closed after SQLite's descriptors.
    _file: Option<DatabaseFile>,
}

/// A balance, and how fresh it is.
#[derive(Debug, Clone)]
pub struct BalanceView {
    /// The customer with its balance.
    pub customer: Arc<Customer>,
    /// When it was read from the database.
    pub as_of: Timestamp,
    /// `cache` or `database`.
    pub source: &'static str,
    /// Whether it is older than the cache allows, because the database is away.
    pub stale: bool,
}

/// The part of an event's body that is used; everything else is tolerated.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    data: EventData,
}

#[derive(Deserialize, Default)]
struct EventData {
    #[serde(default)]
    entity: Option<String>,
    #[serde(default)]
    ids: Vec<String>,
}

/// Ids of one event that are looked at.
const EVENT_IDS: usize = 500;

impl ServerEnv {
    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// The source of randomness.
    pub fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.inner.entropy
    }

    /// Counts and measures, as shown by /metrics.
    pub fn metrics(&self) -> &Arc<Metrics> {
        self.inner.metrics.set_booking_queue_depth(self.inner.booking.depth());
        let pool = self.inner.store.pool_counts();
        self.inner.metrics.set_pool_connections(pool.idle, pool.used);
        self.inner.metrics.set_store_full(self.inner.store.is_full());
        &self.inner.metrics
    }

    /// Authentication by dapi keys.
    pub fn auth(&self) -> &Auth {
        &self.inner.auth
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

    /// A customer's balance. `fresh` reads the row, so that a caller sees every booking that was
    /// answered before, on whichever instance.
    pub async fn get_balance(&self, id: &CustomerId, fresh: bool) -> Result<BalanceView, Error> {
        let inner = &self.inner;
        let before = inner.clock.now();
        let load = || async {
            let customer = inner.store.customer(id).await?;
            Ok(customer.map(|c| (c.version, c)).map(|(version, c)| (c, version)))
        };
        let balances = inner.caches.balances();
        let entry =
            if fresh { Box::pin(balances.reload(id, load)).await? } else { balances.get(id, load).await? };
        let source = if entry.loaded < before { "cache" } else { "database" };
        let customer = entry.value.ok_or(Error::NotFound("customer"))?;
        Ok(BalanceView { customer, as_of: entry.loaded, source, stale: entry.stale })
    }

    /// What a customer had at an instant, by the ledger. One without records had nothing.
    pub async fn get_balance_at(&self, id: &CustomerId, at: Timestamp) -> Result<PastBalance, Error> {
        accounts::balance_at(&self.inner.store, id, at).await
    }

    /// Books a charge, a credit or an adjustment, priced by any program if it has no amount; answers once it is
    /// durable.
    pub async fn create_accounting(&self, request: BookingRequest) -> Result<Booked, Error> {
        let request = self.price_booking(request, &Principal::command_line().reach).await?;
        self.submit(request).await?.into_booked()
    }

    /// A booking with its amount: the one given, or what the price list of its day says, by the programs within reach.
    pub async fn price_booking(&self, request: BookingRequest, reach: &Reach) -> Result<Request, Error> {
        request.priced(&self.inner.prices, reach.is_published_only(), self.inner.clock.now()).await
    }

    /// Does what a request asks for, through the one write path; answers once it is durable.
    pub async fn submit(&self, request: Request) -> Result<Outcome, Error> {
        self.may_write()?;
        self.inner.booking.submit(request).await
    }

    /// Does many things, each decided for itself; the verdicts are in the order of the requests.
    pub async fn submit_bulk(&self, requests: Vec<Request>) -> Result<Vec<Result<Outcome, Error>>, Error> {
        self.may_write()?;
        self.inner.booking.submit_bulk(requests).await
    }

    /// Does all of it in one commit, or nothing: the first refusal is the answer.
    pub async fn submit_group(&self, requests: Vec<Request>) -> Result<Vec<Outcome>, Error> {
        self.may_write()?;
        self.inner.booking.submit_group(requests).await
    }

    /// Waits until the booking engine is broken, which it never is but by a fault of this program. Then the process must
    /// end, so that another one books.
    pub async fn booking_broken(&self) {
        self.inner.booking.broken().await;
    }

    fn may_write(&self) -> Result<(), Error> {
        if self.inner.config.server.read_only { Err(Error::ReadOnly) } else { Ok(()) }
    }

    /// What a booking would come to if it were made now; nothing is booked.
    pub async fn preview_accounting(&self, request: Request) -> Result<Booked, Error> {
        let inner = &self.inner;
        let row = inner.store.ledger_row(&request.customer_id).await?.ok_or(Error::NotFound("customer"))?;
        let due_holds = due_holds(&inner.store, &row).await?;
        let earlier = match &request.action {
            Action::Book(entry) => {
                let (id, transno) = (&request.customer_id, &entry.transno);
                let record = accounts::by_transno(&inner.store, id, transno).await?;
                Earlier { record, hold: holds::by_transno(&inner.store, id, transno).await? }
            }
            _ => Earlier::default(),
        };
        preview(row, due_holds, earlier, request, inner.booking.default_mode())?.into_booked()
    }

    /// The customer of a record.
    pub async fn owner_of_record(&self, reach: &Reach, id: RecordId) -> Result<CustomerId, Error> {
        let record = self.inner.store.record(id).await?.filter(|record| reach.includes(&record.customer_id));
        record.map(|record| record.customer_id).ok_or(Error::NotFound("accounting record"))
    }

    /// Holds.
    pub async fn query_holds(&self, query: HoldsQuery) -> Result<ListPage<Hold>, Error> {
        holds::query_holds(&self.inner.store, query).await
    }

    /// One hold.
    pub async fn get_hold(&self, reach: &Reach, id: RecordId) -> Result<Hold, Error> {
        holds::get_hold(&self.inner.store, reach, id).await
    }

    /// Accounting records.
    pub async fn query_accounting(&self, query: AccountingQuery) -> Result<ListPage<RecordView>, Error> {
        accounts::query_accounting(&self.inner.store, query).await
    }

    /// One accounting record.
    pub async fn get_accounting(&self, reach: &Reach, id: RecordId) -> Result<RecordView, Error> {
        accounts::get_accounting(&self.inner.store, reach, id).await
    }

    /// What the records of a query come to, in groups; the query's page does not matter.
    pub async fn summarize_accounting(
        &self,
        query: AccountingQuery,
        by: GroupBy,
    ) -> Result<Vec<SummaryRow>, Error> {
        accounts::summarize(&self.inner.store, query, by).await
    }

    /// A walk through all records of a query, oldest first; the query's page does not matter.
    pub async fn export_accounting(&self, query: AccountingQuery) -> Result<Export, Error> {
        Export::start(self.inner.store.clone(), query).await
    }

    /// Takes an event of the upstream platform. A genuine one only schedules a pull of the rows that
    /// it names, so loss, doubling and disorder are harmless.
    pub async fn receive_event(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Error> {
        let inner = &self.inner;
        let now = inner.clock.now();
        let id = webhook::verify(&inner.webhook_secrets, headers, body, now.seconds(), EVENT_TOLERANCE_S)?;
        let entry = NonceUse::new("webhook", id, now.plus(EVENT_MEMORY));
        if !inner.store.first_use(ReplayTable::WebhookIds, entry).await? {
            return Ok(());
        }
        let Ok(event) = serde_json::from_slice::<Event>(body) else {
            tracing::warn!(
                event = id,
                "a genuine event has a body that is not understood; the next run will tell"
            );
            return Ok(());
        };
        if let Some(entity) = event.data.entity.as_deref().and_then(Entity::parse) {
            let ids: Vec<_> = event.data.ids.into_iter().take(EVENT_IDS).collect();
            inner.sync.pull(entity, ids);
        }
        Ok(())
    }

    /// Looks at the schema; once it fits, the instance is ready.
    pub async fn check_schema(&self) -> Result<SchemaState, crate::store::Error> {
        let state = self.inner.store.schema_state(OwnerCheck::User).await?;
        if state.can_serve {
            self.inner.schema_ok.store(true, Ordering::Release);
        }
        Ok(state)
    }

    /// Starts what runs beside requests: hearing of other instances' changes, the mirror, and the upkeep of the
    /// database. When it returns, changes elsewhere are heard, unless the database does not answer just now.
    pub async fn start_background(&self) {
        let inner = &self.inner;
        inner.sync.start(&inner.tasks, &inner.stop);
        inner.tasks.spawn(inner.store.clone().checkpoint(inner.stop.clone()));
        if let Ok(Some(how)) = inner.store.forgetfulness().await {
            tracing::warn!(how, "the database may forget what it has committed");
        }
        // Nothing moves while somebody looks into what is there, not even holds that are due.
        if !inner.config.server.read_only {
            let (booking, store) = (inner.booking.clone(), inner.store.clone());
            inner.tasks.spawn(sweep_due_holds(booking, store, inner.stop.clone()));
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
        inner.booking.drain().await;
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
