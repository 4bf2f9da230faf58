//! Putting an instance together.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::database_file::DatabaseFile;
use super::error::OpenError;
use super::threads::BookingThreads;
use super::{Inner, ServerEnv};
use crate::config::LiveConfig;
use crate::config::{Config, DatabaseTarget};
use crate::domain::admin::groups::Groups;
use crate::domain::admin::members::Members;
use crate::domain::admin::users::Users;
use crate::domain::auth::Auth;
use crate::domain::balances::{BalanceCache, Balances};
use crate::domain::booking::{Booking, BookingMetrics, BookingParts, Bookings, UsageFloor};
use crate::domain::caches::Caches;
use crate::domain::keys::Keys;
use crate::domain::mirrored_users::MirroredUsers;
use crate::domain::nonces::SpentNonces;
use crate::domain::prices::Prices;
use crate::domain::quota::{QuotaMetrics, QuotaService, Refusals, Subjects};
use crate::domain::sign_in::{AccessTokens, Passwords, SignIn, SignInMetrics};
use crate::domain::usage::{UsageLog, UsageMetrics, UsageParts};
use crate::model::{Clock, Entropy, Secret, SystemClock, SystemEntropy, new_uuid};
use crate::store::{Context, Keyring, Migrate, OwnerCheck, SchemaState, Store, StoreMetrics};
use crate::sync::{EventReceiver, SyncMetrics, SyncService};
use crate::telemetry::metrics::Metrics;

/// What the instance is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Serves; the only one to serve an embedded database.
    Serve,
    /// A command that sets a database up: it makes an embedded one where none is.
    Setup,
    /// A command on a database that is there, perhaps beside a server.
    Command,
}

/// Opens SageAPI as a library: connects, brings an embedded database's schema up to date, and starts
/// the booking engine. [`ServerEnv::start_background`] adds the mirror, the changes of other instances and
/// the upkeep of the database; [`ServerEnv::shut_down`] ends it.
pub async fn load_sageapi(config: Config) -> Result<ServerEnv, OpenError> {
    let env = ServerEnv::open(config, Role::Serve)?;
    env.prepare().await?;
    Ok(env)
}

impl ServerEnv {
    /// Puts an instance together without touching the database, with the machine's clock and randomness.
    pub fn open(config: Config, role: Role) -> Result<Self, OpenError> {
        Self::open_with(config, role, SystemClock::new(), SystemEntropy::new())
    }

    /// Puts an instance together without touching the database, but for making its folder and its key where the
    /// role may. Must be called within a Tokio runtime.
    pub fn open_with(
        config: Config,
        role: Role,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, OpenError> {
        let file = database_file(&config, role)?;
        let keyring = keyring(&config, file.as_ref(), role, &*entropy)?;
        let own_jwt_secret = jwt_secret_beside(&config, file.as_ref(), role, &*entropy)?;
        let metrics = Metrics::new(env!("CARGO_PKG_VERSION"));
        let instance = new_uuid(clock.now(), &*entropy);
        let context = Context {
            instance,
            keyring,
            clock: clock.clone(),
            entropy: entropy.clone(),
            sole_cache: role == Role::Serve && file.is_some(),
        };
        let writers = u32::try_from(config.accounting.writers).unwrap_or(u32::MAX);
        let database = &config.database;
        // The file that is locked, whatever the links in the configured path come to lead to.
        let target = match &file {
            Some(file) => &DatabaseTarget::Sqlite { path: file.path().to_owned() },
            None => &database.target,
        };
        let store = Store::open(target, database.max_connections, writers, context)?;
        let booking_threads = match role {
            Role::Serve => Some(BookingThreads::start().map_err(OpenError::Thread)?),
            Role::Setup | Role::Command => None,
        };
        let config = LiveConfig::new(config);
        let caches = Caches::new(&config, &clock, &metrics);
        let (balances, nonces) = (BalanceCache::new(&caches), Arc::new(SpentNonces::default()));
        let usage_floor = UsageFloor::default();
        let parts = BookingParts {
            usage_floor: usage_floor.clone(),
            balances: balances.clone(),
            nonces: nonces.clone(),
            metrics: BookingMetrics::register(&metrics),
            clock: clock.clone(),
            entropy: entropy.clone(),
            config: config.clone(),
            runtime: booking_threads
                .as_ref()
                .and_then(BookingThreads::handle)
                .unwrap_or_else(tokio::runtime::Handle::current),
        };
        let booking = Booking::start(&store, parts);
        let sync = SyncService::new(
            store.clone(),
            config.clone(),
            clock.clone(),
            entropy.clone(),
            SyncMetrics::register(&metrics),
        )?;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        invalidate_what_sync_changes(&sync, &caches, &tasks, &stop);
        let committed = caches.clone();
        store.on_commit(move |changed| match changed {
            Some(changed) => committed.invalidate(changed),
            None => committed.drop_all(),
        });
        let access = Arc::new(AccessTokens::new(
            store.clone(),
            &caches,
            clock.clone(),
            config.clone(),
            own_jwt_secret,
        ));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let passwords = Passwords::new(cores, entropy.clone());
        let admin_users = Users::new(store.clone(), passwords.clone());
        let sign_in = Arc::new(SignIn::new(
            store.clone(),
            passwords,
            access.clone(),
            clock.clone(),
            entropy.clone(),
            SignInMetrics::register(&metrics),
        ));
        let prices = Arc::new(Prices::new(store.clone(), &caches, config.clone()));
        let (subjects, refusals) = (Subjects::new(store.clone(), &caches), Refusals::new());
        let quotas = QuotaService::new(
            booking.clone(),
            store.clone(),
            subjects.clone(),
            refusals.clone(),
            QuotaMetrics::register(&metrics),
            config.clone(),
            clock.clone(),
        );
        let usage = UsageLog::new(UsageParts {
            engine: booking.clone(),
            store: store.clone(),
            prices: prices.clone(),
            subjects,
            refusals,
            metrics: UsageMetrics::register(&metrics),
            config: config.clone(),
            clock: clock.clone(),
        });
        let bookings = Bookings::new(booking, store.clone(), prices.clone(), config.clone(), clock.clone());
        let inner = Inner {
            bookings,
            usage: Arc::new(usage),
            quotas,
            usage_floor,
            auth: Auth::new(store.clone(), &caches, nonces, access, clock.clone(), config.clone()),
            sign_in,
            keys: Keys::new(store.clone(), clock.clone(), entropy.clone(), config.clone()),
            balances: Balances::new(store.clone(), balances, clock.clone()),
            users: MirroredUsers::new(store.clone(), &caches),
            members: Members::new(store.clone(), admin_users.clone()),
            admin_users,
            groups: Groups::new(store.clone()),
            events: EventReceiver::new(config.clone(), store.clone(), sync.clone(), clock.clone()),
            instance,
            started_at: clock.monotonic(),
            store,
            caches,
            _booking_threads: booking_threads,
            prices,
            sync,
            store_metrics: StoreMetrics::register(&metrics),
            metrics,
            clock,
            entropy,
            tasks,
            stop,
            schema_ok: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            database: AtomicU8::new(0),
            _file: file,
            role,
            config,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Sees to it that the schema fits: who may make an embedded database migrates it, else it is demanded.
    pub async fn prepare(&self) -> Result<SchemaState, OpenError> {
        let embedded = matches!(self.config().database.target, DatabaseTarget::Sqlite { .. });
        if embedded && self.inner.role != Role::Command {
            // A refusal changes nothing; the look that follows finds the same.
            self.store().migrate(&Migrate::ignoring_owner()).await?;
        }
        let state = self.store().schema_state(OwnerCheck::User).await?;
        if !state.can_serve {
            return Err(OpenError::Schema(Box::new(state)));
        }
        if !self.config().server.read_only {
            let configured = &self.config().usage.timezone;
            let usage = self.store().usage_state(configured).await?;
            self.inner.usage_floor.raise(usage.floor);
            if usage.time_zone != *configured {
                let configured = configured.clone();
                return Err(OpenError::UsageTimeZone { configured, stored: usage.time_zone });
            }
        }
        // Before the instance is ready. What is wrong with the setting does not keep customers from being served.
        if self.inner.role == Role::Serve
            && let Err(error) = self.create_first_admin().await
        {
            tracing::error!(%error, "the first administrator could not be created; see auth.bootstrap_admin");
        }
        self.inner.schema_ok.store(true, Ordering::Release);
        Ok(state)
    }
}

/// Whether [`ServerEnv::open`] would take this configuration, as far as that can be told without the database, its
/// folder and its key file.
///
/// # Errors
/// What it would refuse.
pub fn check(config: &Config) -> Result<(), OpenError> {
    let clock: Arc<dyn Clock> = SystemClock::new();
    if let Some(key) = &config.auth.encryption_key {
        Keyring::new(key, &config.auth.previous_encryption_keys)?;
    }
    SyncService::check(config, &clock)?;
    Ok(())
}

/// What the mirror commits is dropped from this instance's caches by a task of its own: the mirror
/// does not wait for it.
fn invalidate_what_sync_changes(
    sync: &SyncService,
    caches: &Caches,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let (sender, mut changes) = tokio::sync::mpsc::channel::<crate::store::Changed>(1024);
    let overflowed = caches.clone();
    sync.on_change(move |changed| {
        if sender.try_send(changed.clone()).is_err() {
            overflowed.drop_all();
        }
    });
    let (caches, stop) = (caches.clone(), stop.clone());
    tasks.spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = changes.recv() => match changed {
                    Some(changed) => caches.invalidate(&changed),
                    None => return,
                },
            }
        }
    });
}

/// The file of an embedded database, and by it the refusal of a second server.
fn database_file(config: &Config, role: Role) -> Result<Option<DatabaseFile>, OpenError> {
    let DatabaseTarget::Sqlite { path } = &config.database.target else { return Ok(None) };
    let mut file = match role {
        Role::Serve | Role::Setup => DatabaseFile::open_or_make(path)?,
        Role::Command => DatabaseFile::open(path)?,
    };
    if role == Role::Serve {
        file.serve()?;
        if file.names() > 1 {
            tracing::warn!(
                path = %path.display(),
                "the database's file has several names (hard links); remove all but one: what SQLite has in the log \
                 beside one name is lost to who opens another"
            );
        }
    } else {
        file.demand_same_name_as_server()?;
    }
    Ok(Some(file))
}

fn keyring(
    config: &Config,
    file: Option<&DatabaseFile>,
    role: Role,
    entropy: &dyn Entropy,
) -> Result<Keyring, OpenError> {
    let previous = &config.auth.previous_encryption_keys;
    let key = match (&config.auth.encryption_key, file) {
        (Some(key), _) => key.clone(),
        (None, Some(file)) => key_beside(file, role, entropy)?,
        (None, None) => return Err(OpenError::NoEncryptionKey),
    };
    Ok(Keyring::new(&key, previous)?)
}

/// The encryption key in `<database file>.key`, readable by its owner alone; made on first use by who may make the
/// database too. A database that holds anything has its key already: never is a second one made.
fn key_beside(database: &DatabaseFile, role: Role, entropy: &dyn Entropy) -> Result<Secret, OpenError> {
    let paths = database.key_files();
    for path in &paths {
        if let Some(key) = read_key(path)? {
            return Ok(key);
        }
    }
    let [_, path] = paths;
    if role == Role::Command || !database.is_empty() {
        return Err(OpenError::NoKeyFile(path));
    }
    make_key(&path, entropy)
}

/// The secret of users' tokens in `<database file>.jwt`, for a configuration without one; made on first use by who serves
/// or sets up.
fn jwt_secret_beside(
    config: &Config,
    database: Option<&DatabaseFile>,
    role: Role,
    entropy: &dyn Entropy,
) -> Result<Option<Secret>, OpenError> {
    let Some(database) = database else { return Ok(None) };
    let [_, key] = database.key_files();
    let path = key.with_extension("jwt");
    match read_key(&path)? {
        None if role != Role::Command && config.auth.jwt_secret.is_none() => {
            make_key(&path, entropy).map(Some)
        }
        found => Ok(found),
    }
}

/// Makes a file with 32 random bytes in base64, readable by its owner alone.
fn make_key(path: &Path, entropy: &dyn Entropy) -> Result<Secret, OpenError> {
    let failed = |error| OpenError::File { path: path.to_owned(), error };
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            let mut key = [0; 32];
            entropy.fill(&mut key);
            let text = STANDARD.encode(key);
            writeln!(file, "{text}").and_then(|()| file.sync_all()).map_err(failed)?;
            Ok(Secret::new(text))
        }
        // Another process was first.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            read_key(path)?.ok_or(OpenError::NoKeyFile(path.to_owned()))
        }
        Err(error) => Err(failed(error)),
    }
}

fn read_key(path: &Path) -> Result<Option<Secret>, OpenError> {
    let mut text = String::new();
    match File::open(path).and_then(|f| f.take(1024).read_to_string(&mut text)) {
        Ok(_) => Ok(Some(Secret::new(text.trim()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpenError::File { path: path.to_owned(), error }),
    }
}
