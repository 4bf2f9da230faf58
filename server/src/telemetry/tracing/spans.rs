//! Spans within a request or a run, which go to the collector alone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Target of these spans, of level DEBUG. Logs never show it, so that without a collector none is made, whatever is
/// logged, at the cost of one atomic load.
pub const TRACE_TARGET: &str = "sageapi::trace";

/// Whether spans are exported. Not asked of the subscriber: a layer with a filter takes the answer to a question that no
/// span follows for its answer about the next event, and loses that.
static EXPORTED: AtomicBool = AtomicBool::new(false);

/// Takes it that spans are exported from now on.
pub(super) fn begin_export() {
    EXPORTED.store(true, Ordering::Relaxed);
}

/// Whether the current span is recorded, so that spans below it are worth their while.
pub fn is_recording() -> bool {
    EXPORTED.load(Ordering::Relaxed) && recorded(&Span::current()).is_some()
}

fn recorded(span: &Span) -> Option<SpanContext> {
    let context = span.context().span().span_context().clone();
    context.is_sampled().then_some(context)
}

/// Makes a span below the current one, if that is recorded.
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

/// Notes on a span how it failed: a stable word, never what was asked or answered.
pub fn failed(span: &Span, class: &str) {
    span.record("error.type", class);
    span.record("otel.status_code", "ERROR");
}

/// What a request takes along to where many are done at once: its span, for those to link to, and in return theirs,
/// for it to link to. Nothing, where the request is not recorded.
#[derive(Debug, Clone, Default)]
pub struct Handoff(Option<Arc<Carried>>);

#[derive(Debug)]
struct Carried {
    from: SpanContext,
    waiting: Mutex<Option<Span>>,
    done_in: Mutex<Vec<SpanContext>>,
}

impl Handoff {
    /// Begins to wait, in the current span.
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

    /// Ends the wait, and links the current span to those in which things were done.
    pub fn end(&self) {
        let Some(carried) = &self.0 else { return };
        carried.taken();
        let current = Span::current();
        for span in carried.done_in.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            current.add_link(span);
        }
    }

    /// A span for what is done at once for these: in a trace of its own, linked with those that are recorded, and none
    /// where none is.
    pub fn joint_span<'a>(
        name: &'static str,
        items: usize,
        handoffs: impl Iterator<Item = &'a Self>,
    ) -> Span {
        let mut joined: Vec<&Arc<Carried>> = handoffs.filter_map(|handoff| handoff.0.as_ref()).collect();
        if joined.is_empty() {
            return Span::none();
        }
        // Neighbours of one request share what it takes along.
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
