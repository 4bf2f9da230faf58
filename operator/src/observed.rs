//! What the planner sees: plain data, gathered by the reconciler, written by hand in tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use sageapi_crds::{SageApi, SageApiSpec};
use serde::Deserialize;

use crate::children::Children;
use crate::steps::Refusal;

/// Everything that a plan is based on.
#[derive(Clone)]
pub struct Observed {
    /// The resource, status included.
    pub resource: Arc<SageApi>,
    /// The objects around it.
    pub children: Children,
    /// The Secrets that the specification names ([`referenced_secrets`]). One that is not in here counts as missing.
    pub secrets: BTreeMap<String, Referenced>,
    /// What was refused when the previous plan was followed; at the start of a reconcile deletions alone.
    pub refusals: Vec<Refusal>,
    /// What an instance reported about itself.
    pub health: Health,
    /// The time.
    pub now: Timestamp,
    /// Fresh random bytes, for keys if there are none yet.
    pub seed: KeySeed,
    /// Settings of the operator that apply to every resource.
    pub settings: Settings,
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

/// What an instance reported about itself.
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

/// The part of the server's answer at /health that matters here.
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
    /// Whether the instance was ready when it was asked; the answer does not contain it.
    #[serde(skip)]
    pub serving: bool,
}

/// How an instance sees its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub struct DatabaseHealth {
    /// Its state.
    #[serde(default)]
    pub status: DatabaseState,
}

/// The state of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseState {
    /// It answers.
    Ok,
    /// It does not.
    Away,
    /// It answers, and has no space for writes.
    Full,
    /// The instance reports neither, as while it starts.
    #[default]
    #[serde(other)]
    Unknown,
}

/// The state of one entity of the mirror.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct EntityHealth {
    /// Seconds since a run last succeeded.
    #[serde(default)]
    pub age_s: Option<f64>,
    /// disabled, pending, success or failed.
    #[serde(default)]
    pub status: String,
    /// A stable code for what failed last.
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

/// Settings of the operator that apply to every resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The server's image of resources that name none.
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
