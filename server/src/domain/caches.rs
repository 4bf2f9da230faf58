//! What is kept in memory: keys, balances, users, prices, and the nonces spent here. Bounded by
//! weight, by age, and by the news that other instances write into the database.

mod flight;
#[cfg(test)]
mod tests;
mod versioned;

use std::sync::Arc;
use std::time::Duration;

use super::auth::KnownKey;
use super::nonces::SpentNonces;
use crate::config;
use crate::model::{Clock, Customer, CustomerId, MirrorRow, Timestamp};
use crate::store::{Changed, NonceUse};
use crate::telemetry::metrics::Metrics;

use versioned::Settings;
pub use versioned::{Entry, Versioned};

/// How long beyond its time to live an entry may be served while the database is away.
const STALE_LIMIT: Duration = Duration::from_secs(300);
/// Keys have a tighter limit: a revoked key must not work on for long.
const STALE_KEY_LIMIT: Duration = Duration::from_secs(60);

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
    nonces: SpentNonces,
}

impl Caches {
    /// Makes the caches within the configured bounds.
    pub fn new(cache: &config::Cache, clock: &Arc<dyn Clock>, metrics: &Metrics) -> Self {
        let settings = |share: u64, stale_limit| Settings {
            bytes: cache.max_bytes / 8 * share,
            ttl: cache.ttl,
            negative_ttl: cache.negative_ttl,
            stale_limit,
        };
        // Weights are what an entry of that kind takes, rounded up: map entry, key, value.
        Self {
            inner: Arc::new(Inner {
                keys: Versioned::new(
                    &settings(1, STALE_KEY_LIMIT),
                    1500,
                    clock.clone(),
                    metrics.cache("keys"),
                ),
                balances: Versioned::new(
                    &settings(4, STALE_LIMIT),
                    700,
                    clock.clone(),
                    metrics.cache("balances"),
                ),
                users: Versioned::new(&settings(2, STALE_LIMIT), 1200, clock.clone(), metrics.cache("users")),
                prices: Versioned::new(
                    &settings(1, STALE_LIMIT),
                    4000,
                    clock.clone(),
                    metrics.cache("prices"),
                ),
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
            // Prices depend on pricing rows and on which models are published.
            Some((entity, _)) if entity == "pricing" || entity == "llmage" => self.inner.prices.drop_all(),
            _ => {}
        }
    }

    /// Entries held, by cache, for /health.
    pub fn counts(&self) -> [(&'static str, u64); 4] {
        let inner = &self.inner;
        [
            ("keys", inner.keys.len()),
            ("balances", inner.balances.len()),
            ("users", inner.users.len()),
            ("prices", inner.prices.len()),
        ]
    }
}
