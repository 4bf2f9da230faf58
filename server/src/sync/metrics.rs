//! The metrics of the mirror.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::model::Entity;
use crate::telemetry::metrics::Metrics;

/// How runs end.
pub const SYNC_RESULTS: [&str; 19] = [
    "ok",
    "skipped",
    "connect",
    "timeout",
    "tls",
    "broken",
    "unauthorized",
    "status_4xx",
    "status_5xx",
    "redirect",
    "wrong_content",
    "too_large",
    "malformed",
    "endless",
    "cursor_expired",
    "lease_lost",
    "sweep_refused",
    "store",
    "store_unavailable",
];
/// What runs and events do with rows.
const SYNC_OPS: [&str; 6] = ["upsert", "delete", "quarantined", "swept", "event_failed", "event_dropped"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    entity: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RowLabels {
    entity: &'static str,
    op: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EntityLabel {
    entity: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TableLabel {
    table: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NameLabel {
    name: &'static str,
}

/// The metrics of the mirror. Clones share them.
#[derive(Debug, Clone)]
pub struct SyncMetrics {
    runs: Family<RunLabels, Counter>,
    rows: Family<RowLabels, Counter>,
    age: Family<EntityLabel, Gauge<f64, AtomicU64>>,
    leases: Family<NameLabel, Gauge>,
    cleaned: Family<TableLabel, Counter>,
}

impl SyncMetrics {
    /// Registers them. Counters start at 0, because a rate over one that appears with its first event misses that event.
    pub fn register(metrics: &Metrics) -> Self {
        let own = Self {
            runs: metrics.register("sync_runs", "Synchronisation runs", Family::default()),
            rows: metrics.register("sync_rows", "Rows that synchronisation handled", Family::default()),
            age: metrics.register(
                "sync_age_seconds",
                "Time since the last successful synchronisation",
                Family::default(),
            ),
            leases: metrics.register(
                "leases_held",
                "1 while this instance holds the lease",
                Family::default(),
            ),
            cleaned: metrics.register(
                "rows_expired",
                "Rows deleted because they no longer count",
                Family::default(),
            ),
        };
        for entity in Entity::ALL.map(Entity::as_str) {
            for result in SYNC_RESULTS {
                drop(own.runs.get_or_create(&RunLabels { entity, result }));
            }
            for op in SYNC_OPS {
                drop(own.rows.get_or_create(&RowLabels { entity, op }));
            }
        }
        own
    }

    /// Counts a run that ended with one of [`SYNC_RESULTS`].
    pub fn run(&self, entity: Entity, result: &'static str) {
        self.runs.get_or_create(&RunLabels { entity: entity.as_str(), result }).inc();
    }

    /// Counts rows that were handled in one of the ways of `SYNC_OPS`.
    pub fn rows(&self, entity: Entity, op: &'static str, rows: u64) {
        self.rows.get_or_create(&RowLabels { entity: entity.as_str(), op }).inc_by(rows);
    }

    /// Sets the seconds since an entity was last synchronised.
    pub fn set_age(&self, entity: Entity, seconds: f64) {
        self.age.get_or_create(&EntityLabel { entity: entity.as_str() }).set(seconds);
    }

    /// Counts rows of a table that were deleted because they no longer count.
    pub fn cleaned(&self, table: &'static str, rows: u64) {
        self.cleaned.get_or_create(&TableLabel { table }).inc_by(rows);
    }

    /// Sets whether this instance holds the named lease.
    pub fn set_lease_held(&self, name: &'static str, held: bool) {
        self.leases.get_or_create(&NameLabel { name }).set(i64::from(held));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_runs_and_rows_start_at_zero() {
        let metrics = Metrics::new("1");
        let _own = SyncMetrics::register(&metrics);
        let text = metrics.encode();
        for entity in ["users", "uapi"] {
            let runs =
                SYNC_RESULTS.map(|result| format!("runs_total{{entity=\"{entity}\",result=\"{result}\"}}"));
            let rows = SYNC_OPS.map(|op| format!("rows_total{{entity=\"{entity}\",op=\"{op}\"}}"));
            for series in runs.iter().chain(&rows) {
                let expected = format!("sageapi_sync_{series} 0");
                assert!(text.lines().any(|line| line == expected), "{expected} is not in\n{text}");
            }
        }
    }
}
