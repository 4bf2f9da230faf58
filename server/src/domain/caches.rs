//! What is kept in memory: keys, balances, users, prices, offers, and the nonces spent here. Bounded by
//! weight, by age, and by the news that other instances write into the database.

use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache;
use moka::ops::compute::Op;

use super::Error;
use super::auth::KnownKey;
use super::nonces::SpentNonces;
use super::prices::{Lists, Offers};
use crate::config;
use crate::model::{Cell, Clock, Customer, CustomerId, MirrorRow, Timestamp};
use crate::store::{Changed, NonceUse};
use crate::telemetry::metrics::{CacheMetrics, Metrics};

/// How long beyond its time to live an entry may be served while the database is away.
const STALE_LIMIT: Duration = Duration::from_secs(300);
/// Keys have a tighter limit: a revoked key must not work on for long.
const STALE_KEY_LIMIT: Duration = Duration::from_secs(60);

/// What a map entry and its key take.
const KEY_WEIGHT: usize = 300;

/// How long stale entries are served without asking the database again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

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
/// that it is loaded anew, and only if that fails it is served for a while longer, marked stale.
pub struct Versioned<K, T> {
    cache: Cache<K, Entry<T>>,
    clock: Arc<dyn Clock>,
    ttl: Duration,
    negative_ttl: Duration,
    stale_limit: Duration,
    /// Counts the times that something was dropped. A load that saw another count when it began may
    /// have read what was dropped, and is not kept.
    drops: AtomicU64,
    /// Until when the database is taken to be away, after a load that could not reach it.
    away_until: AtomicI64,
    metrics: CacheMetrics,
}

struct Lifetime {
    ttl: Duration,
    negative_ttl: Duration,
    stale_limit: Duration,
}

impl<K, T> Expiry<K, Entry<T>> for Lifetime {
    fn expire_after_create(&self, _: &K, entry: &Entry<T>, _: Instant) -> Option<Duration> {
        Some(if entry.value.is_some() { self.ttl + self.stale_limit } else { self.negative_ttl })
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

struct Settings {
    bytes: u64,
    ttl: Duration,
    negative_ttl: Duration,
    stale_limit: Duration,
}

impl<K, T> Versioned<K, T>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn new(
        settings: &Settings,
        weigh: fn(&T) -> usize,
        clock: Arc<dyn Clock>,
        metrics: CacheMetrics,
    ) -> Self {
        let &Settings { bytes, ttl, negative_ttl, stale_limit } = settings;
        let cache = Cache::builder()
            .max_capacity(bytes)
            .weigher(move |_, entry: &Entry<T>| {
                let value = entry.value.as_ref().map_or(0, |value| weigh(value));
                u32::try_from(value + KEY_WEIGHT).unwrap_or(u32::MAX)
            })
            .expire_after(Lifetime { ttl, negative_ttl, stale_limit })
            .build();
        Self {
            cache,
            clock,
            ttl,
            negative_ttl,
            stale_limit,
            drops: AtomicU64::new(0),
            away_until: AtomicI64::new(0),
            metrics,
        }
    }

    fn is_fresh(&self, entry: &Entry<T>) -> bool {
        let ttl = if entry.value.is_some() { self.ttl } else { self.negative_ttl };
        // Spread over a tenth, so that what was loaded together does not expire together.
        let jitter = u32::try_from(entry.loaded.micros().unsigned_abs() % 100).unwrap_or(0);
        self.clock.now() < entry.loaded.plus(ttl * (1000 - jitter) / 1000)
    }

    /// The entry, loaded if need be; loads of one key at a time are made once. `load` gives a value
    /// and the version that orders it against others of its key.
    pub async fn get<F>(&self, key: &K, load: impl FnOnce() -> F) -> Result<Entry<T>, Error>
    where
        F: Future<Output = Result<Option<(T, i64)>, Error>>,
    {
        let old = self.cache.get(key).await;
        if let Some(entry) = &old {
            if self.is_fresh(entry) {
                self.metrics.hit();
                return Ok(entry.clone());
            }
            if self.may_serve_stale(entry) && self.clock.now() < self.away_until() {
                return Ok(self.stale(entry));
            }
        }
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
        if old.is_some() {
            self.cache.invalidate(key).await;
        }
        self.metrics.miss();
        let drops = self.drops.load(Ordering::Acquire);
        match self.cache.try_get_with_by_ref(key, self.read(load)).await {
            Ok(entry) => {
                if self.drops.load(Ordering::Acquire) != drops {
                    self.cache.invalidate(key).await;
                }
                Ok(entry)
            }
            Err(error) => match (&*error, old) {
                (Error::StoreUnavailable(_), Some(entry)) if self.may_serve_stale(&entry) => {
                    let retry = self.clock.now().plus(RETRY_AFTER);
                    self.away_until.store(retry.micros(), Ordering::Release);
                    self.publish(key, entry.clone()).await;
                    Ok(self.stale(&entry))
                }
                (Error::StoreUnavailable(cause), _) => Err(Error::StoreUnavailable(cause.clone())),
                (error, _) => Err(Error::Internal(error.to_string())),
            },
        }
    }

    fn away_until(&self) -> Timestamp {
        Timestamp::from_micros(self.away_until.load(Ordering::Acquire))
    }

    fn may_serve_stale(&self, entry: &Entry<T>) -> bool {
        entry.value.is_some() && self.clock.now() < entry.loaded.plus(self.ttl + self.stale_limit)
    }

    fn stale(&self, entry: &Entry<T>) -> Entry<T> {
        self.metrics.stale();
        Entry { stale: true, ..entry.clone() }
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

    /// Loads past the cache, and keeps what was read.
    pub async fn reload<F>(&self, key: &K, load: impl FnOnce() -> F) -> Result<Entry<T>, Error>
    where
        F: Future<Output = Result<Option<(T, i64)>, Error>>,
    {
        let drops = self.drops.load(Ordering::Acquire);
        let entry = self.read(load).await?;
        if self.drops.load(Ordering::Acquire) == drops {
            self.publish(key, entry.clone()).await;
        }
        Ok(entry)
    }

    /// Keeps an entry unless a newer version is there.
    async fn publish(&self, key: &K, entry: Entry<T>) {
        let keep = |old: Option<moka::Entry<K, Entry<T>>>| {
            let newer = old.is_some_and(|old| old.value().version > entry.version);
            std::future::ready(if newer { Op::Nop } else { Op::Put(entry) })
        };
        Box::pin(self.cache.entry_by_ref(key).and_compute_with(keep)).await;
    }

    /// Puts what was just committed in place.
    pub async fn put(&self, key: &K, value: T, version: i64) {
        let loaded = self.clock.now();
        self.publish(key, Entry { value: Some(Arc::new(value)), loaded, stale: false, version }).await;
    }

    /// Drops an entry.
    pub async fn drop_one(&self, key: &K) {
        self.drops.fetch_add(1, Ordering::AcqRel);
        self.cache.invalidate(key).await;
    }

    /// Drops everything.
    pub fn drop_all(&self) {
        self.drops.fetch_add(1, Ordering::AcqRel);
        self.cache.invalidate_all();
    }

    /// Entries held, roughly.
    pub fn len(&self) -> u64 {
        self.cache.entry_count()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Every cache of an instance. Clones share them.
#[derive(Clone)]
pub struct Caches {
    inner: Arc<Inner>,
}

struct Inner {
    keys: Versioned<String, KnownKey>,
    balances: Versioned<CustomerId, Customer>,
    users: Versioned<String, MirrorRow>,
    prices: Versioned<(String, String, bool), MirrorRow>,
    offers: Versioned<String, Offers>,
    lists: Lists,
    nonces: SpentNonces,
}

impl Caches {
    /// Makes the caches within the configured bounds.
    pub fn new(cache: &config::Cache, clock: &Arc<dyn Clock>, metrics: &Metrics) -> Self {
        let settings = |share: u64, stale_limit| Settings {
            bytes: cache.max_bytes / 16 * share,
            ttl: cache.ttl,
            negative_ttl: cache.negative_ttl,
            stale_limit,
        };
        // Weights are what a value of that kind takes, rounded up.
        Self {
            inner: Arc::new(Inner {
                keys: Versioned::new(
                    &settings(2, STALE_KEY_LIMIT),
                    |_| 1200,
                    clock.clone(),
                    metrics.cache("keys"),
                ),
                balances: Versioned::new(
                    &settings(8, STALE_LIMIT),
                    |_| 400,
                    clock.clone(),
                    metrics.cache("balances"),
                ),
                users: Versioned::new(&settings(3, STALE_LIMIT), size, clock.clone(), metrics.cache("users")),
                prices: Versioned::new(
                    &settings(1, STALE_LIMIT),
                    size,
                    clock.clone(),
                    metrics.cache("prices"),
                ),
                offers: Versioned::new(
                    &settings(1, STALE_LIMIT),
                    Offers::size,
                    clock.clone(),
                    metrics.cache("offers"),
                ),
                lists: Lists::new(cache.max_bytes / 16, metrics.cache("lists")),
                nonces: SpentNonces::default(),
            }),
        }
    }

    /// Keys: by `id:` and key id, or `token:` and the token's hash in hex.
    pub fn keys(&self) -> &Versioned<String, KnownKey> {
        &self.inner.keys
    }

    /// Balances by customer.
    pub fn balances(&self) -> &Versioned<CustomerId, Customer> {
        &self.inner.balances
    }

    /// Users by id.
    pub fn users(&self) -> &Versioned<String, MirrorRow> {
        &self.inner.users
    }

    /// Pricing rows by program, day and whether the caller sees published programs only.
    pub fn prices(&self) -> &Versioned<(String, String, bool), MirrorRow> {
        &self.inner.prices
    }

    /// What a model is offered under, by the model.
    pub fn offers(&self) -> &Versioned<String, Offers> {
        &self.inner.offers
    }

    /// Price lists that are ready to price with.
    pub fn lists(&self) -> &Lists {
        &self.inner.lists
    }

    /// Puts a balance in place that was just committed.
    pub async fn publish_balance(&self, customer: Customer) {
        let (id, version) = (customer.id.clone(), customer.version);
        self.inner.balances.put(&id, customer, version).await;
    }

    /// Whether the nonce was spent through this instance.
    pub fn knows_nonce(&self, nonce: &NonceUse, now: Timestamp) -> bool {
        self.inner.nonces.contains(nonce, now)
    }

    /// Remembers a nonce that is recorded in the database.
    pub fn remember_nonce(&self, nonce: NonceUse) {
        self.inner.nonces.insert(nonce);
    }

    /// Drops everything but the spent nonces.
    pub fn drop_all(&self) {
        self.inner.keys.drop_all();
        self.inner.balances.drop_all();
        self.inner.users.drop_all();
        self.inner.prices.drop_all();
        self.inner.offers.drop_all();
        self.inner.lists.drop_all();
    }

    /// Drops what another instance, or a command, has changed.
    pub async fn forget(&self, changed: &Changed) {
        for id in &changed.balances {
            if let Ok(id) = CustomerId::parse(id) {
                self.inner.balances.drop_one(&id).await;
            }
        }
        // A bearer key is cached under its token's hash, which the news does not tell; keys change
        // so seldom that all of them may go.
        if !changed.keys.is_empty() {
            self.inner.keys.drop_all();
        }
        match &changed.mirror {
            Some((entity, ids)) if entity == "users" && !ids.is_empty() => {
                for id in ids {
                    self.inner.users.drop_one(id).await;
                }
            }
            Some((entity, _)) if entity == "users" => self.inner.users.drop_all(),
            Some((entity, _)) if entity == "pricing" => {
                self.inner.prices.drop_all();
                self.inner.lists.drop_all();
            }
            // Which programs a customer sees depends on which models are published.
            Some((entity, _)) if entity == "llmage" => {
                self.inner.prices.drop_all();
                self.inner.offers.drop_all();
            }
            _ => {}
        }
    }

    /// Entries held, by cache, for /health.
    pub fn counts(&self) -> [(&'static str, u64); 6] {
        let inner = &self.inner;
        [
            ("keys", inner.keys.len()),
            ("balances", inner.balances.len()),
            ("users", inner.users.len()),
            ("prices", inner.prices.len()),
            ("offers", inner.offers.len()),
            ("lists", inner.lists.len()),
        ]
    }
}

/// What a mirrored row takes.
fn size(row: &MirrorRow) -> usize {
    let text = |cell: &Cell| match cell {
        Cell::Text(text) => text.len(),
        Cell::Null | Cell::Int(_) => 0,
    };
    row.cells.iter().map(|cell| size_of::<Cell>() + text(cell)).sum::<usize>() + size_of::<MirrorRow>()
}
