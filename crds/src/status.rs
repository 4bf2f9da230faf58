use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator observed and did.
// Words are kept as text, so that a status written by a newer operator can still be read.
#[derive(Serialize, Deserialize, KubeSchema, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct SageApiStatus {
    /// The generation of the specification that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What the operator is doing, derived from the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub phase: Option<String>,
    /// The conditions; every type is always present.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Instances that exist, serving or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub instances: Option<i32>,
    /// Instances that serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ready_instances: Option<i32>,
    /// Serving and wanted instances, like 2/3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub ready: Option<String>,
    /// Selects the instances' pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub selector: Option<String>,
    /// The API's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub url: Option<String>,
    /// The image that instances should run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 600))]
    pub image: Option<String>,
    /// The image's tag, or the beginning of its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub version: Option<String>,
    /// The revision of the operator's templates that pods were made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub render_revision: Option<i32>,
    /// The database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseStatus>,
    /// The migration under way, or the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<MigrationStatus>,
    /// The mirror, by entity; written when a state changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["entity".into()]))]
    pub sync: Vec<SyncStatus>,
    /// A summary of the mirror.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub sync_summary: Option<String>,
    /// While paused: what would be changed, at most 20 of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(max = 256)))]
    pub would_change: Vec<String>,
}

impl SageApiStatus {
    /// The condition of this type.
    pub fn condition(&self, of: crate::ConditionType) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == of.as_str())
    }
}

/// One aspect of the installation.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which aspect.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 64))]
    pub type_: String,
    /// True, False or Unknown.
    #[schemars(length(min = 1, max = 16))]
    pub status: String,
    /// Why, as a stable code for programs.
    #[schemars(length(min = 1, max = 64))]
    pub reason: String,
    /// Why, for people.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// When `status` last changed.
    pub last_transition_time: Time,
    /// The generation of the specification that this describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// The database.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseStatus {
    /// Where it is: host:port/name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub identity: Option<String>,
    /// Version of its schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<i64>,
    /// The migration (image, database, trigger) that last brought it up to date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub applied_hash: Option<String>,
    /// Result of the last check of the schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub verdict: Option<String>,
    /// Fingerprint of the encryption key of its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub key_fingerprint: Option<String>,
}

/// The migration under way, or the last one.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct MigrationStatus {
    /// Which migration: a hash over image, database and trigger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub hash: Option<String>,
    /// Attempts that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i32>,
    /// The next attempt is not made before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Time>,
    /// The last Job that ended; attempts are counted up to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub last_job: Option<String>,
    /// How it ended, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// A hash of what may fix a failure: secrets, configuration, and the annotation retry-migration, as of the
    /// first attempt. When it changes, attempts start over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub inputs: Option<String>,
}

/// One entity of the mirror.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SyncStatus {
    /// users, pricing, llmage or uapi.
    #[schemars(length(min = 1, max = 32))]
    pub entity: String,
    /// Healthy, Late, Failing, Disabled or Unknown.
    #[schemars(length(min = 1, max = 32))]
    pub state: String,
    /// A stable code for what is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
    /// When `state` last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every one, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word in the resource.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The one of this word.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;

words! {
    /// What the operator is doing. The first that holds, in this order, is shown.
    Phase {
        /// `paused` is set.
        Paused = "Paused",
        /// The specification is invalid.
        Invalid = "Invalid",
        /// Something referenced is missing, or the database cannot be reached.
        Resolving = "Resolving",
        /// The database refuses this image; a human is needed.
        Blocked = "Blocked",
        /// The schema is being brought up to date.
        Migrating = "Migrating",
        /// The migration failed; the previous instances keep serving.
        MigrationFailed = "MigrationFailed",
        /// Instances are being started or replaced.
        Rolling = "Rolling",
        /// Too few instances serve.
        Degraded = "Degraded",
        /// Everything matches the specification.
        Ready = "Ready",
    }
}

words! {
    /// What is mirrored from the platform.
    Entity {
        /// Users.
        Users = "users",
        /// Pricing programs.
        Pricing = "pricing",
        /// Models.
        Llmage = "llmage",
        /// Upstream APIs.
        Uapi = "uapi",
    }
}

words! {
    /// State of the mirror of one entity.
    SyncState {
        /// Runs succeed in time.
        Healthy = "Healthy",
        /// No run has succeeded for too long.
        Late = "Late",
        /// The last run failed.
        Failing = "Failing",
        /// It is not mirrored.
        Disabled = "Disabled",
        /// Not known yet.
        Unknown = "Unknown",
    }
}
