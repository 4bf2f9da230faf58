//! Spans of requests, and of the work within them, which goes to the collector alone.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::trace::SpanContext;
use sageapi_runtime::telemetry::recorded;
pub use sageapi_runtime::telemetry::{
    Service, inject, is_recording, mark_failed, set_parent, span_context_from_traceparent,
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Target of request spans.
pub const REQUEST_TARGET: &str = "sageapi::request";

/// Target of spans within a request or a run. It is never logged, so that without a collector none is created,
/// whatever the log level, at the cost of one atomic load.
pub const TRACE_TARGET: &str = "sageapi::trace";

/// This program.
pub const SERVICE: Service = Service {
    name: "sageapi",
    version: env!("CARGO_PKG_VERSION"),
    traced: &[REQUEST_TARGET, TRACE_TARGET],
    unlogged: &[TRACE_TARGET],
};

/// A child of the current span, if that is recorded.
macro_rules! child_span {
    ($name:expr $(, $($fields:tt)*)?) => {
        if $crate::telemetry::tracing::is_recording() {
            ::tracing::debug_span!(
                target: $crate::telemetry::tracing::TRACE_TARGET, $name $(, $($fields)*)?
            )
        } else {
            ::tracing::Span::none()
        }
    };
}
pub(crate) use child_span;

/// Links a request's span with the span of the batch that serves it, in both directions. Empty if the request is not
/// recorded.
#[derive(Debug, Clone, Default)]
pub struct Handoff(Option<Arc<Carried>>);

#[derive(Debug)]
struct Carried {
    from: SpanContext,
    waiting: Mutex<Option<Span>>,
    done_in: Mutex<Vec<SpanContext>>,
}

impl Handoff {
    /// Starts the wait in the current span.
    pub fn begin() -> Self {
        if !is_recording() {
            return Self(None);
        }
        Self(recorded(&Span::current()).map(|from| {
            let waiting = tracing::debug_span!(target: TRACE_TARGET, "queue");
            let (waiting, done_in) = (Mutex::new(Some(waiting)), Mutex::default());
            Arc::new(Carried { from, waiting, done_in })
        }))
    }

    /// Ends the wait, and links the current span to those of the batches.
    pub fn end(&self) {
        let Some(carried) = &self.0 else { return };
        carried.taken();
        let current = Span::current();
        for span in carried.done_in.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            current.add_link(span);
        }
    }

    /// A span for a batch: in a trace of its own, linked with the requests that are recorded; disabled if there are
    /// none.
    pub fn joint_span<'a>(
        name: &'static str,
        items: usize,
        handoffs: impl Iterator<Item = &'a Self>,
    ) -> Span {
        let mut joined: Vec<&Arc<Carried>> = handoffs.filter_map(|handoff| handoff.0.as_ref()).collect();
        if joined.is_empty() {
            return Span::none();
        }
        // Items of one request share its links.
        joined.dedup_by(|a, b| Arc::ptr_eq(a, b));
        let span = tracing::debug_span!(
            target: TRACE_TARGET,
            parent: None,
            "joint",
            "otel.name" = name,
            "sageapi.items" = items,
            "error.type" = tracing::field::Empty,
            "otel.status_code" = tracing::field::Empty,
        );
        for carried in &joined {
            carried.taken();
            span.add_link(carried.from.clone());
        }
        if let Some(context) = recorded(&span) {
            for carried in joined {
                carried.done_in.lock().unwrap_or_else(PoisonError::into_inner).push(context.clone());
            }
        }
        span
    }
}

impl Carried {
    fn taken(&self) {
        drop(self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}
