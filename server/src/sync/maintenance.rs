//! Forgets what no longer counts: old tombstones, cache events, spent nonces and event ids, expired sessions, buckets of
//! sign-ins that are full again, what quotas counted, usage records, and old audit entries; and adds up the usage of all
//! customers. One instance does so, a slice at a time, so that nobody waits for it.

mod usage;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub(super) use usage::UsageRounds;

use super::lease::Held;
use super::{Inner, chance};
use crate::model::{Entity, Timestamp};
use crate::store::{self, ReplayTable};

const NAME: &str = "housekeeping";
/// Between two rounds, give or take a fifth.
const RUN_INTERVAL: Duration = Duration::from_mins(1);
/// Outlasts the time between two rounds, so that the work stays with one instance.
const LEASE: Duration = Duration::from_mins(3);
/// Tombstones keep their version this long (the feed's contract).
const TOMBSTONES: Duration = Duration::from_hours(30 * 24);
/// Instances read back ten seconds; the rest is for those that were away for a moment.
const CACHE_EVENTS: Duration = Duration::from_mins(10);
/// Closed reservations are kept for a repeated request to be answered.
const RESERVATIONS: Duration = Duration::from_hours(24);
/// Counters whose windows ended are kept for as long as a clock may be behind; each check reads those of its user.
const COUNTERS: Duration = Duration::from_hours(3 * 24);
/// Rows of one transaction.
const SLICE: i64 = 500;
/// Between two slices, so that bookings come first.
const BATCH_PAUSE: Duration = Duration::from_millis(20);

/// What is forgotten.
#[derive(Debug, Clone, Copy)]
enum CleanupTask {
    Tombstones(Entity),
    CacheEvents,
    Uses(ReplayTable),
    Sessions,
    Throttle,
    Audit,
    Reservations,
    Counters,
}

const CLEANUP_TASKS: [CleanupTask; 12] = [
    CleanupTask::Tombstones(Entity::Users),
    CleanupTask::Tombstones(Entity::Pricing),
    CleanupTask::Tombstones(Entity::Llmage),
    CleanupTask::Tombstones(Entity::Uapi),
    CleanupTask::CacheEvents,
    CleanupTask::Uses(ReplayTable::Nonces),
    CleanupTask::Uses(ReplayTable::WebhookIds),
    CleanupTask::Sessions,
    CleanupTask::Throttle,
    CleanupTask::Audit,
    CleanupTask::Reservations,
    CleanupTask::Counters,
];

impl CleanupTask {
    /// Whether it is left undone while the service is read-only.
    fn is_paused(self, read_only: bool) -> bool {
        read_only && matches!(self, Self::Sessions | Self::Throttle | Self::Reservations | Self::Counters)
    }

    /// The table that it keeps small, for the metrics.
    fn table(self) -> &'static str {
        match self {
            Self::Tombstones(entity) => entity.table(),
            Self::CacheEvents => "cache_events",
            Self::Uses(ReplayTable::Nonces) => "nonces",
            Self::Uses(ReplayTable::WebhookIds) => "webhook_ids",
            Self::Sessions => "sessions",
            Self::Throttle => "login_throttle",
            Self::Audit => "audit_log",
            Self::Reservations => "quota_reservations",
            Self::Counters => "quota_counters",
        }
    }
}

impl Inner {
    /// Cleans up once a minute while this instance holds the lease, until stopped.
    pub async fn run_maintenance(self: Arc<Self>, stop: CancellationToken) {
        // A rate over a counter that appears with its first event misses that event.
        for table in CLEANUP_TASKS.map(CleanupTask::table).into_iter().chain(["usage_logs"]) {
            self.metrics.cleaned(table, 0);
        }
        let mut held = None;
        loop {
            let pause = RUN_INTERVAL.mul_f64(1.0 + 0.2 * chance(&*self.entropy));
            let round = async {
                tokio::time::sleep(pause).await;
                self.clean_up(&mut held).await
            };
            let done = tokio::select! {
                () = stop.cancelled() => break,
                done = round => done,
            };
            if let Err(error) = done {
                tracing::debug!(%error, "cleaning up failed; retried in the next round");
                held = None;
            }
        }
        if let Some(held) = held {
            held.give_back().await;
        }
    }

    /// One round; the number of rows forgotten. Nothing if another instance holds the lease.
    pub(super) async fn clean_up(&self, held: &mut Option<Held>) -> Result<u64, store::Error> {
        if held.is_none() {
            *held = Held::take(&self.store, &self.clock, &self.metrics, NAME, LEASE).await?;
        }
        let Some(held) = held else { return Ok(0) };
        let now = self.store.now().await?;
        let mut total = 0;
        let read_only = self.config.read(|config| config.server.read_only);
        for task in CLEANUP_TASKS.into_iter().filter(|task| !task.is_paused(read_only)) {
            loop {
                held.keep().await?;
                let count = self.delete_expired(task, now).await?;
                total += count;
                self.metrics.cleaned(task.table(), count);
                if count == 0 {
                    break;
                }
                tokio::time::sleep(BATCH_PAUSE).await;
            }
        }
        if !read_only {
            total += self.forget_usage(held, now).await?;
            self.add_up_usage(held, now).await?;
        }
        Ok(total)
    }

    async fn delete_expired(&self, task: CleanupTask, now: Timestamp) -> Result<u64, store::Error> {
        match task {
            CleanupTask::Tombstones(entity) => {
                self.store.purge_tombstones(entity, now.minus(TOMBSTONES), SLICE).await
            }
            CleanupTask::CacheEvents => self.store.purge_cache_events(now.minus(CACHE_EVENTS), SLICE).await,
            CleanupTask::Uses(table) => self.store.purge_uses(table, SLICE).await,
            CleanupTask::Sessions => self.store.purge_sessions(now, SLICE).await,
            CleanupTask::Throttle => self.store.purge_throttle(now, SLICE).await,
            CleanupTask::Audit => match self.config.read(|config| config.audit.retention) {
                Some(retention) => self.store.purge_audit(now.minus(retention), SLICE).await,
                None => Ok(0),
            },
            CleanupTask::Reservations => self.store.purge_reservations(now.minus(RESERVATIONS), SLICE).await,
            CleanupTask::Counters => self.store.purge_counters(now.minus(COUNTERS), SLICE).await,
        }
    }
}
