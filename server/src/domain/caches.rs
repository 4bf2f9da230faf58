//! The caches of an instance. A module makes its own here, and says which changes empty it: bounded by weight and by
//! age, and told what other instances write into the database.

mod flight;
mod metrics;
#[cfg(test)]
mod tests;
mod versioned;

use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::config::LiveConfig;
use crate::model::Clock;
use crate::store::Changed;
use crate::telemetry::metrics::Metrics;

use metrics::CacheMetrics;
pub use metrics::LookupCounters;
use versioned::Bounds;
pub use versioned::{Entry, Versioned};

/// How long beyond its time to live an entry may be served while the database is away.
pub const STALE_LIMIT: Duration = Duration::from_secs(300);
/// `cache.max_bytes` is given out in so many parts.
const PARTS: u64 = 16;

/// Every cache of an instance. Clones share them.
#[derive(Clone)]
pub struct Caches {
    inner: Arc<Inner>,
}

struct Inner {
    config: LiveConfig,
    clock: Arc<dyn Clock>,
    metrics: CacheMetrics,
    registered: RwLock<Vec<(&'static str, Arc<dyn Cached>)>>,
}

/// A cache, as the listener of changes sees it.
pub trait Cached: Send + Sync {
    /// Entries held, roughly.
    fn entries(&self) -> u64;

    /// Drops everything.
    fn drop_all(&self);

    /// Drops what a change elsewhere made wrong.
    fn invalidate(&self, changed: &Changed);
}

/// What a change takes out of a cache.
pub enum Invalidated<K> {
    /// Nothing.
    Nothing,
    /// The entries of these keys.
    Keys(Vec<K>),
    /// Every entry.
    All,
}

/// What a module says of a cache that it makes.
pub struct CacheSpec<K, T> {
    /// Its name in metrics and in /health.
    pub name: &'static str,
    /// Its part of `cache.max_bytes`, in sixteenths.
    pub share: u64,
    /// How long beyond its time to live an entry may be served while the database is away.
    pub stale_limit: Duration,
    /// What a value takes, in bytes, roughly.
    pub weigh: fn(&T) -> usize,
    /// What a change takes out of it.
    pub invalidated: fn(&Changed) -> Invalidated<K>,
}

impl Caches {
    /// No caches yet, to be made within the configured bounds.
    pub fn new(config: &LiveConfig, clock: &Arc<dyn Clock>, metrics: &Metrics) -> Self {
        let (config, clock) = (config.clone(), clock.clone());
        let metrics = CacheMetrics::register(metrics);
        Self { inner: Arc::new(Inner { config, clock, metrics, registered: RwLock::default() }) }
    }

    /// Makes a cache of versioned entries.
    pub fn make<K, T>(&self, spec: &CacheSpec<K, T>) -> Arc<Versioned<K, T>>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        let bounds = Bounds {
            bytes: self.bytes(spec.share),
            stale_limit: spec.stale_limit,
            config: self.inner.config.clone(),
        };
        let (clock, counters) = (self.inner.clock.clone(), self.lookup_counters(spec.name));
        let cache = Arc::new(Versioned::new(bounds, spec.weigh, spec.invalidated, clock, counters));
        self.register(spec.name, cache.clone());
        cache
    }

    /// Takes in a cache of another kind.
    pub fn register(&self, name: &'static str, cache: Arc<dyn Cached>) {
        self.inner.registered.write().unwrap_or_else(PoisonError::into_inner).push((name, cache));
    }

    /// Bytes in so many sixteenths of `cache.max_bytes`.
    pub fn bytes(&self, share: u64) -> u64 {
        self.inner.config.current().cache.max_bytes / PARTS * share
    }

    /// Where the look-ups of a cache are counted.
    pub fn lookup_counters(&self, name: &'static str) -> LookupCounters {
        self.inner.metrics.cache(name)
    }

    /// Drops everything.
    pub fn drop_all(&self) {
        self.each(|_, cache| cache.drop_all());
    }

    /// Drops what another instance, or a command, has changed.
    pub fn invalidate(&self, changed: &Changed) {
        self.each(|_, cache| cache.invalidate(changed));
    }

    /// Entries held, by cache, for /health.
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        let mut counts = Vec::new();
        self.each(|name, cache| counts.push((name, cache.entries())));
        counts
    }

    fn each(&self, mut visit: impl FnMut(&'static str, &dyn Cached)) {
        for (name, cache) in &*self.inner.registered.read().unwrap_or_else(PoisonError::into_inner) {
            visit(name, &**cache);
        }
    }
}
