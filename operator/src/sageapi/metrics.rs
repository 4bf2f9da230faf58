use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use sageapi_crds::SageApi;

use crate::claim::Claim;
use crate::metrics::{Metrics, ResultLabel, TriggerLabel};
use crate::plan::MetricUpdate;
use crate::watch::{Caches, Key};
use sageapi_runtime::Clock;

const MIGRATION_SECONDS: [f64; 9] = [1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

/// How a migration's Job ends.
pub const MIGRATION_RESULTS: [&str; 4] = ["succeeded", "refused", "failed", "unavailable"];
/// What causes a rollout.
pub const ROLLOUT_TRIGGERS: [&str; 4] = ["install", "image", "secrets", "spec"];

/// Metrics of what becomes of SageApis.
#[derive(Debug, Clone)]
pub struct InstallationMetrics {
    /// Migration Jobs that ended.
    pub migrations: Family<ResultLabel, Counter>,
    /// Time of a migration Job that succeeded.
    pub migration_seconds: Histogram,
    /// Rollouts of pods.
    pub rollouts: Family<TriggerLabel, Counter>,
}

impl InstallationMetrics {
    /// Registers them, with every series at zero.
    pub fn register(metrics: &mut Metrics) -> Self {
        let this = Self {
            migrations: metrics.register("migration_runs", "Migration Jobs that ended", Family::default()),
            migration_seconds: metrics.register(
                "migration_duration_seconds",
                "Time of a migration Job that succeeded",
                Histogram::new(MIGRATION_SECONDS),
            ),
            rollouts: metrics.register("rollouts", "Rollouts of pods by cause", Family::default()),
        };
        for result in MIGRATION_RESULTS {
            drop(this.migrations.get_or_create(&ResultLabel { result }));
        }
        for trigger in ROLLOUT_TRIGGERS {
            drop(this.rollouts.get_or_create(&TriggerLabel { trigger }));
        }
        this
    }

    /// Counts what a plan brought about.
    pub fn count(&self, update: &MetricUpdate) {
        match *update {
            MetricUpdate::Migration { result, seconds } => {
                self.migrations.get_or_create(&ResultLabel { result }).inc();
                if let Some(seconds) = seconds.filter(|_| result == "succeeded") {
                    self.migration_seconds.observe(seconds);
                }
            }
            MetricUpdate::Rollout { trigger } => {
                self.rollouts.get_or_create(&TriggerLabel { trigger }).inc();
            }
        }
    }
}

/// The conditions of all resources, read from the cache at each scrape, on the leader.
pub struct Conditions {
    caches: Arc<Caches<SageApi>>,
    claim: Arc<Claim>,
    clock: Arc<dyn Clock>,
}

impl Conditions {
    /// Registers them.
    pub fn register(
        metrics: &mut Metrics,
        caches: &Arc<Caches<SageApi>>,
        claim: &Arc<Claim>,
        clock: &Arc<dyn Clock>,
    ) {
        metrics.collect(Self {
            caches: Arc::clone(caches),
            claim: Arc::clone(claim),
            clock: Arc::clone(clock),
        });
    }
}

impl fmt::Debug for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Conditions")
    }
}

impl Collector for Conditions {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut conditions = encoder.encode_descriptor(
            "condition",
            "Current status of each condition; reported by the leader",
            None,
            MetricType::Gauge,
        )?;
        if !self.claim.covers(self.clock.monotonic(), Duration::ZERO) {
            return Ok(());
        }
        for resource in self.caches.resources.all() {
            let Ok(resource) = resource else { continue };
            let key = Key::of(resource.as_ref());
            for condition in resource.status.iter().flat_map(|status| &status.conditions) {
                let labels = [
                    ("namespace", key.namespace.as_str()),
                    ("name", key.name.as_str()),
                    ("type", condition.type_.as_str()),
                    ("status", condition.status.as_str()),
                ];
                conditions.encode_family(&labels)?.encode_gauge(&1_i64)?;
            }
        }
        Ok(())
    }
}
