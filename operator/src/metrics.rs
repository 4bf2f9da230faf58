//! The operator's metrics, as OpenMetrics text. Label values are static, but for `condition`, whose objects are the
//! cluster's own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use crate::lease::Claim;
use crate::object::ObjectKind;
use crate::watch::{Caches, Key};
use sageapi_runtime::Clock;

/// Content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const RECONCILE_SECONDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];
const REQUEST_SECONDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];
const MIGRATION_SECONDS: [f64; 9] = [1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

/// How a reconcile ends.
pub const RECONCILE_RESULTS: [&str; 9] =
    ["ok", "changed", "refused", "conflict", "error", "timeout", "not_leader", "undecodable", "gone"];
/// How a migration's Job ends.
pub const MIGRATION_RESULTS: [&str; 4] = ["succeeded", "refused", "failed", "unavailable"];
/// What makes pods roll.
pub const ROLLOUT_TRIGGERS: [&str; 4] = ["install", "image", "secrets", "spec"];
/// Kinds that are applied again and again, and put right where someone else changed them.
pub const APPLIED_KINDS: [ObjectKind; 5] = [
    ObjectKind::ServiceAccount,
    ObjectKind::Service,
    ObjectKind::NetworkPolicy,
    ObjectKind::Deployment,
    ObjectKind::PodDisruptionBudget,
];
/// Kinds that are written or watched besides [`ObjectKind::ALL`].
const ALSO_WRITTEN: [&str; 3] = ["SageApi", "Event", "Lease"];
const ALSO_WATCHED: [&str; 3] = ["SageApi", "ReplicaSet", "Pod"];

/// Declares label sets.
macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident { $($label:ident),+ })+) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub struct $name { $(#[expect(missing_docs)] pub $label: &'static str),+ })+
    };
}

labels! {
    /// How something ended.
    ResultLabel { result }
    /// A kind of object, such as `Deployment`.
    KindLabel { kind }
    /// A verb of the Kubernetes API.
    VerbLabel { verb }
    /// What made the pods roll.
    TriggerLabel { trigger }
}

/// One request to the API server. `code` is 0 where no answer came.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The verb that RBAC knows.
    pub verb: &'static str,
    /// The resource as RBAC writes it, with its subresource.
    pub resource: &'static str,
    /// The status code.
    pub code: u16,
}

/// All metrics of one operator, in a registry of their own. Shared as an `Arc`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Reconciles by how they ended.
    pub reconciles: Family<ResultLabel, Counter>,
    /// Time of one reconcile.
    pub reconcile_seconds: Histogram,
    /// Reconciles under way.
    pub reconciles_active: Gauge,
    /// Resources that wait for a reconcile which is due.
    pub queue_depth: Gauge,
    /// Resources whose last reconcile failed.
    pub in_backoff: Gauge,
    /// Requests to the API server.
    pub requests: Family<RequestLabels, Counter>,
    /// Time to the head of the answer, watches left out.
    pub request_seconds: Family<VerbLabel, Histogram, fn() -> Histogram>,
    /// Writes that the API server accepted, the lease's as well.
    pub writes: Family<KindLabel, Counter>,
    /// Objects that were as they should be.
    pub noops: Family<KindLabel, Counter>,
    /// Objects that someone else had changed.
    pub drifts: Family<KindLabel, Counter>,
    /// When each watch last gave a sign of life.
    pub heartbeats: WatchHeartbeats,
    /// Watches that failed and were started again.
    pub watch_restarts: Family<KindLabel, Counter>,
    /// Migration Jobs that ended.
    pub migrations: Family<ResultLabel, Counter>,
    /// Time of a migration Job that succeeded.
    pub migration_seconds: Histogram,
    /// Rolls of pods.
    pub rollouts: Family<TriggerLabel, Counter>,
    /// 1 on the leader.
    pub leader: Gauge,
}

/// A gauge of seconds.
pub type SecondsGauge = Gauge<f64, AtomicU64>;

impl Metrics {
    /// Registers every metric.
    pub fn new(cluster: ClusterCollector) -> Self {
        let heartbeats = cluster.heartbeats.clone();
        Self::register(heartbeats, Some(cluster))
    }

    fn register(heartbeats: WatchHeartbeats, cluster: Option<ClusterCollector>) -> Self {
        let mut all = Registry::default();
        let own = all.sub_registry_with_prefix("sageapi_operator");
        own.register("build", "The program that runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let request_seconds: fn() -> Histogram = || Histogram::new(REQUEST_SECONDS);
        let metrics = Self {
            reconciles: register(own, "reconcile", "Reconciles by result", Family::default()),
            reconcile_seconds: register(
                own,
                "reconcile_duration_seconds",
                "Time of one reconcile",
                Histogram::new(RECONCILE_SECONDS),
            ),
            reconciles_active: register(own, "reconcile_active", "Reconciles under way", Gauge::default()),
            queue_depth: register(own, "queue_depth", "Resources due for a reconcile", Gauge::default()),
            in_backoff: register(
                own,
                "objects_in_backoff",
                "Resources whose last reconcile failed",
                Gauge::default(),
            ),
            requests: register(own, "api_requests", "Requests to the API server", Family::default()),
            request_seconds: register(
                own,
                "api_request_duration_seconds",
                "Time to the head of the API server's answer, watches left out",
                Family::new_with_constructor(request_seconds),
            ),
            writes: register(own, "api_writes", "Writes that the API server accepted", Family::default()),
            noops: register(
                own,
                "noop_skipped",
                "Objects that were as they should be and were not written",
                Family::default(),
            ),
            drifts: register(
                own,
                "drift_corrected",
                "Objects that someone else had changed and that were put right",
                Family::default(),
            ),
            heartbeats,
            watch_restarts: register(own, "watch_restarts", "Watches that failed", Family::default()),
            migrations: register(own, "migration_runs", "Migration Jobs that ended", Family::default()),
            migration_seconds: register(
                own,
                "migration_duration_seconds",
                "Time of a migration Job that succeeded",
                Histogram::new(MIGRATION_SECONDS),
            ),
            rollouts: register(own, "rollouts", "Rolls of pods by what made them", Family::default()),
            leader: register(own, "leader", "1 on the replica that acts", Gauge::default()),
            registry: Registry::default(),
        };
        if let Some(cluster) = cluster {
            own.register_collector(Box::new(cluster));
        }
        metrics.begin_at_zero();
        Self { registry: all, ..metrics }
    }

    /// Makes every series whose labels are known: one that is born with its first event hides that event from `rate`.
    fn begin_at_zero(&self) {
        for result in RECONCILE_RESULTS {
            drop(self.reconciles.get_or_create(&ResultLabel { result }));
        }
        for result in MIGRATION_RESULTS {
            drop(self.migrations.get_or_create(&ResultLabel { result }));
        }
        for trigger in ROLLOUT_TRIGGERS {
            drop(self.rollouts.get_or_create(&TriggerLabel { trigger }));
        }
        for kind in APPLIED_KINDS.map(ObjectKind::name) {
            drop(self.noops.get_or_create(&KindLabel { kind }));
            drop(self.drifts.get_or_create(&KindLabel { kind }));
        }
        let children = || ObjectKind::ALL.iter().map(|kind| kind.name());
        for kind in children().chain(ALSO_WRITTEN) {
            drop(self.writes.get_or_create(&KindLabel { kind }));
        }
        for kind in children().chain(ALSO_WATCHED) {
            drop(self.watch_restarts.get_or_create(&KindLabel { kind }));
        }
    }

    /// The metrics as OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Only a collector could fail, and writing to a String does not.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }

    /// Notes the end of a reconcile.
    pub fn reconciled(&self, result: &'static str, took: Duration) {
        self.reconciles.get_or_create(&ResultLabel { result }).inc();
        self.reconcile_seconds.observe(took.as_secs_f64());
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::register(WatchHeartbeats::default(), None)
    }
}

/// What is known at a scrape and kept nowhere else: conditions of resources, on the leader, and the watches' silence.
#[derive(Clone)]
pub struct ClusterCollector {
    caches: Arc<Caches>,
    claim: Arc<Claim>,
    clock: Arc<dyn Clock>,
    heartbeats: WatchHeartbeats,
}

impl ClusterCollector {
    /// Reads these.
    pub fn new(caches: &Arc<Caches>, claim: &Arc<Claim>, clock: &Arc<dyn Clock>) -> Self {
        Self {
            caches: Arc::clone(caches),
            claim: Arc::clone(claim),
            clock: Arc::clone(clock),
            heartbeats: WatchHeartbeats::default(),
        }
    }
}

impl fmt::Debug for ClusterCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterCollector")
    }
}

impl Collector for ClusterCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let now = self.clock.monotonic();
        let mut ages = encoder.encode_descriptor(
            "watch_last_event_age_seconds",
            "Time since a watch last gave a sign of life",
            None,
            MetricType::Gauge,
        )?;
        for (kind, age) in self.heartbeats.ages(now) {
            ages.encode_family(&[("kind", kind)])?.encode_gauge(&age.as_secs_f64())?;
        }
        let mut conditions = encoder.encode_descriptor(
            "condition",
            "Present status of each condition; told by the leader",
            None,
            MetricType::Gauge,
        )?;
        if !self.claim.covers(now, Duration::ZERO) {
            return Ok(());
        }
        for resource in self.caches.sageapis.all() {
            let Ok(resource) = &resource.0 else { continue };
            let key = Key::of(resource);
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

/// When each watch last answered or told of a change, on the monotonic clock. A watch is asked anew every five
/// minutes at most, so a quiet cluster gives signs too.
#[derive(Debug, Clone, Default)]
pub struct WatchHeartbeats(Arc<Mutex<BTreeMap<&'static str, Duration>>>);

impl WatchHeartbeats {
    /// A sign of life of the watch of this kind.
    pub fn seen(&self, kind: &'static str, now: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(kind, now);
    }

    /// The kinds watched and how long they have been silent.
    pub fn ages(&self, now: Duration) -> Vec<(&'static str, Duration)> {
        let heartbeats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heartbeats.iter().map(|(kind, seen)| (*kind, now.saturating_sub(*seen))).collect()
    }
}

fn register<M: Metric + Clone + fmt::Debug>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_there_with_every_label_before_anything_happens() {
        let text = Metrics::default().encode();
        let kinds = ObjectKind::ALL.iter().map(|kind| kind.name());
        let applied = || APPLIED_KINDS.iter().map(|kind| kind.name());
        for (metric, label, values) in [
            ("reconcile", "result", RECONCILE_RESULTS.to_vec()),
            ("migration_runs", "result", MIGRATION_RESULTS.to_vec()),
            ("rollouts", "trigger", ROLLOUT_TRIGGERS.to_vec()),
            ("noop_skipped", "kind", applied().collect()),
            ("drift_corrected", "kind", applied().collect()),
            ("api_writes", "kind", kinds.clone().chain(ALSO_WRITTEN).collect()),
            ("watch_restarts", "kind", kinds.chain(ALSO_WATCHED).collect()),
        ] {
            for value in values {
                let line = format!(r#"sageapi_operator_{metric}_total{{{label}="{value}"}} 0"#);
                assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
            }
        }
    }

    #[test]
    fn the_metrics_have_the_names_of_the_contract() {
        let metrics = Metrics::default();
        metrics.reconciled("ok", Duration::from_millis(3));
        metrics.requests.get_or_create(&RequestLabels { verb: "get", resource: "secrets", code: 200 }).inc();
        metrics.writes.get_or_create(&KindLabel { kind: "Deployment" }).inc();
        metrics.leader.set(1);
        let text = metrics.encode();
        for line in [
            r#"sageapi_operator_reconcile_total{result="ok"} 1"#,
            "sageapi_operator_reconcile_duration_seconds_count 1",
            r#"sageapi_operator_api_requests_total{verb="get",resource="secrets",code="200"} 1"#,
            r#"sageapi_operator_api_writes_total{kind="Deployment"} 1"#,
            "sageapi_operator_leader 1",
            "sageapi_operator_queue_depth 0",
            "sageapi_operator_objects_in_backoff 0",
            concat!(r#"sageapi_operator_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
