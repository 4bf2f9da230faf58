//! The state of a span, and its failure.

use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Whether spans are exported. Not asked of the subscriber: a layer with a filter takes the answer to a question that no
/// span follows for its answer about the next event, and loses that event.
static EXPORTED: AtomicBool = AtomicBool::new(false);

/// From now on spans are exported.
pub(super) fn begin_export() {
    EXPORTED.store(true, Ordering::Relaxed);
}

/// Whether the current span is recorded, so that child spans are worth creating.
pub fn is_recording() -> bool {
    EXPORTED.load(Ordering::Relaxed) && recorded(&Span::current()).is_some()
}

/// The context of a span that is recorded.
pub fn recorded(span: &Span) -> Option<SpanContext> {
    let context = span.context().span().span_context().clone();
    context.is_sampled().then_some(context)
}

/// Records on a span how it failed: one stable word, never the content of a request or response.
pub fn mark_failed(span: &Span, kind: &str) {
    span.record("error.type", kind);
    span.record("otel.status_code", "ERROR");
}
