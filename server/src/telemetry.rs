//! What the process tells about itself: logs and traces, and metrics.

pub mod metrics;
pub mod tracing;
