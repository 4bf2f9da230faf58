//! The mirror of the platform: schedules, the runs that pull pages into the store, pulls for
//! events, and what /health says about it all.
//!
//! Of several instances one runs an entity at a time: [`runner`] works under a fenced lease that
//! lies on the row with the cursor. The others see the rows in the store they share, and look at
//! the time of the last run there before they begin one.

mod api_source;
mod apply;
mod error;
mod events;
mod feed;
mod freshness;
mod lease;
mod maintenance;
mod metrics;
mod receiver;
mod report;
mod runner;
mod schedule;
mod source;
mod timer;
mod trace;

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use api_source::ApiSource;
pub use error::SyncError;
pub use feed::{flaw, parse_seed};
pub use freshness::Freshness;
pub use metrics::SyncMetrics;
pub use receiver::EventReceiver;
pub use report::{Progress, RunReport};
pub use source::{Failure, FeedPage, Flaw, MAX_IDS, Position, Source, SourceError};

use crate::config::{self, Config, EntitySync, LiveConfig, SyncSource};
use crate::model::{Clock, Entity, Entropy, TextId};
use crate::store::{Changed, Store};
use schedule::Timetable;

/// The shortest lease of a run; a slow upstream gets a longer one.
const MIN_LEASE: Duration = Duration::from_mins(1);

/// The mirror of one instance. Clones share it.
#[derive(Clone)]
pub struct SyncService {
    inner: Arc<Inner>,
}

type Listener = Box<dyn Fn(&Changed) + Send + Sync>;

struct Inner {
    store: Store,
    source: Result<Arc<dyn Source>, &'static str>,
    config: LiveConfig,
    lease_ttl: fn(&Config) -> Duration,
    runs: [Runs; Entity::ALL.len()],
    usage: maintenance::UsageRounds,
    events: events::Queue,
    listener: OnceLock<Listener>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    metrics: SyncMetrics,
}

/// The state of one entity's runs.
#[derive(Default)]
struct Runs {
    /// Held during a run: the lease is this instance's, so it does not keep its own tasks apart.
    running: tokio::sync::Mutex<()>,
    /// Never held across an await.
    looked: Mutex<Option<freshness::Looked>>,
}

impl SyncService {
    /// Prepares to mirror what the configuration names. Without an upstream, or with one of a kind
    /// that is not implemented yet, nothing is pulled and only the maintenance runs.
    pub fn new(
        store: Store,
        config: LiveConfig,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        metrics: SyncMetrics,
    ) -> Result<Self, SyncError> {
        let source = match configured_source(&config.current(), &clock) {
            Ok(source) => Ok(source),
            Err(SyncError::Unconfigured(why)) => Err(why),
            Err(error) => return Err(error),
        };
        Self::with_source(store, config, source, clock, entropy, metrics)
    }

    /// Whether [`SyncService::new`] would take this configuration: files that it names are read, no connection is
    /// made.
    ///
    /// # Errors
    /// What it would refuse.
    pub fn check(config: &Config, clock: &Arc<dyn Clock>) -> Result<(), SyncError> {
        check_schedules(config)?;
        match configured_source(config, clock) {
            Ok(_) | Err(SyncError::Unconfigured(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The same over another source, or with the reason why there is none.
    pub fn with_source(
        store: Store,
        config: LiveConfig,
        source: Result<Arc<dyn Source>, &'static str>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        metrics: SyncMetrics,
    ) -> Result<Self, SyncError> {
        check_schedules(&config.current())?;
        let inner = Inner {
            store,
            source,
            config,
            lease_ttl,
            runs: Default::default(),
            usage: maintenance::UsageRounds::default(),
            events: events::Queue::default(),
            listener: OnceLock::new(),
            clock,
            entropy,
            metrics,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Called after each commit with what this instance's caches must drop; other instances read
    /// it from the store. The first listener stays.
    pub fn on_change(&self, listener: impl Fn(&Changed) + Send + Sync + 'static) {
        // A second listener would be a mistake in the composition root and is not called.
        let _ = self.inner.listener.set(Box::new(listener));
    }

    /// Starts the tasks: a timer per enabled entity, the workers for events, the look-up for
    /// /health, and the maintenance. They end soon after `stop`.
    pub fn start(&self, tasks: &TaskTracker, stop: &CancellationToken) {
        let inner = &self.inner;
        tasks.spawn(inner.clone().run_maintenance(stop.clone()));
        if let Err(why) = inner.source {
            tracing::info!(why, "nothing is mirrored");
            return;
        }
        for entity in Entity::ALL.into_iter().filter(|entity| inner.is_active(*entity)) {
            tasks.spawn(inner.clone().keep_mirrored(entity, stop.clone()));
        }
        for _ in 0..events::WORKERS {
            tasks.spawn(inner.clone().work_on_events(stop.clone()));
        }
        tasks.spawn(inner.clone().watch_freshness(stop.clone()));
    }

    /// Mirrors an entity now, enabled or not, and tells `progress` after every page.
    pub async fn run_once(&self, entity: Entity, progress: Progress<'_>) -> Result<RunReport, SyncError> {
        self.inner.run(entity, &CancellationToken::new(), progress).await
    }

    /// Lets rows be pulled soon because an event names them. `false` if the entity is not mirrored
    /// or too much waits already; the next run brings them then.
    pub fn pull(&self, entity: Entity, mut ids: Vec<String>) -> bool {
        // Nothing else can be an id of the platform.
        ids.retain(|id| TextId::parse(id).is_ok());
        if !self.inner.is_active(entity) {
            return false;
        }
        let taken = self.inner.events.push(entity, &ids);
        if !taken {
            self.inner.metrics.rows(entity, "event_dropped", ids.len() as u64);
        }
        taken
    }

    /// How fresh each entity is. Costs no query.
    pub fn freshness(&self) -> Vec<(Entity, Freshness)> {
        Entity::ALL.into_iter().map(|entity| (entity, self.inner.freshness(entity))).collect()
    }
}

impl std::fmt::Debug for SyncService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SyncService").field("freshness", &self.freshness()).finish_non_exhaustive()
    }
}

impl Inner {
    const fn runs(&self, entity: Entity) -> &Runs {
        &self.runs[entity as usize]
    }

    fn settings(&self, entity: Entity) -> EntitySync {
        settings(&self.config.current().sync, entity).1.clone()
    }

    fn timetable(&self, entity: Entity) -> Result<Timetable, SyncError> {
        let config = self.config.current();
        let (key, EntitySync { schedule, .. }) = settings(&config.sync, entity);
        Timetable::new(key, schedule)
    }

    fn source(&self) -> Result<&Arc<dyn Source>, SyncError> {
        self.source.as_ref().map_err(|why| SyncError::Unconfigured(why))
    }

    fn is_active(&self, entity: Entity) -> bool {
        self.source.is_ok() && settings(&self.config.current().sync, entity).1.enabled
    }
}

/// How an entity is mirrored, and the key of the configuration that says so.
const fn settings(sync: &config::Sync, entity: Entity) -> (&'static str, &EntitySync) {
    match entity {
        Entity::Users => ("sync.users", &sync.users),
        Entity::Pricing => ("sync.pricing", &sync.pricing),
        Entity::Llmage => ("sync.llmage", &sync.llmage),
        Entity::Uapi => ("sync.uapi", &sync.uapi),
    }
}

fn check_schedules(config: &Config) -> Result<(), SyncError> {
    Entity::ALL.into_iter().try_for_each(|entity| {
        let (key, EntitySync { schedule, .. }) = settings(&config.sync, entity);
        Timetable::new(key, schedule).map(drop)
    })
}

/// How long the lease of a run lasts unless it is renewed.
fn lease_ttl(config: &Config) -> Duration {
    let timeout = config.upstream.as_ref().map_or(Duration::ZERO, |upstream| upstream.timeout);
    MIN_LEASE.max(timeout * 3)
}

fn configured_source(config: &Config, clock: &Arc<dyn Clock>) -> Result<Arc<dyn Source>, SyncError> {
    if config.sync.source == SyncSource::Database {
        return Err(SyncError::Unconfigured("sync.source: database is not implemented yet, use api"));
    }
    let upstream = config.upstream.as_ref().ok_or(SyncError::Unconfigured("upstream.url is not set"))?;
    let zone = config.sync.zone.clone();
    Ok(Arc::new(ApiSource::new(upstream, zone, clock.clone())?))
}

/// A number from -1 to 1, at random.
fn chance(entropy: &dyn Entropy) -> f64 {
    let mut bytes = [0; 4];
    entropy.fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX) * 2.0 - 1.0
}
