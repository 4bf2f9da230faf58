//! The table of kinds: one row for each kind of object that the operator reads or writes. API paths, caches, watches,
//! rights, metric labels and the order of creation all follow from it.

mod slim;

use std::fmt;

use k8s_openapi::Resource as Builtin;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::{ApiResource, DynamicObject};
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::labels;

/// A kind of object, in the order in which a plan creates them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "named as in Kubernetes")]
pub enum Kind {
    SageApi,
    ServiceAccount,
    Secret,
    ConfigMap,
    Job,
    Service,
    NetworkPolicy,
    Deployment,
    PodDisruptionBudget,
    ReplicaSet,
    Pod,
    Event,
    Lease,
    Namespace,
}

/// In the order of [`Kind`].
const TABLE: &[Row] = &[
    Row {
        watched: Some(Selector::Everything),
        rights: &[
            ("sageapis/status", &["patch"]),
            // Never requested, but owner references that block deletion need it.
            ("sageapis/finalizers", &["update"]),
        ],
        ..custom(Kind::SageApi, "sageapis")
    },
    Row { write: Write::Apply, pods: Pods::Need, ..child::<ServiceAccount>(Kind::ServiceAccount) },
    Row { write: Write::Create, delete: true, pods: Pods::Need, ..child::<Secret>(Kind::Secret) },
    Row { write: Write::Create, delete: true, pods: Pods::Need, ..child::<ConfigMap>(Kind::ConfigMap) },
    Row { write: Write::Create, delete: true, pods: Pods::Need, ..child::<Job>(Kind::Job) },
    Row { write: Write::Apply, ..child::<Service>(Kind::Service) },
    Row { write: Write::Apply, delete: true, ..child::<NetworkPolicy>(Kind::NetworkPolicy) },
    Row { write: Write::Apply, pods: Pods::Contains, ..child::<Deployment>(Kind::Deployment) },
    Row { write: Write::Apply, ..child::<PodDisruptionBudget>(Kind::PodDisruptionBudget) },
    Row {
        watched: Some(Selector::Application),
        keep: |object| keep::<ReplicaSet>(object, slim::replica_set),
        ..child::<ReplicaSet>(Kind::ReplicaSet)
    },
    Row {
        watched: Some(Selector::Application),
        keep: |object| keep::<Pod>(object, slim::pod),
        ..child::<Pod>(Kind::Pod)
    },
    Row { rights: &[("events", &["create", "patch"])], ..unwatched::<Event>(Kind::Event) },
    Row { rights: &[("leases", &["get", "create", "update"])], ..unwatched::<Lease>(Kind::Lease) },
    Row { rights: &[("namespaces", &["get"])], ..unwatched::<Namespace>(Kind::Namespace) },
];

/// What there is to know about a kind.
#[derive(Debug)]
pub struct Row {
    kind: Kind,
    /// Its name, such as `Deployment`.
    pub name: &'static str,
    /// Its API group; empty for the core group.
    pub group: &'static str,
    /// Its API version, such as `v1`.
    pub version: &'static str,
    /// Its name in paths and in RBAC rules, such as `deployments`.
    pub plural: &'static str,
    /// Which of its objects are watched and cached; `None`: none.
    pub watched: Option<Selector>,
    /// How the operator writes it.
    pub write: Write,
    /// Whether the operator deletes it. Other children are left to the garbage collector.
    pub delete: bool,
    /// What it has to do with pods.
    pub pods: Pods,
    /// Whether a cluster may lack its definition. Then there are no such objects, and none is written.
    pub may_be_absent: bool,
    /// Rights beyond those that follow from `watched`, `write` and `delete`: resource and verbs.
    pub rights: &'static [(&'static str, &'static [&'static str])],
    /// How much of an object the cache keeps, as JSON. Fields unknown to this version of the operator are dropped.
    keep: fn(DynamicObject) -> serde_json::Result<Vec<u8>>,
}

/// Which objects of a kind are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selector {
    /// All of them.
    Everything,
    /// Those that the operator created.
    Managed,
    /// Those of the application, regardless of their creator: ReplicaSets and pods.
    Application,
}

/// How the operator writes objects of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// Not at all.
    Never,
    /// By server-side apply, again whenever an object differs from what is wanted.
    Apply,
    /// Once; never changed afterwards.
    Create,
}

/// What a kind has to do with pods: it decides what a refused write holds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pods {
    /// Pods cannot start, or do not exist, without it.
    Need,
    /// It contains their template.
    Contains,
    /// Nothing: it is written whatever happens to pods.
    Independent,
}

/// A built-in kind that the operator creates, or at least watches.
const fn child<K>(kind: Kind) -> Row
where
    K: Builtin + Resource<DynamicType = ()> + Serialize + DeserializeOwned,
{
    Row { watched: Some(Selector::Managed), keep: |object| keep::<K>(object, |_| {}), ..unwatched::<K>(kind) }
}

/// A built-in kind of which nothing is cached.
const fn unwatched<K: Builtin>(kind: Kind) -> Row {
    Row { name: K::KIND, group: K::GROUP, version: K::VERSION, ..custom(kind, K::URL_PATH_SEGMENT) }
}

/// A resource of our own API group.
const fn custom(kind: Kind, plural: &'static str) -> Row {
    Row {
        kind,
        name: sageapi_crds::KIND,
        group: sageapi_crds::GROUP,
        version: sageapi_crds::VERSION,
        plural,
        watched: None,
        write: Write::Never,
        delete: false,
        pods: Pods::Independent,
        may_be_absent: false,
        rights: &[],
        keep: |object| serde_json::to_vec(&object),
    }
}

impl Kind {
    /// Every kind, in order.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> + Clone {
        TABLE.iter().map(|row| row.kind)
    }

    /// Every kind that is created as a child of a resource or watched beside its children.
    pub fn children() -> impl Iterator<Item = Self> + Clone {
        Self::all().filter(|kind| kind.row().watched.is_some_and(|of| of != Selector::Everything))
    }

    /// The kind of a type. A type without a row does not compile.
    pub const fn of<K: Builtin>() -> Self {
        const { named(K::GROUP, K::KIND) }
    }

    /// Its row.
    pub const fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// Its name, such as `Deployment`.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Whether the operator writes such objects, or a part of them.
    pub fn is_written(self) -> bool {
        let row = self.row();
        let verbs = row.rights.iter().flat_map(|(_, verbs)| verbs.iter());
        row.write != Write::Never || verbs.into_iter().any(|verb| matches!(*verb, "create" | "patch"))
    }

    /// What the client needs to know of it.
    pub fn api_resource(self) -> ApiResource {
        let row = self.row();
        let api_version = match row.group {
            "" => row.version.to_owned(),
            group => format!("{group}/{}", row.version),
        };
        ApiResource {
            group: row.group.to_owned(),
            version: row.version.to_owned(),
            api_version,
            kind: row.name.to_owned(),
            plural: row.plural.to_owned(),
        }
    }

    /// What the cache keeps of an object of this kind, as JSON.
    pub fn keep(self, mut object: DynamicObject) -> serde_json::Result<Vec<u8>> {
        prune(&mut object);
        (self.row().keep)(object)
    }
}

const fn named(group: &str, name: &str) -> Kind {
    let mut at = 0;
    while at < TABLE.len() {
        if equal(TABLE[at].name, name) && equal(TABLE[at].group, group) {
            return TABLE[at].kind;
        }
        at += 1;
    }
    assert!(at < TABLE.len(), "the table of kinds lacks this type");
    Kind::SageApi
}

const fn equal(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Selector {
    /// As a label selector.
    pub fn to_label_selector(self) -> Option<String> {
        match self {
            Self::Everything => None,
            Self::Managed => Some(format!("{}={}", labels::MANAGED_BY, labels::OPERATOR)),
            Self::Application => Some(format!("{}={}", labels::NAME, labels::SERVER)),
        }
    }
}

fn keep<K>(object: DynamicObject, slim: fn(&mut K)) -> serde_json::Result<Vec<u8>>
where
    K: Resource<DynamicType = ()> + Serialize + DeserializeOwned,
{
    let mut object: K = serde_json::from_value(serde_json::to_value(object)?)?;
    slim(&mut object);
    serde_json::to_vec(&object)
}

/// What kubectl leaves on whatever it applies: a second copy of the object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Drops the metadata that the operator never reads, which is half of an object.
pub fn prune(object: &mut impl Resource) {
    object.meta_mut().managed_fields = None;
    if object.meta().annotations.is_some() {
        object.annotations_mut().remove(LAST_APPLIED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_are_in_the_order_of_the_kinds() {
        for (at, row) in TABLE.iter().enumerate() {
            assert_eq!(row.kind as usize, at, "{}", row.name);
            assert!(row.kind == Kind::SageApi || format!("{:?}", row.kind) == row.name);
        }
        assert_eq!(Kind::Namespace as usize + 1, TABLE.len(), "every kind has a row");
    }

    #[test]
    fn the_definition_of_the_resource_has_the_plural_of_the_table() {
        assert_eq!(sageapi_crds::crd().spec.names.plural, Kind::SageApi.row().plural);
    }
}
