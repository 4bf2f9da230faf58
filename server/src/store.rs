//! SQL over SQLite and MySQL-compatible databases. One file per aggregate; rows are private and
//! become entities here; nothing above sees `sqlx`.

mod administer;
mod audit;
mod cache_events;
mod checkpoint;
mod columns;
mod conn;
mod customers;
mod dialect;
mod durability;
mod error;
mod full;
mod groups;
mod holds;
mod hosts;
mod keys;
mod leases;
mod ledger;
mod list;
mod members;
mod metrics;
mod migrate;
mod mirror;
mod pairs;
#[cfg(test)]
mod plans;
mod proof;
mod quota;
mod records;
mod replay;
mod reversals;
mod sealed;
mod sessions;
mod sql;
mod sync_state;
#[cfg(test)]
pub(crate) mod test_store;
mod throttle;
mod traced;
mod usage;
mod users;

use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::SqlitePool;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use uuid::Uuid;

pub use administer::NotChanged;
pub use audit::AuditFilter;
pub use cache_events::{CacheEvent, Changed};
pub use conn::{Tx, TxFuture};
pub use customers::{CustomerFilter, NewCustomer};
pub use dialect::Dialect;
pub use error::Error;
pub use groups::{GroupFilter, NewGroup};
pub use holds::HoldFilter;
pub use keys::{KeyFilter, KeySettings, NewKey, StoredKey};
pub use leases::Lease;
pub use ledger::{Begun, LedgerChanges, LedgerRow, NotCommitted, Writer};
pub use list::{Filter, Window};
pub use metrics::StoreMetrics;
pub use migrate::{Migrate, MigrateError, MigrationStep, OwnerCheck, SchemaState};
pub use mirror::{Change, MirrorFilter, Op, Page, PageCounts, Partial, Quarantined, Validity};
pub use proof::{Moved, VerifyRow};
pub use quota::{QuotaQuery, QuotaRows};
pub use records::{RecordFigures, RecordFilter, RecordPosition};
pub use replay::{NonceUse, ReplayTable};
pub use reversals::Reversal;
pub use sealed::{Keyring, KeyringError, SealedAt};
pub use sessions::{NextGeneration, PasswordChange, SessionFilter};
pub use sync_state::{SyncOutcome, SyncState};
pub use throttle::{Bucket, BucketRule};
pub use usage::{
    SumsBy, SumsFilter, SumsOrder, SumsRow, UsageAge, UsageFilter, UsagePlace, UsagePosition, UsageState,
};
pub use users::{ListedUser, NewUser, UserFilter};

use crate::config::{DatabaseHost, DatabaseTarget};
use crate::model::{Clock, Entropy};
use conn::{Conn, SqliteWriterSlot};
use hosts::{Host, Hosts, Pool, PoolSizes};
use sql::{Row, Sql};

/// How long a caller waits for a connection before the database counts as unavailable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a statement that reads, or a transaction outside of booking, may take. Its connection may have broken without
/// a sign; then it is given up.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(120);
/// How often a transaction is run again after a deadlock or lock time-out.
const MAX_ATTEMPTS: u32 = 8;
/// How long one waits for another process that holds SQLite's file, and between looks at it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// A multi-row insert has a statement of its own for each count of rows; they are all kept prepared.
const STATEMENTS_KEPT: usize = 256;

/// The database, of either kind. Clones share the pool.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    backend: Backend,
    instance: Uuid,
    keyring: Keyring,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    tasks: TaskTracker,
    retries: AtomicU64,
    /// While the database is full: until when (microseconds) a write that succeeds does not show otherwise.
    full: AtomicI64,
    /// Whether other instances may hold caches that must hear of changes made here.
    announces: bool,
    /// What hears of this instance's own commits.
    on_commit: OnceLock<CommitListener>,
}

type CommitListener = Box<dyn Fn(Option<&Changed>) + Send + Sync>;

enum Backend {
    MySql { hosts: Hosts, database: String },
    Sqlite { pool: SqlitePool, options: Box<SqliteConnectOptions>, writer: SqliteWriterSlot },
}

/// What a store needs besides its database.
#[derive(Clone)]
pub struct Context {
    /// Names this instance in leases and cache events.
    pub instance: Uuid,
    /// Opens and seals stored secrets.
    pub keyring: Keyring,
    /// Time for caches and retries.
    pub clock: Arc<dyn Clock>,
    /// Randomness for ids and seals.
    pub entropy: Arc<dyn Entropy>,
    /// Whether this process is the one that serves an embedded database: then nobody else caches
    /// what it changes, and it need not write cache events.
    pub sole_cache: bool,
}

/// Connections of the pool, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolCounts {
    /// Waiting to be used.
    pub idle: usize,
    /// In use.
    pub used: usize,
}

impl Store {
    /// Prepares to connect; connections are made as they are needed, so that a server can start
    /// before its database. Of all connections to a MySQL server, so many are kept for writers. Must be called within a
    /// Tokio runtime.
    pub fn open(
        target: &DatabaseTarget,
        max_connections: u32,
        writers: u32,
        context: Context,
    ) -> Result<Self, Error> {
        let (backend, announces) = match target {
            DatabaseTarget::Sqlite { path } => (open_sqlite(path, max_connections), !context.sole_cache),
            target @ DatabaseTarget::Mysql { hosts, name, .. } => {
                let hosts = hosts.iter().filter_map(|host| connect_options(target, host)).collect();
                let writers = writers.max(1);
                // One connection looks at the host.
                let readers = max_connections.saturating_sub(writers + 1).max(2);
                let hosts = Hosts::start(hosts, PoolSizes { readers, writers });
                (Backend::MySql { hosts, database: name.clone() }, true)
            }
        };
        let inner = Inner {
            backend,
            instance: context.instance,
            keyring: context.keyring,
            clock: context.clock,
            entropy: context.entropy,
            tasks: TaskTracker::new(),
            retries: AtomicU64::new(0),
            full: AtomicI64::new(full::HAS_ROOM),
            announces,
            on_commit: OnceLock::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Which kind of database this is.
    pub fn dialect(&self) -> Dialect {
        match self.inner.backend {
            Backend::MySql { .. } => Dialect::MySql,
            Backend::Sqlite { .. } => Dialect::Sqlite,
        }
    }

    /// This instance's name in leases and cache events.
    pub fn instance(&self) -> Uuid {
        self.inner.instance
    }

    /// The keys that open stored secrets.
    pub fn keyring(&self) -> &Keyring {
        &self.inner.keyring
    }

    /// How often transactions were run again.
    pub fn retries(&self) -> u64 {
        self.inner.retries.load(Ordering::Relaxed)
    }

    /// The pool's connections.
    pub fn pool_counts(&self) -> PoolCounts {
        let (size, idle) = match &self.inner.backend {
            Backend::MySql { hosts, .. } => hosts.connections(),
            Backend::Sqlite { pool, .. } => (pool.size(), pool.num_idle()),
        };
        let size = usize::try_from(size).unwrap_or(0);
        PoolCounts { idle, used: size.saturating_sub(idle) }
    }

    /// Whether a MySQL server is known to be away, without asking it.
    pub fn is_away(&self) -> bool {
        match &self.inner.backend {
            Backend::MySql { hosts, .. } => hosts.is_away(),
            Backend::Sqlite { .. } => false,
        }
    }

    /// Somebody met a failure that may be the host's.
    fn note_failure(&self, error: &Error) {
        if let (Backend::MySql { hosts, .. }, true) = (&self.inner.backend, error.is_unavailable()) {
            hosts.look_now();
        }
    }

    /// Asks the database for its clock, the shortest sign of life.
    pub async fn ping(&self) -> Result<(), Error> {
        self.now().await.map(drop)
    }

    /// Waits for transactions under way, then closes the pools.
    pub async fn close(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        match &self.inner.backend {
            Backend::MySql { hosts, .. } => hosts.close().await,
            Backend::Sqlite { pool, writer, .. } => {
                if let Some(conn) = writer.lock().await.take() {
                    // A clean close checkpoints the write-ahead log; a failed one costs nothing.
                    let _ = sqlx::Connection::close(conn).await;
                }
                pool.close().await;
            }
        }
    }

    async fn reader(&self) -> Result<Conn, Error> {
        // In boxes: these futures take 5 KB, and so would every one that reads.
        Ok(match &self.inner.backend {
            Backend::MySql { hosts, .. } => Box::pin(acquire(hosts, Pool::Readers)).await?,
            Backend::Sqlite { pool, .. } => Conn::Sqlite(Box::pin(pool.acquire()).await?),
        })
    }

    /// A connection that may write.
    async fn writing(&self) -> Result<Conn, Error> {
        match &self.inner.backend {
            Backend::MySql { .. } => self.reader().await,
            Backend::Sqlite { options, writer, .. } => {
                let mut slot = writer.clone().lock_owned().await;
                if slot.is_none() {
                    *slot = Some(connect_writer(options).await?);
                }
                Ok(Conn::SqliteWriter(slot))
            }
        }
    }

    /// A connection for a writer, who keeps it. It is served by the threads that this runs on.
    async fn writing_for_long(&self) -> Result<Conn, Error> {
        match &self.inner.backend {
            Backend::MySql { hosts, .. } => Box::pin(acquire(hosts, Pool::Writers)).await,
            Backend::Sqlite { .. } => self.writing().await,
        }
    }

    /// Runs a read on its own. A read that finds its connection broken is run again on a new one:
    /// after a restart of the database every pooled connection is stale once.
    async fn fetch_all(&self, sql: Sql<'_>) -> Result<Vec<Row>, Error> {
        let mut stale = 0;
        loop {
            let mut reading = Reading(Some(self.reader().await?));
            let Some(conn) = &mut reading.0 else { return Ok(Vec::new()) };
            let read = tokio::time::timeout(TRANSACTION_TIMEOUT, conn.fetch_all(sql.clone())).await;
            match read.unwrap_or_else(|_| Err(Error::silent(TRANSACTION_TIMEOUT))) {
                Err(error) if error.is_unavailable() => {
                    self.note_failure(&error);
                    if stale == 2 {
                        return Err(error);
                    }
                    stale += 1;
                }
                result => {
                    drop(reading.0.take());
                    return result;
                }
            }
        }
    }

    async fn fetch_optional(&self, sql: Sql<'_>) -> Result<Option<Row>, Error> {
        Ok(self.fetch_all(sql).await?.into_iter().next())
    }

    async fn fetch_one(&self, sql: Sql<'_>) -> Result<Row, Error> {
        self.fetch_optional(sql).await?.ok_or(Error::Refused(sqlx::Error::RowNotFound))
    }

    /// Runs a transaction in a task of its own, so that a caller who goes away cancels nothing, and
    /// again after a deadlock. The closure may run several times; it touches nothing but the
    /// transaction. `name` says in traces what is being done.
    pub async fn write<T, F>(&self, name: &'static str, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx) -> TxFuture<'t, T> + Send + Sync + 'static,
    {
        let store = self.clone();
        let writing = async move { store.write_here(name, work).await };
        let task = self.inner.tasks.spawn(writing.in_current_span());
        task.await.unwrap_or_else(|_| Err(Error::Refused(sqlx::Error::WorkerCrashed)))
    }

    async fn write_here<T, F>(&self, name: &'static str, work: F) -> Result<T, Error>
    where
        F: for<'t> Fn(&'t mut Tx) -> TxFuture<'t, T>,
    {
        let mut attempt = 0;
        loop {
            let result = match self.dialect() {
                Dialect::MySql => tokio::time::timeout(TRANSACTION_TIMEOUT, self.write_once(&work)).await,
                Dialect::Sqlite => Ok(self.write_once(&work).await),
            };
            match result.unwrap_or_else(|_| Err(Error::silent(TRANSACTION_TIMEOUT))) {
                Err(error) if error.is_contended() && attempt < MAX_ATTEMPTS => {
                    attempt += 1;
                    tracing::debug!(transaction = name, attempt, %error, "running a transaction again");
                    self.back_off(attempt).await;
                }
                result => {
                    self.note_write(result.as_ref().err());
                    return result;
                }
            }
        }
    }

    async fn write_once<T, F>(&self, work: &F) -> Result<T, Error>
    where
        F: for<'t> Fn(&'t mut Tx) -> TxFuture<'t, T>,
    {
        let mut tx = Tx::begin(self.writing().await?).await?;
        match work(&mut tx).await {
            Ok(value) => {
                let announced = std::mem::take(&mut tx.announced);
                let committed = tx.commit().await.map_err(|(error, _)| error);
                self.tell_listener(&announced, committed.as_ref().err());
                committed.map(|_| value)
            }
            // Whoever cannot serve now is not asked again over this connection.
            Err(error) if error.is_unavailable() && tx.dialect() == Dialect::MySql => Err(error),
            Err(error) => {
                tx.rollback().await;
                Err(error)
            }
        }
    }

    /// Calls `listener` with what this instance changes of what is cached, after each commit; with `None` where it is not
    /// known whether something was committed. Other instances hear of it by the cache events.
    pub fn on_commit(&self, listener: impl Fn(Option<&Changed>) + Send + Sync + 'static) {
        // There is one listener, and the first one stays.
        let _ = self.inner.on_commit.set(Box::new(listener));
    }

    fn tell_listener(&self, announced: &[Changed], error: Option<&Error>) {
        let Some(listener) = self.inner.on_commit.get() else { return };
        match error {
            None => announced.iter().for_each(|changed| listener(Some(changed))),
            Some(error) if error.is_unavailable() && !announced.is_empty() => listener(None),
            Some(_) => {}
        }
    }

    /// Waits a little before a transaction runs again: up to 5 ms doubled per attempt, at random, so
    /// that two losers do not meet again.
    async fn back_off(&self, attempt: u32) {
        self.inner.retries.fetch_add(1, Ordering::Relaxed);
        let mut random = [0; 4];
        self.inner.entropy.fill(&mut random);
        let limit = 5_000u32 << attempt.min(6);
        let wait = Duration::from_micros(u64::from(u32::from_le_bytes(random) % limit));
        tokio::time::sleep(wait).await;
    }

    fn uuid(&self) -> Uuid {
        crate::model::new_uuid(self.inner.clock.now(), &*self.inner.entropy)
    }
}

/// A connection that reads. A read that is given up half-way, its caller being gone, leaves an answer on the
/// way that nobody waits for: such a connection is closed instead of returned to the pool, and so is one that
/// was found broken.
struct Reading(Option<Conn>);

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(conn) = self.0.take() {
            conn.discard();
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dialect", &self.dialect()).finish_non_exhaustive()
    }
}

fn open_sqlite(path: &Path, max_connections: u32) -> Backend {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(STATEMENTS_KEPT)
        .pragma("wal_autocheckpoint", checkpoint::LOG_PAGES_AT_MOST)
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new()
        // Each reader is a thread; more than a handful only adds memory.
        .max_connections(max_connections.clamp(2, 8))
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .connect_lazy_with(
            // A quarter of SQLite's own page cache: the system caches the file's pages once for all of them.
            options
                .clone()
                .statement_cache_capacity(64)
                .pragma("query_only", "1")
                .pragma("cache_size", "-500"),
        );
    // Only who writes chooses the journal: the choice lies in the file.
    let options = options.journal_mode(SqliteJournalMode::Wal);
    Backend::Sqlite { pool, options: Box::new(options), writer: SqliteWriterSlot::default() }
}

/// Opens the writing connection. SQLite's busy time-out does not hold while a new file's journal is
/// switched to the write-ahead log: a process that meets another one doing so gets `busy` at once.
async fn connect_writer(options: &SqliteConnectOptions) -> Result<SqliteConnection, Error> {
    let patient = async {
        loop {
            match options.connect().await.map_err(Error::from) {
                Err(Error::Contended(_)) => tokio::time::sleep(BUSY_PAUSE).await,
                result => return result,
            }
        }
    };
    match tokio::time::timeout(BUSY_TIMEOUT, patient).await {
        Ok(result) => result,
        Err(_) => Ok(options.connect().await?),
    }
}

async fn acquire(hosts: &Hosts, pool: Pool) -> Result<Conn, Error> {
    hosts.acquire(pool).await.map(|(conn, node)| Conn::MySql(conn, node))
}

/// How to connect to one of a target's hosts.
fn connect_options(target: &DatabaseTarget, host: &DatabaseHost) -> Option<Host> {
    let DatabaseTarget::Mysql { hosts: _, user, password, name, tls_ca_file } = target else { return None };
    let mut options = MySqlConnectOptions::new()
        .host(&host.name)
        .port(host.port)
        .username(user)
        .database(name)
        .statement_cache_capacity(STATEMENTS_KEPT)
        .ssl_mode(MySqlSslMode::Preferred)
        .disable_statement_logging();
    if !password.is_empty() {
        options = options.password(password.expose());
    }
    if let Some(file) = tls_ca_file {
        options = options.ssl_mode(MySqlSslMode::VerifyIdentity).ssl_ca(file);
    }
    Some(Host { name: host.to_string(), options })
}

/// What every MySQL session of ours runs under. The server forgets a session that went away without a sign, and its
/// locks, after a quarter of an hour (the pool keeps nothing idle for so long), MariaDB one within a transaction after a
/// minute; left to itself it would be hours.
async fn set_session(conn: &mut sqlx::MySqlConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(
        "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), innodb_lock_wait_timeout = 5, \
         wait_timeout = 900 /*M!, idle_transaction_timeout = 60 */; \
         SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    )
    .execute(conn)
    .await
    .map(drop)
}
