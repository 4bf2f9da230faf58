use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::kinds::{Kind, Write};
use crate::metrics::{KindLabel, Metrics, ResultLabel};

const RECONCILE_SECONDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// How a reconcile ends.
pub const RECONCILE_RESULTS: [&str; 9] =
    ["ok", "changed", "refused", "conflict", "error", "timeout", "not_leader", "undecodable", "gone"];

/// Metrics of reconciles; all controllers of a process share them.
#[derive(Debug, Clone)]
pub struct ControllerMetrics {
    /// Reconciles by result.
    pub reconciles: Family<ResultLabel, Counter>,
    /// Time of one reconcile.
    pub reconcile_seconds: Histogram,
    /// Reconciles under way.
    pub active: Gauge,
    /// Resources due for a reconcile.
    pub queue_depth: Gauge,
    /// Resources whose last reconcile failed.
    pub in_backoff: Gauge,
    /// Objects that were as they should be.
    pub noops: Family<KindLabel, Counter>,
    /// Objects that someone else had changed.
    pub drifts: Family<KindLabel, Counter>,
}

impl ControllerMetrics {
    /// Registers them. Series whose labels are known start at zero: one that appears with its first event hides that
    /// event from `rate`.
    pub fn register(metrics: &mut Metrics) -> Self {
        let seconds = Histogram::new(RECONCILE_SECONDS);
        let this = Self {
            reconciles: metrics.register("reconcile", "Reconciles by result", Family::default()),
            reconcile_seconds: metrics.register(
                "reconcile_duration_seconds",
                "Time of one reconcile",
                seconds,
            ),
            active: metrics.register("reconcile_active", "Reconciles under way", Gauge::default()),
            queue_depth: metrics.register("queue_depth", "Resources due for a reconcile", Gauge::default()),
            in_backoff: metrics.register(
                "objects_in_backoff",
                "Resources whose last reconcile failed",
                Gauge::default(),
            ),
            noops: metrics.register(
                "noop_skipped",
                "Objects that were as they should be and were not written",
                Family::default(),
            ),
            drifts: metrics.register(
                "drift_corrected",
                "Objects that someone else had changed and that were corrected",
                Family::default(),
            ),
        };
        for result in RECONCILE_RESULTS {
            drop(this.reconciles.get_or_create(&ResultLabel { result }));
        }
        for kind in Kind::all().filter(|kind| kind.row().write == Write::Apply) {
            let label = KindLabel { kind: kind.name() };
            drop(this.noops.get_or_create(&label));
            drop(this.drifts.get_or_create(&label));
        }
        this
    }

    /// Counts a reconcile that ended.
    pub fn reconciled(&self, result: &'static str, took: Duration) {
        self.reconciles.get_or_create(&ResultLabel { result }).inc();
        self.reconcile_seconds.observe(took.as_secs_f64());
    }
}
