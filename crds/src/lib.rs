//! The `SageApi` resource: what a user writes, what the operator answers, and the manifest of both.
//!
//! Every list, map and string of our own has a bound, so that the API server can estimate what the
//! rules cost. Values that a rule cannot check (cron, quantities, image references) are checked by the
//! operator, which then says `Invalid`.

mod condition;
mod crd;
mod database;
mod server;
mod spec;
mod status;
mod sync;
mod upstream;
mod workload;

pub use condition::{ConditionStatus, ConditionType, Reason};
pub use crd::{crd, yaml};
pub use database::{Database, Migration, MigrationMode, Mysql, MysqlTls};
pub use server::{Accounting, AccountingMode, Cache, LogLevel, Server};
pub use spec::{SageApi, SageApiSpec, SecretKeyRef, SecretRef};
pub use status::{
    Condition, DatabaseStatus, Entity, MigrationStatus, Phase, SageApiStatus, SyncState, SyncStatus,
};
pub use sync::{EntitySync, Sync, SyncMode};
pub use upstream::{AuthScheme, Upstream, UpstreamAuth, UpstreamEvents};
pub use workload::{
    DisruptionBudget, EnvVar, Image, NetworkPolicy, PullPolicy, Resources, Service, ServiceType,
};

/// The resource's API group, which is also the prefix of our labels and annotations.
pub const GROUP: &str = "sageapi.io";
/// The resource's version.
pub const VERSION: &str = "v1alpha1";
/// The resource's kind.
pub const KIND: &str = "SageApi";

/// Pattern of a length of time: a whole number and a unit, as in the server's configuration.
const TIME: &str = "^[0-9]{1,9}(ms|s|m|h|d)$";
/// Pattern of the name of an object in the same namespace.
const NAME: &str = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";
/// Pattern of an http or https URL.
const URL: &str = "^https?://[^ ]+$";
