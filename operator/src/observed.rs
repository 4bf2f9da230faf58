//! What the planner sees: plain data, gathered by the runtime, made by hand in tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use sageapi_crds::{SageApi, SageApiSpec};
use serde::Deserialize;

use crate::object::ObjectRef;

/// Everything that a plan rests on.
#[derive(Clone)]
pub struct Observed {
    /// The resource, status included.
    pub resource: SageApi,
    /// What there is of its children.
    pub children: Children,
    /// The Secrets that the specification names ([`referenced_secrets`]). One that is not here counts as missing.
    pub secrets: BTreeMap<String, Referenced>,
    /// What was refused when the plan before this was followed; at the start of a reconcile deletions alone.
    pub refusals: Vec<Refusal>,
    /// What an instance said of itself.
    pub health: Health,
    /// The time.
    pub now: Timestamp,
    /// Fresh random bytes, for keys if there are none yet.
    pub seed: KeySeed,
    /// What holds for every resource alike.
    pub settings: Settings,
}

/// Objects in the resource's namespace that carry our labels with its name, whoever owns them; the planner
/// tells ours by the controlling UID. `managedFields` are not needed.
#[derive(Clone, Default)]
#[expect(missing_docs, reason = "one list a kind")]
pub struct Children {
    pub service_accounts: Vec<ServiceAccount>,
    /// `<name>-keys` and `<name>-secrets-*`, with data.
    pub secrets: Vec<Secret>,
    pub config_maps: Vec<ConfigMap>,
    pub jobs: Vec<Job>,
    pub services: Vec<Service>,
    pub network_policies: Vec<NetworkPolicy>,
    pub deployments: Vec<Deployment>,
    pub disruption_budgets: Vec<PodDisruptionBudget>,
    /// Of the Deployment.
    pub replica_sets: Vec<ReplicaSet>,
    /// Of the Deployment and of Jobs.
    pub pods: Vec<Pod>,
}

/// A Secret that the specification names.
#[derive(Clone)]
pub enum Referenced {
    /// Its entries.
    Found(BTreeMap<String, Vec<u8>>),
    /// There is none.
    Missing,
    /// We may not read it.
    Forbidden,
}

/// Names and sizes alone.
impl fmt::Debug for Referenced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found(entries) => f.debug_set().entries(entries.keys()).finish(),
            Self::Missing => f.write_str("Missing"),
            Self::Forbidden => f.write_str("Forbidden"),
        }
    }
}

/// A step that the API server did not let pass, for good or until somebody acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The object.
    pub object: ObjectRef,
    /// Why.
    pub cause: RefusalCause,
    /// The API server's words; nothing secret.
    pub message: String,
}

/// Why a step did not pass; of several the first is told first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefusalCause {
    /// An object of that name is controlled by somebody else, or by an earlier resource of our name.
    NameTaken,
    /// 403: a right is missing, or a quota is used up.
    Forbidden,
    /// 422 or 400: the API server, or a webhook, finds the object wrong.
    Rejected,
}

/// What an instance said of itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Health {
    /// None was asked: what is known stays.
    #[default]
    NotAsked,
    /// One was asked and did not answer.
    Unreachable(String),
    /// The answer.
    Report(HealthReport),
}

/// What the server's admin port answers at /health, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct HealthReport {
    /// ok, degraded or down.
    #[serde(default)]
    pub status: String,
    /// The program's version.
    #[serde(default)]
    pub version: String,
    /// The database.
    #[serde(default)]
    pub database: DatabaseHealth,
    /// The mirror, by entity.
    #[serde(default)]
    pub sync: BTreeMap<String, EntityHealth>,
    /// Whether the instance was ready when it was asked; it does not say so itself.
    #[serde(skip)]
    pub serving: bool,
}

/// How an instance finds its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub struct DatabaseHealth {
    /// In one word.
    #[serde(default)]
    pub status: DatabaseState,
}

/// How a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseState {
    /// It answers.
    Ok,
    /// It does not.
    Away,
    /// It answers, and has no room for writes.
    Full,
    /// The instance says neither, as before its start is over.
    #[default]
    #[serde(other)]
    Unknown,
}

/// How one entity of the mirror is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct EntityHealth {
    /// Seconds since a run last ended well.
    #[serde(default)]
    pub age_s: Option<f64>,
    /// disabled, pending, success or failed.
    #[serde(default)]
    pub status: String,
    /// A stable word for what failed last.
    #[serde(default)]
    pub error_class: Option<String>,
}

impl HealthReport {
    /// Reads the answer's body: the report, in the envelope of the API.
    pub fn parse(body: &[u8], serving: bool) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Envelope {
            data: HealthReport,
        }
        serde_json::from_slice(body).map(|envelope: Envelope| Self { serving, ..envelope.data })
    }
}

/// 128 random bytes.
#[derive(Clone)]
pub struct KeySeed(pub [u8; 128]);

impl fmt::Debug for KeySeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySeed(***)")
    }
}

/// What holds for every resource alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The server's image where a resource names none.
    pub server_image: String,
    /// Names this cluster in the claim of a database: the UID of the namespace kube-system.
    pub cluster: String,
    /// The operator's own namespace, which may reach the admin port.
    pub namespace: String,
    /// Namespaces of monitoring, which may reach the admin port.
    pub monitoring_namespaces: Vec<String>,
}

/// Names of the Secrets that a specification refers to, pull secrets excepted: only the kubelet reads those.
pub fn referenced_secrets(spec: &SageApiSpec) -> BTreeSet<String> {
    let mysql = &spec.database.mysql;
    let upstream = spec.upstream.as_ref();
    [
        Some(mysql.url_secret_ref.name.as_str()),
        mysql.tls.as_ref().map(|tls| tls.ca_secret_ref.name.as_str()),
        upstream.map(|upstream| upstream.auth.secret_ref.name.as_str()),
        upstream.and_then(|upstream| upstream.events.as_ref()).map(|events| events.secret_ref.name.as_str()),
        upstream.and_then(|upstream| upstream.ca_secret_ref.as_ref()).map(|ca| ca.name.as_str()),
    ]
    .into_iter()
    .flatten()
    .map(str::to_owned)
    .collect()
}
