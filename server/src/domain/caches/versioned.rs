//! One cache: entries in the order of their versions, served past their time while the database is away.

use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::ops::compute::{CompResult, Op};
use moka::sync::Cache;

use super::super::Error;
use super::flight::Flights;
use super::{Cached, Invalidated, LookupCounters};
use crate::config::LiveConfig;
use crate::model::{Clock, Timestamp};
use crate::store::Changed;

/// What a map entry and its key take, in bytes.
const KEY_WEIGHT: usize = 300;
/// How long stale entries are served without asking the database again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long one who could be served a stale entry waits for the database.
const LOAD_TIMEOUT: Duration = Duration::from_secs(1);

/// A value, or the knowledge that there is none, with its age.
#[derive(Debug)]
pub struct Entry<T> {
    /// The value.
    pub value: Option<Arc<T>>,
    /// When it was read from the database.
    pub loaded: Timestamp,
    /// Whether it is served past its time because the database is away.
    pub stale: bool,
    version: i64,
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), ..*self }
    }
}

impl<T> Entry<T> {
    /// The knowledge that there is no value.
    pub fn none(now: Timestamp) -> Self {
        Self { value: None, loaded: now, stale: false, version: 0 }
    }
}

/// One cache. An entry lives for the time to live, or a shorter one where there is no value; after
/// that it is loaded again, and only if that fails it is served for a while longer, marked stale.
pub struct Versioned<K, T> {
    cache: Cache<K, Entry<T>>,
    flights: Flights<K, Entry<T>>,
    invalidated: fn(&Changed) -> Invalidated<K>,
    clock: Arc<dyn Clock>,
    bounds: Bounds,
    /// Counts the times that something was dropped. A load that saw another count when it began may
    /// have read what was dropped, and is not kept.
    drops: AtomicU64,
    /// Until when the database is taken to be away, after a load that could not reach it.
    away_until: AtomicI64,
    lookups: LookupCounters,
}

/// How much a cache may hold, and for how long.
#[derive(Clone)]
pub(super) struct Bounds {
    /// What its entries may weigh.
    pub bytes: u64,
    /// How long beyond its time to live a value may be served while the database is away.
    pub stale_limit: Duration,
    /// Its `cache` section says how long values, and the knowledge that there is none, are fresh.
    pub config: LiveConfig,
}

impl Bounds {
    fn ttl(&self, has_value: bool) -> Duration {
        self.config.read(|config| if has_value { config.cache.ttl } else { config.cache.negative_ttl })
    }
}

impl<K, T> Expiry<K, Entry<T>> for Bounds {
    fn expire_after_create(&self, _: &K, entry: &Entry<T>, _: Instant) -> Option<Duration> {
        let has_value = entry.value.is_some();
        Some(self.ttl(has_value) + if has_value { self.stale_limit } else { Duration::ZERO })
    }

    fn expire_after_update(
        &self,
        key: &K,
        entry: &Entry<T>,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(key, entry, now)
    }
}

impl<K, T> Versioned<K, T>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// An empty cache of values that weigh what `weigh` says, in bytes.
    pub(super) fn new(
        bounds: Bounds,
        weigh: fn(&T) -> usize,
        invalidated: fn(&Changed) -> Invalidated<K>,
        clock: Arc<dyn Clock>,
        lookups: LookupCounters,
    ) -> Self {
        let cache = Cache::builder()
            .max_capacity(bounds.bytes)
            .weigher(move |_, entry: &Entry<T>| {
                let value = entry.value.as_ref().map_or(0, |value| weigh(value));
                u32::try_from(value + KEY_WEIGHT).unwrap_or(u32::MAX)
            })
            .expire_after(bounds.clone())
            .build();
        Self {
            cache,
            flights: Flights::default(),
            invalidated,
            clock,
            bounds,
            drops: AtomicU64::new(0),
            away_until: AtomicI64::new(0),
            lookups,
        }
    }

    fn is_fresh(&self, entry: &Entry<T>, now: Timestamp) -> bool {
        let ttl = self.bounds.ttl(entry.value.is_some());
        // Spread over a tenth, so that what was loaded together does not expire together.
        let jitter = u32::try_from(entry.loaded.micros().unsigned_abs() % 100).unwrap_or(0);
        now < entry.loaded.plus(ttl * (1000 - jitter) / 1000)
    }

    /// The entry, loaded if need be; loads of one key at a time are made once. `load` gives a value
    /// and the version that orders it against others of its key.
    pub async fn get<F>(&self, key: &K, load: impl FnOnce() -> F) -> Result<Entry<T>, Error>
    where
        F: Future<Output = Result<Option<(T, i64)>, Error>>,
    {
        let now = self.clock.now();
        let old = match self.cache.get(key) {
            Some(entry) if self.is_fresh(&entry, now) => {
                self.lookups.hit();
                return Ok(entry);
            }
            Some(entry) if now < self.away_until() && self.may_serve_stale(&entry, now) => {
                return Ok(self.stale(entry));
            }
            old => old,
        };
        // In a box: loading takes far more room than finding, and every request carries this future.
        Box::pin(self.load(key, old, load)).await
    }

    async fn load<F>(
        &self,
        key: &K,
        old: Option<Entry<T>>,
        load: impl FnOnce() -> F,
    ) -> Result<Entry<T>, Error>
    where
        F: Future<Output = Result<Option<(T, i64)>, Error>>,
    {
        self.lookups.miss();
        let flight = self.flights.join(key);
        let loading = flight.land(|| self.reload(key, load));
        let stale = old.filter(|entry| self.may_serve_stale(entry, self.clock.now()));
        let Some(stale) = stale else { return loading.await.map_err(|error| shared(&error)) };
        match tokio::time::timeout(LOAD_TIMEOUT, loading).await {
            Ok(Ok(entry)) => Ok(entry),
            Ok(Err(error)) if !matches!(*error, Error::StoreUnavailable(_)) => Err(shared(&error)),
            Ok(Err(_)) | Err(_) => {
                let retry = self.clock.now().plus(RETRY_AFTER);
                self.away_until.store(retry.micros(), Ordering::Release);
                Ok(self.stale(stale))
            }
        }
    }

    fn away_until(&self) -> Timestamp {
        Timestamp::from_micros(self.away_until.load(Ordering::Acquire))
    }

    fn may_serve_stale(&self, entry: &Entry<T>, now: Timestamp) -> bool {
        entry.value.is_some() && now < entry.loaded.plus(self.bounds.ttl(true) + self.bounds.stale_limit)
    }

    fn stale(&self, entry: Entry<T>) -> Entry<T> {
        self.lookups.stale();
        Entry { stale: true, ..entry }
    }

    async fn read<F>(&self, load: impl FnOnce() -> F) -> Result<Entry<T>, Error>
    where
        F: Future<Output = Result<Option<(T, i64)>, Error>>,
    {
        let loaded = self.clock.now();
        Ok(match load().await? {
            Some((value, version)) => Entry { value: Some(Arc::new(value)), loaded, stale: false, version },
            None => Entry::none(loaded),
        })
    }

    /// Loads past the cache, and keeps what was read. What it gives is newer still if something newer was
    /// put in place meanwhile.
    pub async fn reload<F>(&self, key: &K, load: impl FnOnce() -> F) -> Result<Entry<T>, Error>
    where
        F: Future<Output = Result<Option<(T, i64)>, Error>>,
    {
        let drops = self.drops.load(Ordering::Acquire);
        let entry = self.read(load).await?;
        if self.drops.load(Ordering::Acquire) == drops {
            // What was there before the read began is older, whatever its number: the database may be restored.
            let since = entry.loaded;
            return Ok(self.publish(key, entry, |old| old.loaded >= since));
        }
        Ok(entry)
    }

    /// Keeps an entry unless a newer version is there that counts; gives what is kept.
    fn publish(&self, key: &K, entry: Entry<T>, counts: impl Fn(&Entry<T>) -> bool) -> Entry<T> {
        let published = entry.clone();
        let keep = |old: Option<moka::Entry<K, Entry<T>>>| {
            let newer = old.is_some_and(|old| old.value().version > entry.version && counts(old.value()));
            if newer { Op::Nop } else { Op::Put(entry) }
        };
        match self.cache.entry_by_ref(key).and_compute_with(keep) {
            CompResult::Unchanged(newer) => newer.into_value(),
            _ => published,
        }
    }

    /// Puts what was just committed in place.
    pub fn put(&self, key: &K, value: T, version: i64) {
        let loaded = self.clock.now();
        let entry = Entry { value: Some(Arc::new(value)), loaded, stale: false, version };
        self.publish(key, entry, |_| true);
    }

    /// Drops an entry.
    pub fn drop_one(&self, key: &K) {
        self.drops.fetch_add(1, Ordering::AcqRel);
        self.cache.invalidate(key);
    }
}

impl<K, T> Cached for Versioned<K, T>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn entries(&self) -> u64 {
        self.cache.entry_count()
    }

    fn drop_all(&self) {
        self.drops.fetch_add(1, Ordering::AcqRel);
        self.cache.invalidate_all();
    }

    fn invalidate(&self, changed: &Changed) {
        match (self.invalidated)(changed) {
            Invalidated::Nothing => {}
            Invalidated::Keys(keys) => keys.iter().for_each(|key| self.drop_one(key)),
            Invalidated::All => self.drop_all(),
        }
    }
}

/// The error of a load that several waited for, for one of them.
fn shared(error: &Error) -> Error {
    match error {
        Error::StoreUnavailable(cause) => Error::StoreUnavailable(cause.clone()),
        error => Error::Internal(error.to_string()),
    }
}
