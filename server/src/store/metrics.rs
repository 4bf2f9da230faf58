//! The metrics of the store.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::PoolCounts;
use crate::telemetry::metrics::Metrics;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: ConnectionState,
}

/// What a connection of the pool is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the variants are the label's values")]
enum ConnectionState {
    idle,
    in_use,
}

/// The metrics of the store, set at each scrape. Clones share them.
#[derive(Debug, Clone)]
pub struct StoreMetrics {
    connections: Family<StateLabel, Gauge>,
    full: Gauge,
}

impl StoreMetrics {
    /// Registers them.
    pub fn register(metrics: &Metrics) -> Self {
        Self {
            connections: metrics.register(
                "store_pool_connections",
                "Connections to the database",
                Family::default(),
            ),
            full: metrics.register(
                "store_full",
                "1 while the database has no room to write",
                Gauge::default(),
            ),
        }
    }

    /// Sets the connections of the pool, and whether the database is full.
    pub fn set(&self, pool: PoolCounts, full: bool) {
        for (state, count) in [(ConnectionState::idle, pool.idle), (ConnectionState::in_use, pool.used)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.connections.get_or_create(&StateLabel { state }).set(count);
        }
        self.full.set(i64::from(full));
    }
}
