//! The objects that the operator makes: a closed set of kinds, so that whatever is done to one is done to all.

use std::fmt;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

macro_rules! kinds {
    ($($kind:ident $group:literal $version:literal $plural:literal)+) => {
        /// A kind of child object.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ObjectKind { $(#[expect(missing_docs)] $kind,)+ }

        impl ObjectKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind,)+];

            /// Its name, like `Deployment`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => stringify!($kind),)+ }
            }

            /// Its API group, empty for the core group.
            pub const fn group(self) -> &'static str {
                match self { $(Self::$kind => $group,)+ }
            }

            /// Its version, like `v1`.
            pub const fn version(self) -> &'static str {
                match self { $(Self::$kind => $version,)+ }
            }

            /// Its name in paths, like `deployments`.
            pub const fn plural(self) -> &'static str {
                match self { $(Self::$kind => $plural,)+ }
            }
        }

        /// A child object as it should be.
        #[derive(Clone, PartialEq)]
        pub enum Object { $(#[expect(missing_docs)] $kind(Box<$kind>),)+ }

        impl Object {
            /// Its kind.
            pub const fn kind(&self) -> ObjectKind {
                match self { $(Self::$kind(_) => ObjectKind::$kind,)+ }
            }

            /// Its metadata.
            pub fn metadata(&self) -> &ObjectMeta {
                match self { $(Self::$kind(object) => &object.metadata,)+ }
            }

            pub(crate) fn metadata_mut(&mut self) -> &mut ObjectMeta {
                match self { $(Self::$kind(object) => &mut object.metadata,)+ }
            }

            /// The whole object as JSON, `apiVersion` and `kind` included.
            pub fn to_value(&self) -> Result<Value, serde_json::Error> {
                match self { $(Self::$kind(object) => serde_json::to_value(object),)+ }
            }
        }

        $(impl From<$kind> for Object {
            fn from(object: $kind) -> Self {
                Self::$kind(Box::new(object))
            }
        })+
    };
}

kinds! {
    ServiceAccount "" "v1" "serviceaccounts"
    Secret "" "v1" "secrets"
    ConfigMap "" "v1" "configmaps"
    Job "batch" "v1" "jobs"
    Service "" "v1" "services"
    NetworkPolicy "networking.k8s.io" "v1" "networkpolicies"
    Deployment "apps" "v1" "deployments"
    PodDisruptionBudget "policy" "v1" "poddisruptionbudgets"
}

impl ObjectKind {
    /// Whether pods mount it, run under it or are made by it. The other kinds stand beside the pods.
    pub const fn carries_pods(self) -> bool {
        match self {
            Self::ServiceAccount | Self::Secret | Self::ConfigMap | Self::Job => true,
            Self::Service | Self::NetworkPolicy | Self::Deployment | Self::PodDisruptionBudget => false,
        }
    }

    /// Group and version as in an object's `apiVersion`.
    pub fn api_version(self) -> String {
        match self.group() {
            "" => self.version().to_owned(),
            group => format!("{group}/{}", self.version()),
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Object {
    /// Its name.
    pub fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    /// Which object it is. Its namespace is that of the resource.
    pub fn reference(&self) -> ObjectRef {
        ObjectRef { kind: self.kind(), name: self.name().to_owned(), uid: None }
    }
}

/// Kind and name alone: an object may hold secrets.
impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.name())
    }
}

/// Which object, in the namespace of the resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its name.
    pub name: String,
    /// Its UID where one object and no later one of the same name is meant: what is deleted.
    pub uid: Option<String>,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}
