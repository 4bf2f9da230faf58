use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use http::HeaderMap;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter as Exports};
use sageapi_runtime::telemetry::{LogFormat, span_layer, subscriber};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(level: &str, log: impl FnOnce()) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let (subscriber, _guard) =
        subscriber(&SERVICE, level, LogFormat::Json, None, move || writer.clone(), false).unwrap();
    tracing::subscriber::with_default(subscriber, log);
    String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
}

#[test]
fn bodies_that_the_client_would_log_are_not_logged_at_any_level() {
    let log = || {
        tracing::warn!(target: "kube_client::client", "a Secret");
        tracing::warn!(target: "sageapi_operator", "our own");
    };
    for level in ["warn", "trace", "kube_client=trace,info"] {
        let text = logged(level, log);
        assert!(text.contains("our own") && !text.contains("a Secret"), "{level}: {text}");
    }
}

/// Spans that ended, in that order, as an exporter gets them.
#[derive(Debug, Clone, Default)]
pub struct Ended(Arc<Mutex<Vec<SpanData>>>);

impl Ended {
    /// Every span is sampled, but for those whose parent is not.
    pub fn subscriber(&self) -> impl Subscriber + Send + Sync + use<> {
        // While there is just one subscriber, a thread without one that comes to a span first decides for all threads
        // that nobody wants it.
        static ANOTHER: OnceLock<tracing::Dispatch> = OnceLock::new();
        ANOTHER.get_or_init(|| tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default()));
        let provider = SdkTracerProvider::builder().with_simple_exporter(self.clone()).build();
        Registry::default().with(span_layer(&SERVICE, &provider))
    }

    pub fn spans(&self) -> Vec<SpanData> {
        self.0.lock().unwrap().clone()
    }

    pub fn named(&self, name: &str) -> SpanData {
        let spans = self.spans();
        let found = spans.iter().find(|span| span.name == name).cloned();
        found.unwrap_or_else(|| {
            panic!("{name} is not among {:?}", spans.iter().map(|s| &s.name).collect::<Vec<_>>())
        })
    }
}

/// An attribute as text.
pub fn attribute(span: &SpanData, name: &str) -> Option<String> {
    span.attributes.iter().find(|one| one.key.as_str() == name).map(|one| one.value.to_string())
}

impl Exports for Ended {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

#[test]
fn a_gate_is_a_span_of_the_reconcile_and_says_whether_it_is_open() {
    let ended = Ended::default();
    tracing::subscriber::with_default(ended.subscriber(), || {
        let reconcile = tracing::debug_span!(target: RECONCILE_TARGET, "reconcile");
        reconcile.in_scope(|| gate("credentials", || Err::<(), _>(()), Result::is_ok)).unwrap_err();
    });
    let (gate, reconcile) = (ended.named("gate credentials"), ended.named("reconcile"));
    assert_eq!(gate.parent_span_id, reconcile.span_context.span_id());
    assert_eq!(attribute(&gate, "sageapi.gate.open").as_deref(), Some("false"));
    assert_eq!(attribute(&gate, "sageapi.gate.name").as_deref(), Some("credentials"));
}

#[test]
fn without_a_collector_there_are_no_spans() {
    let (subscriber, _guard) = subscriber(&SERVICE, "info", LogFormat::Json, None, io::sink, false).unwrap();
    // Spans are of level DEBUG. Asked of the subscriber, because others that tests set up have a say in each span.
    assert_eq!(subscriber.max_level_hint(), Some(LevelFilter::INFO));
    tracing::subscriber::with_default(subscriber, || {
        let mut headers = HeaderMap::new();
        inject(&tracing::debug_span!(target: REQUEST_TARGET, "request"), &mut headers);
        assert!(headers.is_empty());
    });
}
