//! What is kept in memory: keys, balances, users, prices, offers, and the nonces spent here. Bounded by
//! weight, by age, and by the news that other instances write into the database.

mod flight;
#[cfg(test)]
mod tests;
mod versioned;

use std::sync::Arc;
use std::time::Duration;

use super::auth::KnownKey;
use super::nonces::SpentNonces;
use super::prices::{Lists, Offers};
use crate::config;
use crate::model::{Cell, Clock, Customer, CustomerId, MirrorRow, Timestamp};
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
    pub fn publish_balance(&self, customer: Customer) {
        let (id, version) = (customer.id.clone(), customer.version);
        self.inner.balances.put(&id, customer, version);
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
    pub fn forget(&self, changed: &Changed) {
        for id in &changed.balances {
            if let Ok(id) = CustomerId::parse(id) {
                self.inner.balances.drop_one(&id);
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
                    self.inner.users.drop_one(id);
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
