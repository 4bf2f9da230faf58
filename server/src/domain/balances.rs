//! Balances: cached ones for reads at high rate, exact ones where a caller insists.

use std::future::Future;
use std::sync::Arc;

use super::Error;
use super::accounts::{PastBalance, balance_at};
use super::caches::{CacheSpec, Caches, Entry, Invalidated, STALE_LIMIT, Versioned};
use crate::model::{Clock, Customer, CustomerId, Timestamp};
use crate::store::Store;

/// What a cached balance takes, in bytes, rounded up.
const WEIGHT: usize = 400;

/// The balances that this instance has in memory. Clones share them.
#[derive(Clone)]
pub struct BalanceCache(Arc<Versioned<CustomerId, Customer>>);

impl BalanceCache {
    /// An empty one, registered as `balances`.
    pub fn new(caches: &Caches) -> Self {
        Self(caches.make(&CacheSpec {
            name: "balances",
            share: 6,
            stale_limit: STALE_LIMIT,
            weigh: |_| WEIGHT,
            invalidated: |changed| {
                let ids = changed.balances.iter().filter_map(|id| CustomerId::parse(id).ok());
                Invalidated::Keys(ids.collect())
            },
        }))
    }

    /// Puts a balance in place that was just committed.
    pub fn publish(&self, customer: Customer) {
        let (id, version) = (customer.id.clone(), customer.version);
        self.0.put(&id, customer, version);
    }

    /// Drops a balance of which it is not known whether it changed.
    pub fn drop_one(&self, id: &CustomerId) {
        self.0.drop_one(id);
    }

    /// A balance, loaded if need be.
    pub async fn get<F>(&self, id: &CustomerId, load: impl FnOnce() -> F) -> Result<Entry<Customer>, Error>
    where
        F: Future<Output = Result<Option<(Customer, i64)>, Error>>,
    {
        self.0.get(id, load).await
    }
}

/// A balance, and how fresh it is.
#[derive(Debug, Clone)]
pub struct BalanceView {
    /// The customer with its balance.
    pub customer: Arc<Customer>,
    /// When it was read from the database.
    pub as_of: Timestamp,
    /// `cache` or `database`.
    pub source: &'static str,
    /// Whether it is older than the cache allows, because the database is away.
    pub stale: bool,
}

/// Reading balances.
pub struct Balances {
    store: Store,
    cache: BalanceCache,
    clock: Arc<dyn Clock>,
}

impl Balances {
    /// Reads through the cache.
    pub fn new(store: Store, cache: BalanceCache, clock: Arc<dyn Clock>) -> Self {
        Self { store, cache, clock }
    }

    /// A customer's balance. `fresh` reads the row, so that a caller sees every booking that was answered before, on
    /// whichever instance.
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a customer.
    pub async fn get(&self, id: &CustomerId, fresh: bool) -> Result<BalanceView, Error> {
        let before = self.clock.now();
        let load = || async {
            let customer = self.store.customer(id).await?;
            Ok(customer.map(|c| (c.version, c)).map(|(version, c)| (c, version)))
        };
        let entry = if fresh {
            Box::pin(self.cache.0.reload(id, load)).await?
        } else {
            self.cache.get(id, load).await?
        };
        let source = if entry.loaded < before { "cache" } else { "database" };
        let customer = entry.value.ok_or(Error::NotFound("customer"))?;
        Ok(BalanceView { customer, as_of: entry.loaded, source, stale: entry.stale })
    }

    /// What a customer had at an instant, by the ledger. One without records had nothing.
    pub async fn at(&self, id: &CustomerId, at: Timestamp) -> Result<PastBalance, Error> {
        balance_at(&self.store, id, at).await
    }
}
