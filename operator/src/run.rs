//! The composition root of `run`: client, watches, election, controller, admin port, and the order in which they end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Api, Client, Config};
use sageapi_contract::ExitCode;
use sageapi_runtime::lifecycle::Signals;
use sageapi_runtime::{Clock, Entropy, SystemClock, SystemEntropy, command, listener};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Health};
use crate::cli;
use crate::client::{brief, connect};
use crate::controller::{Contested, Context, Controller, HealthBook, Refused, Written};
use crate::lease::{Claim, Elector};
use crate::metrics::{ClusterCollector, Metrics};
use crate::observed::Settings;
use crate::watch::{Caches, Scope, Watches};

/// How often, and how many times, a cluster is asked for that does not answer at the start.
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
    /// The cluster cannot be told from others.
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

/// This process' name in the Lease: what it was called, or the host, and something that no other process has.
pub(crate) fn identity(options: &cli::Run) -> String {
    let name = options.identity.clone().unwrap_or_else(command::host_name);
    let mut random = [0; 4];
    SystemEntropy.fill(&mut random);
    format!("{name}_{:08x}", u32::from_be_bytes(random))
}

/// Runs until SIGTERM or SIGINT.
pub(crate) async fn run(options: cli::Run, identity: String) -> Result<(), RunError> {
    // First of all: process 1 of a container ignores signals without a handler.
    let mut signals = Signals::install().map_err(RunError::Signals)?;
    let config = Config::infer().await.map_err(|error| RunError::Config(error.to_string()))?;
    let namespace = options.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());

    let clock: Arc<dyn Clock> = SystemClock::new();
    let (claim, caches) = (Arc::<Claim>::default(), Arc::<Caches>::default());
    let metrics = Arc::new(Metrics::new(ClusterCollector::new(&caches, &claim, &clock)));
    let client = connect(config, Arc::clone(&claim), Arc::clone(&clock), Arc::clone(&metrics))
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
        Watches::new(client.clone(), scope, Arc::clone(&clock), Arc::clone(&metrics), watch_stop.clone());
    watches.start(&caches);
    tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal, "stopped before the caches were filled");
            return Ok(());
        }
        () = watches.synced() => {}
    }
    health.set_ready(true);
    tracing::info!(resources = caches.sageapis.all().len(), "the caches are filled");

    let elector = Elector::new(
        client.clone(),
        &namespace,
        identity.clone(),
        claim,
        Arc::clone(&clock),
        Arc::clone(&metrics),
    );
    let leading = elector.leading();
    let reporter = Reporter { controller: "sageapi-operator".to_owned(), instance: Some(identity) };
    let context = Arc::new(Context {
        recorder: Recorder::new(client.clone(), reporter),
        client,
        caches,
        settings: Settings {
            server_image: options.server_image,
            cluster,
            namespace,
            monitoring_namespaces: options.monitoring_namespaces,
        },
        secrets: options.secrets,
        health: HealthBook::default(),
        contested: Contested::default(),
        refused: Refused::default(),
        written: Written::default(),
        clock,
        entropy: SystemEntropy::new(),
        metrics,
    });
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

async fn joined(task: JoinHandle<()>, name: &'static str) -> Result<(), RunError> {
    task.await.map_err(|_panicked| RunError::Ended(name))
}

/// What tells this cluster from others in the claim of a database. It must never be guessed: under another name the
/// database would be refused.
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
