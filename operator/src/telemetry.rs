//! Spans of reconciles and of requests to the API server.

#[cfg(test)]
pub(crate) mod tests;

use sageapi_runtime::telemetry::Service;
pub use sageapi_runtime::telemetry::{inject, mark_failed};
use tracing::field::Empty;

/// Target of the spans of a reconcile and of its parts.
pub const RECONCILE_TARGET: &str = "sageapi_operator::reconcile";
/// Target of the spans of requests to the API server.
pub const REQUEST_TARGET: &str = "sageapi_operator::request";

/// This program. The Kubernetes client logs the whole body of a response that it cannot decode, even a Secret's, so its
/// lines are never logged.
pub const SERVICE: Service = Service {
    name: "sageapi-operator",
    version: env!("CARGO_PKG_VERSION"),
    traced: &[RECONCILE_TARGET, REQUEST_TARGET],
    unlogged: &["kube_client"],
};

/// Looks at one gate of a plan, within a span of its own that says whether it is open.
pub fn gate<T>(name: &'static str, judge: impl FnOnce() -> T, is_open: impl FnOnce(&T) -> bool) -> T {
    let span = tracing::debug_span!(
        target: RECONCILE_TARGET, "gate",
        otel.name = %format_args!("gate {name}"), sageapi.gate.name = name, sageapi.gate.open = Empty,
    );
    let outcome = span.in_scope(judge);
    if !span.is_disabled() {
        span.record("sageapi.gate.open", is_open(&outcome));
    }
    outcome
}
