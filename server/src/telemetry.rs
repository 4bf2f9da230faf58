//! Traces and metrics of the process.

pub mod metrics;
pub mod tracing;
