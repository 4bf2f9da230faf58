//! The operator: each SageApi of a cluster becomes a migrated, served installation, and stays one.
//!
//! observe -> plan -> apply -> status. `controller` does this for any kind of resource; what is particular to SageApi is
//! in `sageapi`, which observes, and `plan`, which decides and is pure.

pub mod admin;
pub mod children;
pub mod claim;
pub mod cli;
pub mod client;
pub mod controller;
pub mod credentials;
pub mod hashes;
pub mod heartbeats;
pub mod kinds;
pub mod labels;
pub mod lease;
pub mod metrics;
pub mod names;
pub mod object;
pub mod observed;
pub mod offline;
pub mod options;
pub mod plan;
pub mod rbac;
pub mod reconciler;
pub mod render;
pub mod run;
pub mod sageapi;
pub mod steps;
pub mod telemetry;
pub mod validate;
pub mod watch;
