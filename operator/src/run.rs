//! The composition root of `run`: client, watches, election, controller, admin port, and the order in which they end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Api, Client, Config};
use prometheus_client::metrics::gauge::Gauge;
use sageapi_contract::ExitCode;
use sageapi_runtime::lifecycle::Signals;
use sageapi_runtime::{Clock, Entropy, SystemClock, SystemEntropy, command, listener};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Health};
use crate::claim::Claim;
use crate::client::{ClientMetrics, brief, connect};
use crate::controller::{Context, Controller, ControllerMetrics};
use crate::heartbeats::Heartbeats;
use crate::kinds::Kind;
use crate::labels;
use crate::lease::{Elector, leader_gauge};
use crate::metrics::Metrics;
use crate::observed::Settings;
use crate::options::RunOptions;
use crate::sageapi::{Conditions, InstallationMetrics, SageApiReconciler};
use crate::watch::{Caches, Scope, WatchMetrics, Watches};

/// How often, and how many times, an API server that does not answer at the start is asked.
const CRD_POLL_INTERVAL: Duration = Duration::from_secs(3);
const ASK_TIMES: u32 = 20;
/// Everything after the stop; Kubernetes kills after 30 s.
const STOP_GRACE: Duration = Duration::from_secs(20);

/// Why the operator ended other than by a signal.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No cluster is named, or its credentials cannot be used.
    #[error("no cluster to act on: {0}; run inside a cluster, or set KUBECONFIG")]
    Config(String),
    /// The API server does not answer, or refuses.
    #[error("the API server of the cluster cannot be used: {0}")]
    Cluster(String),
    /// The cluster cannot be identified.
    #[error(
        "reading the namespace kube-system, whose UID names the cluster, is forbidden: allow it, or give --cluster NAME"
    )]
    ClusterName,
    /// The admin port.
    #[error("--admin-listen {0}: {1}")]
    Admin(SocketAddr, std::io::Error),
    /// Signals cannot be handled.
    #[error("signals: {0}")]
    Signals(std::io::Error),
    /// A part that must live as long as the process did not.
    #[error("the task {0} ended unexpectedly")]
    Ended(&'static str),
    /// Not everything ended in time after the stop.
    #[error("not everything ended within {} s of the stop", STOP_GRACE.as_secs())]
    Late,
}

impl RunError {
    /// What the process exits with.
    pub fn code(&self) -> ExitCode {
        match self {
            Self::ClusterName => ExitCode::Usage,
            Self::Config(_) | Self::Cluster(_) | Self::Admin(..) => ExitCode::Unavailable,
            Self::Signals(_) | Self::Ended(_) | Self::Late => ExitCode::Internal,
        }
    }
}

/// This process' name in the Lease: the given name or the host's, and a random part that makes it unique.
pub(crate) fn identity(options: &RunOptions) -> String {
    let name = options.identity.clone().unwrap_or_else(command::host_name);
    let mut random = [0; 4];
    SystemEntropy.fill(&mut random);
    format!("{name}_{:08x}", u32::from_be_bytes(random))
}

/// Runs until SIGTERM or SIGINT.
pub(crate) async fn run(options: RunOptions, identity: String) -> Result<(), RunError> {
    // First of all: as process 1 of a container, signals without a handler would be ignored.
    let mut signals = Signals::install().map_err(RunError::Signals)?;
    let config = Config::infer().await.map_err(|error| RunError::Config(error.to_string()))?;
    let namespace = options.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());

    let clock: Arc<dyn Clock> = SystemClock::new();
    let claim = Arc::<Claim>::default();
    let caches = Arc::new(Caches::new(labels::INSTANCE, Kind::children()));
    let mut metrics = Metrics::default();
    let instruments = Instruments::register(&mut metrics, &clock);
    Conditions::register(&mut metrics, &caches, &claim, &clock);
    let metrics = Arc::new(metrics);
    let client = connect(config, Arc::clone(&claim), Arc::clone(&clock), instruments.client)
        .map_err(|error| RunError::Config(brief(&error)))?;

    let health = Arc::new(Health::default());
    let admin =
        listener::bind(options.admin_listen).map_err(|error| RunError::Admin(options.admin_listen, error))?;
    let admin_stop = CancellationToken::new();
    tokio::spawn(admin::serve(admin, Arc::clone(&health), Arc::clone(&metrics), admin_stop.clone()));

    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        identity,
        namespace,
        watched = ?options.namespaces,
        server_image = options.server_image,
        "starting"
    );
    let cluster = tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal, "stopped before the cluster answered");
            return Ok(());
        }
        named = name_cluster(&client, options.cluster.clone()) => named?,
    };

    let watch_stop = CancellationToken::new();
    let scope = Scope { namespaces: options.namespaces, secrets: options.secrets };
    let mut watches =
        Watches::new(client.clone(), scope, Arc::clone(&clock), instruments.watch, watch_stop.clone());
    watches.start(Kind::SageApi, &caches);
    tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal, "stopped before the caches were filled");
            return Ok(());
        }
        () = watches.synced() => {}
    }
    health.set_ready(true);
    tracing::info!(resources = caches.resources.keys().len(), "the caches are filled");

    let elector = Elector::new(
        client.clone(),
        &namespace,
        identity.clone(),
        claim,
        Arc::clone(&clock),
        instruments.leader,
    );
    let leading = elector.leading();
    let reporter = Reporter { controller: "sageapi-operator".to_owned(), instance: Some(identity) };
    let entropy: Arc<dyn Entropy> = SystemEntropy::new();
    let reconciler = Arc::new(SageApiReconciler {
        client: client.clone(),
        caches: Arc::clone(&caches),
        settings: Settings {
            server_image: options.server_image,
            cluster,
            namespace,
            monitoring_namespaces: options.monitoring_namespaces,
        },
        secrets: options.secrets,
        health: Arc::default(),
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
        metrics: instruments.installations,
    });
    let recorder = Recorder::new(client.clone(), reporter);
    let context =
        Arc::new(Context::new(client, caches, reconciler, recorder, clock, entropy, instruments.controller));
    let controller = Controller { context, concurrency: usize::from(options.concurrency), leading };

    let (work_stop, lease_stop) = (CancellationToken::new(), CancellationToken::new());
    let mut working = tokio::spawn(controller.run(work_stop.clone()));
    let mut electing = tokio::spawn(elector.run(lease_stop.clone()));
    tokio::select! {
        signal = signals.next() => tracing::info!(signal, "stopping: reconciles under way are finished"),
        _ = &mut working => return Err(RunError::Ended("controller")),
        _ = &mut electing => return Err(RunError::Ended("election")),
    }
    health.set_ready(false);
    let ending = async {
        // The lease is given back only when no write of ours can be under way any more.
        work_stop.cancel();
        joined(working, "controller").await?;
        lease_stop.cancel();
        joined(electing, "election").await?;
        watch_stop.cancel();
        watches.ended().await;
        Ok(())
    };
    let ended = tokio::select! {
        ended = tokio::time::timeout(STOP_GRACE, ending) => ended.unwrap_or(Err(RunError::Late)),
        signal = signals.next() => {
            tracing::warn!(signal, "stopping at once");
            Err(RunError::Late)
        }
    };
    admin_stop.cancel();
    ended
}

/// The metrics of each module.
struct Instruments {
    client: ClientMetrics,
    watch: WatchMetrics,
    controller: ControllerMetrics,
    installations: InstallationMetrics,
    leader: Gauge,
}

impl Instruments {
    fn register(metrics: &mut Metrics, clock: &Arc<dyn Clock>) -> Self {
        let heartbeats = Heartbeats::register(metrics, clock);
        Self {
            client: ClientMetrics::register(metrics, heartbeats.clone()),
            watch: WatchMetrics::register(metrics, heartbeats),
            controller: ControllerMetrics::register(metrics),
            installations: InstallationMetrics::register(metrics),
            leader: leader_gauge(metrics),
        }
    }
}

async fn joined(task: JoinHandle<()>, name: &'static str) -> Result<(), RunError> {
    task.await.map_err(|_panicked| RunError::Ended(name))
}

/// The name of this cluster in the claim of a database. It must never be guessed: under another name the database would
/// be refused.
async fn name_cluster(client: &Client, given: Option<String>) -> Result<String, RunError> {
    if let Some(name) = given {
        return Ok(name);
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let mut said = String::new();
    for _ in 0..ASK_TIMES {
        match namespaces.get("kube-system").await {
            Ok(namespace) => {
                let missing = || RunError::Cluster("kube-system has no UID".to_owned());
                return namespace.metadata.uid.ok_or_else(missing);
            }
            Err(kube::Error::Api(status)) if status.code == 403 => return Err(RunError::ClusterName),
            Err(error) => {
                let cause = brief(&error);
                if cause != said {
                    tracing::warn!(cause, "the API server does not answer yet");
                    said = cause;
                }
            }
        }
        tokio::time::sleep(CRD_POLL_INTERVAL).await;
    }
    Err(RunError::Cluster(said))
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::RequestLabels;
    use crate::kinds::Write;
    use crate::metrics::KindLabel;
    use sageapi_runtime::ManualClock;

    fn registered() -> (Metrics, Instruments) {
        let mut metrics = Metrics::default();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
        let instruments = Instruments::register(&mut metrics, &clock);
        (metrics, instruments)
    }

    #[test]
    fn counters_are_there_with_every_label_before_anything_happens() {
        let text = registered().0.encode();
        let named = |write: &[Write]| -> Vec<&str> {
            Kind::all().map(Kind::row).filter(|row| write.contains(&row.write)).map(|row| row.name).collect()
        };
        let applied = named(&[Write::Apply]);
        let children = named(&[Write::Apply, Write::Create]);
        assert!(applied.contains(&"Deployment") && children.contains(&"Secret"));
        for (metric, label, values) in [
            ("reconcile", "result", crate::controller::RECONCILE_RESULTS.to_vec()),
            ("migration_runs", "result", crate::sageapi::MIGRATION_RESULTS.to_vec()),
            ("rollouts", "trigger", crate::sageapi::ROLLOUT_TRIGGERS.to_vec()),
            ("noop_skipped", "kind", applied.clone()),
            ("drift_corrected", "kind", applied.clone()),
            ("api_writes", "kind", [&children[..], &["SageApi", "Event", "Lease"]].concat()),
            ("watch_restarts", "kind", [&children[..], &["SageApi", "ReplicaSet", "Pod"]].concat()),
        ] {
            let name = format!("sageapi_operator_{metric}_total");
            let lines: Vec<&str> = text.lines().filter(|line| line.starts_with(&name)).collect();
            assert_eq!(lines.len(), values.len(), "{lines:?}");
            for value in values {
                let line = format!(r#"{name}{{{label}="{value}"}} 0"#);
                assert!(lines.contains(&line.as_str()), "{line} is not in\n{text}");
            }
        }
    }

    #[test]
    fn the_metrics_have_the_names_of_the_contract() {
        let (metrics, instruments) = registered();
        instruments.controller.reconciled("ok", Duration::from_millis(3));
        let request = RequestLabels { verb: "get", resource: "secrets", code: 200 };
        instruments.client.requests.get_or_create(&request).inc();
        instruments.client.writes.get_or_create(&KindLabel { kind: "Deployment" }).inc();
        instruments.leader.set(1);
        instruments.watch.heartbeats.beat("SageApi", Duration::ZERO);
        let text = metrics.encode();
        for line in [
            r#"sageapi_operator_reconcile_total{result="ok"} 1"#,
            "sageapi_operator_reconcile_duration_seconds_count 1",
            r#"sageapi_operator_api_requests_total{verb="get",resource="secrets",code="200"} 1"#,
            r#"sageapi_operator_api_writes_total{kind="Deployment"} 1"#,
            "sageapi_operator_leader 1",
            r#"sageapi_operator_watch_last_event_age_seconds{kind="SageApi"} 0.0"#,
            "sageapi_operator_queue_depth 0",
            "sageapi_operator_objects_in_backoff 0",
            concat!(r#"sageapi_operator_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
