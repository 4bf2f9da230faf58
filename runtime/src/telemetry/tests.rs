//! Log lines into memory, spans into a collector on the loopback.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;
use tracing::subscriber::with_default;

use super::*;

/// Longer than any wait of a passing test.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);
const REQUEST_TARGET: &str = "sageapi::request";
const SERVICE: Service =
    Service { name: "sageapi", version: "1.2.3", traced: &[REQUEST_TARGET], unlogged: &["private"] };
const TRACE: [u8; 16] = *b"0123456789abcdef";
const CALLER: [u8; 8] = *b"callerid";

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

fn traceparent(flags: &str) -> HeaderMap {
    let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let value = format!("00-{}-{}-{flags}", hex(&TRACE), hex(&CALLER));
    HeaderMap::from_iter([(
        http::HeaderName::from_static("traceparent"),
        HeaderValue::try_from(value).unwrap(),
    )])
}

fn set_up(
    level: &str,
    format: LogFormat,
    otlp: Option<&str>,
) -> (impl Subscriber + Send + Sync, Guard, Lines) {
    let lines = Lines::default();
    let writer = lines.clone();
    let otlp = otlp.map(|endpoint| Otlp {
        endpoint: endpoint.to_owned(),
        sampling_ratio: 0.0,
        instance: "instance-7".to_owned(),
    });
    let (subscriber, guard) =
        subscriber(&SERVICE, level, format, otlp, move || writer.clone(), false).unwrap();
    (subscriber, guard, lines)
}

/// A collector that hands over the path and body of each export; `status` is its answer.
async fn collector() -> (String, mpsc::UnboundedReceiver<(String, Bytes)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sender = sender.clone();
            let answer = service_fn(move |request: Request<Incoming>| {
                let sender = sender.clone();
                async move {
                    let path = request.uri().path().to_owned();
                    let body = request.into_body().collect().await?.to_bytes();
                    let _test_is_over = sender.send((path, body));
                    Ok::<_, hyper::Error>(Response::new(Full::<Bytes>::default()))
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    });
    (address, receiver)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn one_request(headers: &HeaderMap) -> HeaderMap {
    let span = tracing::debug_span!(target: REQUEST_TARGET, "GET /users", otel.kind = "server");
    set_parent(&span, headers);
    let mut outgoing = HeaderMap::new();
    inject(&span, &mut outgoing);
    outgoing
}

#[tokio::test]
async fn a_sampled_request_reaches_the_collector_under_its_callers_trace() {
    let (address, mut exports) = collector().await;
    let (subscriber, guard, lines) = set_up("info", LogFormat::Json, Some(&format!("{address}/")));
    let outgoing = with_default(subscriber, || one_request(&traceparent("01")));
    guard.shutdown().await;

    let (path, body) = tokio::time::timeout(TEST_TIMEOUT, exports.recv()).await.unwrap().unwrap();
    assert_eq!(path, "/v1/traces");
    for part in [&TRACE[..], &CALLER, b"GET /users", b"sageapi", b"1.2.3", b"instance-7"] {
        assert!(contains(&body, part), "{:?} is not in the export", String::from_utf8_lossy(part));
    }
    // The request that we make carries the same trace, with our span as the parent.
    let told = outgoing["traceparent"].to_str().unwrap();
    let mine = span_context_from_traceparent(told).unwrap();
    assert_eq!((mine.trace_id().to_bytes(), mine.is_sampled()), (TRACE, true));
    assert!(contains(&body, &mine.span_id().to_bytes()));
    assert_eq!(outgoing.get("tracestate"), None);
    assert_eq!(lines.text(), "", "a request writes no log line at info");
}

#[tokio::test]
async fn what_the_caller_does_not_sample_and_the_ratio_leaves_out_is_not_exported() {
    let (address, mut exports) = collector().await;
    let (subscriber, guard, _) = set_up("info", LogFormat::Json, Some(&address));
    with_default(subscriber, || {
        one_request(&traceparent("00"));
        one_request(&HeaderMap::new());
        let mut twice = traceparent("01");
        twice.append("traceparent", twice["traceparent"].clone());
        one_request(&twice);
    });
    guard.shutdown().await;
    assert!(exports.try_recv().is_err());
}

#[tokio::test]
async fn a_collector_that_is_down_does_not_hold_up_the_end() {
    let closed = TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = format!("http://{}", closed.local_addr().unwrap());
    let (subscriber, guard, _) = set_up("info", LogFormat::Json, Some(&address));
    with_default(subscriber, || one_request(&traceparent("01")));
    tokio::time::timeout(TEST_TIMEOUT, guard.shutdown())
        .await
        .expect("the end must not wait for a collector");
}

#[test]
fn request_spans_are_disabled_without_otlp_and_debug_logs() {
    let (subscriber, _guard, _) = set_up("info", LogFormat::Json, None);
    with_default(subscriber, || {
        assert!(tracing::debug_span!(target: REQUEST_TARGET, "request").is_disabled());
        assert!(!tracing::info_span!("other").is_disabled());
    });
    let (subscriber, _guard, _) = set_up("info,sageapi::request=debug", LogFormat::Json, None);
    with_default(subscriber, || {
        assert!(!tracing::debug_span!(target: REQUEST_TARGET, "request").is_disabled());
    });
}

#[test]
fn json_lines_carry_the_fields_of_event_and_span() {
    let (subscriber, _guard, lines) = set_up("info", LogFormat::Json, None);
    with_default(subscriber, || {
        let _span = tracing::info_span!("sync", entity = "users").entered();
        tracing::info!(rows = 3, "a page was applied");
        tracing::debug!("not shown");
    });
    let text = lines.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    for part in
        [r#""level":"INFO""#, r#""message":"a page was applied""#, r#""rows":3"#, r#""entity":"users""#]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn text_lines_are_plain_when_stderr_is_no_terminal() {
    let (subscriber, _guard, lines) = set_up("warn", LogFormat::Text, None);
    with_default(subscriber, || {
        tracing::warn!(left = 1, "nearly full");
        tracing::info!("not shown");
    });
    let text = lines.text();
    assert!(
        text.ends_with("nearly full left=1\n") && !text.contains('\u{1b}') && text.lines().count() == 1,
        "{text}"
    );
}

#[test]
fn levels_are_a_level_and_pairs() {
    for good in ["info", "OFF", "warn,sageapi_server::sync=debug", "info, hyper=off"] {
        assert!(parse_levels(good).is_ok(), "{good}");
    }
    for bad in ["", "inf", "info,hyper", "hyper=loud", "=info", "info,"] {
        assert!(matches!(parse_levels(bad), Err(TelemetryError::Level(_))), "{bad}");
    }
}

#[test]
fn endpoints_are_base_addresses_without_credentials() {
    assert_eq!(traces_url("http://c:4318").unwrap(), "http://c:4318/v1/traces");
    assert_eq!(traces_url("https://c/otlp/").unwrap(), "https://c/otlp/v1/traces");
    for bad in ["", "c:4318", "grpc://c", "http://u:secret@c:4318", "http://c?x=1", "http://a b"] {
        let error = traces_url(bad).unwrap_err();
        assert!(matches!(error, TelemetryError::Endpoint(_)), "{bad}");
        assert!(!error.to_string().contains("secret"));
    }
}

#[test]
fn a_ratio_beyond_one_is_refused() {
    let otlp = Otlp { endpoint: "http://c:4318".to_owned(), sampling_ratio: 1.5, instance: String::new() };
    assert!(matches!(tracer_provider(&SERVICE, otlp), Err(TelemetryError::SamplingRatio(_))));
}

#[test]
fn private_targets_are_not_logged_at_any_level() {
    for level in ["warn", "trace", "private=trace,private::inner=trace,info"] {
        let (subscriber, _guard, lines) = set_up(level, LogFormat::Json, None);
        with_default(subscriber, || {
            tracing::warn!(target: "private::inner", "a secret");
            tracing::warn!(target: "sageapi", "our own");
        });
        let text = lines.text();
        assert!(text.contains("our own") && !text.contains("a secret"), "{level}: {text}");
    }
}

#[test]
fn a_misspelt_level_is_refused_with_advice() {
    let error = parse_levels("inof").unwrap_err().to_string();
    assert!(error.contains("inof") && error.contains("info"), "{error}");
}
