//! SageAPI: balances, bookings and a mirror of the Sage platform behind a signed REST API.
//!
//! docs/ARCHITECTURE.md tells which module may know which.

pub mod config;
pub mod domain;
pub mod model;
pub mod signing;
pub mod store;
pub mod telemetry;
