use std::io::{self, Write};

use http::HeaderMap;
use sageapi_runtime::telemetry::{Guard, LogFormat, Otlp, subscriber};
use tokio::net::TcpSocket;
use tracing::Subscriber;
use tracing::subscriber::with_default;

use super::*;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn set_up(level: &str, otlp: Option<String>) -> (impl Subscriber + Send + Sync, Guard, Lines) {
    let lines = Lines::default();
    let writer = lines.clone();
    let otlp = otlp.map(|endpoint| Otlp { endpoint, sampling_ratio: 0.0, instance: String::new() });
    let set_up = subscriber(&SERVICE, level, LogFormat::Json, otlp, move || writer.clone(), false);
    let (subscriber, guard) = set_up.unwrap();
    (subscriber, guard, lines)
}

#[test]
fn spans_within_requests_are_for_a_collector_alone() {
    let (subscriber, _guard, lines) = set_up("trace,sageapi::trace=trace", None);
    with_default(subscriber, || {
        let request = tracing::debug_span!(target: REQUEST_TARGET, "request").entered();
        assert!(!request.is_disabled() && !is_recording());
        assert!(child_span!("price", "a" = 1).is_disabled());
        let _within = tracing::debug_span!(target: TRACE_TARGET, parent: None, "sync", secret = 7).entered();
        tracing::info!("a line");
    });
    let text = lines.text();
    assert!(text.contains("a line") && !text.contains("secret"), "the log does not show them: {text}");
}

#[tokio::test]
async fn spans_within_requests_are_made_where_those_are_recorded() {
    let closed = TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = format!("http://{}", closed.local_addr().unwrap());
    let (subscriber, guard, lines) = set_up("trace", Some(address));
    with_default(subscriber, || {
        for (flags, recorded) in [("01", true), ("00", false)] {
            let request = tracing::debug_span!(target: REQUEST_TARGET, "request");
            let parent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
            let name = http::HeaderName::from_static("traceparent");
            set_parent(&request, &HeaderMap::from_iter([(name, parent.try_into().unwrap())]));
            let _within = request.entered();
            assert_eq!(!child_span!("price").is_disabled(), recorded);
            let handoffs = [Handoff::begin(), Handoff::default()];
            let joint = Handoff::joint_span("commit", 2, handoffs.iter());
            assert_eq!(!joint.is_disabled(), recorded);
        }
        assert!(!is_recording(), "outside of a request");
        let _within = tracing::debug_span!(target: TRACE_TARGET, "price", secret = 7).entered();
        tracing::info!("a line");
    });
    guard.shutdown().await;
    assert!(!lines.text().contains("secret"), "the log does not show them: {}", lines.text());
}
