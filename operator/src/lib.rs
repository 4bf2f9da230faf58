//! The operator: each SageApi of a cluster becomes a migrated, served installation, and stays one.
//!
//! observe -> validate -> plan -> apply -> status. `controller` observes and applies; everything in between is pure.

pub mod admin;
pub mod cli;
pub mod client;
pub mod controller;
pub mod credentials;
pub mod hashes;
pub mod labels;
pub mod lease;
pub mod metrics;
pub mod names;
pub mod object;
pub mod observed;
pub mod offline;
pub mod plan;
pub mod rbac;
pub mod render;
pub mod run;
pub mod telemetry;
pub mod validate;
pub mod watch;
