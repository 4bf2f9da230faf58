use std::sync::Arc;
use std::time::Duration;

use crate::model::Clock;
use crate::store::{self, Lease, Store};

use super::metrics::SyncMetrics;

/// A lease that this instance holds, and renews while it works under it.
pub(super) struct Held {
    store: Store,
    clock: Arc<dyn Clock>,
    metrics: SyncMetrics,
    name: &'static str,
    ttl: Duration,
    taken_at: Duration,
    lease: Lease,
}

impl Held {
    /// Takes a lease for `ttl`; `None` if another instance holds it.
    pub async fn take(
        store: &Store,
        clock: &Arc<dyn Clock>,
        metrics: &SyncMetrics,
        name: &'static str,
        ttl: Duration,
    ) -> Result<Option<Self>, store::Error> {
        // Counted from before the question: the database counts from some time after it.
        let taken_at = clock.monotonic();
        let lease = store.acquire_lease(name, ttl).await?;
        metrics.set_lease_held(name, lease.is_some());
        Ok(lease.map(|lease| Self {
            store: store.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            name,
            ttl,
            taken_at,
            lease,
        }))
    }

    /// The lease to write under.
    pub const fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Renews the lease once less than half of its time is left. The renewed one has another token,
    /// so nothing may be under way that was begun with this one.
    pub async fn keep(&mut self) -> Result<(), store::Error> {
        let now = self.clock.monotonic();
        if now.saturating_sub(self.taken_at) < self.ttl / 2 {
            return Ok(());
        }
        self.lease = self.store.acquire_lease(self.name, self.ttl).await?.ok_or(store::Error::LeaseLost)?;
        self.taken_at = now;
        Ok(())
    }

    /// Keeps the lease for so long without working under it, so that nobody else does.
    pub async fn keep_for(self, pause: Duration) {
        self.metrics.set_lease_held(self.name, false);
        if let Err(error) = self.store.acquire_lease(self.name, pause).await {
            tracing::debug!(lease = self.name, %error, "the lease was not prolonged");
        }
    }

    /// Gives the lease back. If that fails it runs out by itself.
    pub async fn give_back(self) {
        self.metrics.set_lease_held(self.name, false);
        if let Err(error) = self.store.release_lease(self.lease).await {
            tracing::debug!(lease = self.name, %error, "the lease was not given back");
        }
    }
}
