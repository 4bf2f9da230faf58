use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::crd::{annotations, node_selector, tolerations};
use crate::status::SageApiStatus;
use crate::{
    Accounting, Cache, Database, DisruptionBudget, EnvVar, Image, NAME, NetworkPolicy, Resources, Server,
    Service, Sync, Upstream,
};

/// One installation of SageAPI.
///
/// The rules on currency and scale name the server's defaults, because leaving a field out and writing
/// its default are the same thing; a test compares them with the server's table. They are written with
/// has(): the API server cannot bound what an optional may hold, and refuses the rule as too costly.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[kube(
    group = "sageapi.io",
    version = "v1alpha1",
    kind = "SageApi",
    plural = "sageapis",
    shortname = "sage",
    namespaced,
    status = "SageApiStatus",
    derive = "PartialEq",
    doc = "An installation of SageAPI: its database, the platform that it mirrors, and its instances.",
    scale(
        spec_replicas_path = ".spec.instances",
        status_replicas_path = ".status.instances",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether enough instances serve"
    ),
    printcolumn(
        name = "Phase",
        type_ = "string",
        json_path = ".status.phase",
        description = "What the operator is doing"
    ),
    printcolumn(
        name = "Instances",
        type_ = "string",
        json_path = ".status.ready",
        description = "Serving and wanted instances"
    ),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".status.version",
        description = "Version of the image in use"
    ),
    printcolumn(
        name = "Schema",
        type_ = "integer",
        json_path = ".status.database.schemaVersion",
        description = "Version of the database's schema"
    ),
    printcolumn(
        name = "Sync",
        type_ = "string",
        json_path = ".status.syncSummary",
        description = "How the mirror of the platform is"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$')").message(
        "the name must begin with a letter, end with a letter or digit, hold only a-z, 0-9 and -, and have at most 40 characters"
    )
)]
#[x_kube(
    validation = Rule::new(
        "(has(self.accounting) && has(self.accounting.currency) ? self.accounting.currency : 'CNY') == \
         (has(oldSelf.accounting) && has(oldSelf.accounting.currency) ? oldSelf.accounting.currency : 'CNY')"
    ).message("accounting.currency cannot be changed: balances are kept in it").field_path(".accounting.currency"),
    validation = Rule::new(
        "(has(self.accounting) && has(self.accounting.scale) ? self.accounting.scale : 6) == \
         (has(oldSelf.accounting) && has(oldSelf.accounting.scale) ? oldSelf.accounting.scale : 6)"
    ).message("accounting.scale cannot be changed: amounts were rounded to it").field_path(".accounting.scale")
)]
#[serde(rename_all = "camelCase")]
pub struct SageApiSpec {
    /// How many instances serve.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub instances: i32,
    /// The server's image. Default: the one that the operator was released with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// Where data is stored.
    pub database: Database,
    /// The Sage platform that data is mirrored from. Without it nothing is pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Upstream>,
    /// How data is mirrored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<Sync>,
    /// How charges and credits are booked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounting: Option<Accounting>,
    /// The cache of answers in memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// The REST listener and the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// CPU and memory of an instance. Default: requests of cpu 100m and memory 64Mi, a limit of memory 256Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// How clients reach the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// Who may reach the instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicy>,
    /// How many instances may be unavailable at a time when nodes are drained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disruption_budget: Option<DisruptionBudget>,
    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "node_selector")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that do not keep instances away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "tolerations")]
    pub tolerations: Vec<Toleration>,
    /// Annotations of the instances' pods besides the operator's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "annotations")]
    pub pod_annotations: BTreeMap<String, String>,
    /// Environment variables of the instances besides the operator's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub extra_env: Vec<EnvVar>,
    /// Change nothing in the cluster; the status says what would be changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// Default of `instances`. In the schema too: autoscalers read it through /scale.
const fn one() -> i32 {
    1
}

/// A Secret of the same namespace; each field says which of its entries are read.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub name: String,
}

/// One entry of a Secret of the same namespace.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub name: String,
    /// The entry's name; each field has its own default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub key: Option<String>,
}
