//! How the instance is, for /health. Costs no query: a task looks at the database now and then.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::ServerEnv;
use crate::sync;

/// How often the database is looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// How long a look may take.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// One word for the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// Everything works.
    Ok,
    /// It serves, but something is late or away.
    Degraded,
    /// It cannot serve.
    Down,
}

/// What /health shows.
#[derive(Debug, Clone, Serialize)]
pub struct Health {
    /// One word for the whole.
    pub status: HealthStatus,
    /// The program's version.
    pub version: &'static str,
    /// This instance.
    pub instance: String,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// The database.
    pub database: DatabaseHealth,
    /// Entries held, by cache.
    pub cache: BTreeMap<&'static str, CacheHealth>,
    /// The mirror, by entity.
    pub sync: BTreeMap<&'static str, SyncHealth>,
}

/// How the database is.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct DatabaseHealth {
    /// mysql or sqlite.
    pub kind: &'static str,
    /// ok, away, full when there is no room to write, or unready when its schema does not fit this program.
    pub status: &'static str,
}

/// How a cache is.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct CacheHealth {
    /// Entries held, roughly.
    pub entries: u64,
}

/// How an entity's mirror is.
#[derive(Debug, Clone, Serialize)]
pub struct SyncHealth {
    /// Seconds since a run last ended well.
    pub age_s: Option<f64>,
    /// disabled, pending, success or failed.
    pub status: &'static str,
    /// A stable word for what failed last.
    pub error_class: Option<String>,
    /// Rows whose newest version cannot be read, counted up to 10,000.
    pub quarantined: u64,
}

impl Health {
    /// Whether the instance cannot serve.
    pub fn is_down(&self) -> bool {
        self.status == HealthStatus::Down
    }
}

const UNKNOWN: u8 = 0;
const PRESENT: u8 = 1;
const AWAY: u8 = 2;

impl ServerEnv {
    /// How the instance is.
    pub async fn health(&self) -> Health {
        let inner = &self.inner;
        if inner.database.load(Ordering::Acquire) == UNKNOWN {
            self.look_at_database().await;
        }
        let away = inner.store.is_away() || inner.database.load(Ordering::Acquire) == AWAY;
        let full = inner.store.is_full();
        let database = match (self.is_started(), away) {
            (_, true) => "away",
            (false, false) => "unready",
            (true, false) if full => "full",
            (true, false) => "ok",
        };
        let sync: BTreeMap<_, _> = inner
            .sync
            .freshness()
            .into_iter()
            .map(|(entity, f)| {
                let age_s = f.age_s.map(|age| (age * 1000.0).round() / 1000.0);
                let sync::Freshness { status, error_class, quarantined, .. } = f;
                let health = SyncHealth { age_s, status, error_class, quarantined };
                (entity.as_str(), health)
            })
            .collect();
        let failing = sync.values().any(|s| s.status == "failed" || s.quarantined > 0);
        let status = if !self.is_started() {
            HealthStatus::Down
        } else if away || full || failing {
            HealthStatus::Degraded
        } else {
            HealthStatus::Ok
        };
        let counts = inner.caches.counts().into_iter();
        let cache = counts.map(|(name, entries)| (name, CacheHealth { entries })).collect();
        Health {
            status,
            version: env!("CARGO_PKG_VERSION"),
            instance: inner.instance.to_string(),
            uptime_s: inner.clock.monotonic().saturating_sub(inner.started_at).as_secs(),
            database: DatabaseHealth { kind: inner.store.dialect().as_str(), status: database },
            cache,
            sync,
        }
    }

    async fn look_at_database(&self) {
        let seen = match tokio::time::timeout(PING_TIMEOUT, self.inner.store.ping()).await {
            Ok(Ok(())) => PRESENT,
            Ok(Err(_)) | Err(_) => AWAY,
        };
        self.inner.database.store(seen, Ordering::Release);
        // In its own time, so that there is one at most: a server without room may let a write wait.
        if self.inner.store.is_full() {
            // Whether it still is shows in what the store says next, and is no failure of this look.
            let _ = self.inner.store.try_room().await;
        }
    }
}

/// Looks at the database until stopped.
pub(super) async fn watch_database(env: ServerEnv, stop: CancellationToken) {
    loop {
        env.look_at_database().await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(CHECK_INTERVAL) => {}
        }
    }
}
