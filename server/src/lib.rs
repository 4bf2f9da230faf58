//! SageAPI: balances, bookings and a mirror of the Sage platform behind a signed REST API.
//!
//! docs/ARCHITECTURE.md tells which module may know which. As a library: [`load_sageapi`] gives a
//! [`ServerEnv`], whose functions are those that the HTTP handlers and the commands call.

pub mod cli;
pub mod config;
pub mod domain;
pub mod env;
pub mod http;
pub mod model;
pub mod signing;
pub mod store;
pub mod sync;
pub mod telemetry;

pub use env::{ServerEnv, load_sageapi};
