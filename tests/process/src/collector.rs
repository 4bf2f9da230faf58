//! A real OpenTelemetry collector, and the spans that reach it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sageapi_test_cluster::{Tool, Tools};
use serde_json::Value;

use crate::waiting::until;

const SOON: Duration = Duration::from_secs(30);

/// A span as the collector has it.
#[derive(Debug, Clone)]
pub struct Span {
    /// Its trace.
    pub trace: String,
    /// Its id.
    pub id: String,
    /// The span above it; empty for the first of a trace.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// SPAN_KIND_INTERNAL 1, SERVER 2, CLIENT 3.
    pub kind: u64,
    /// 2 is an error.
    pub status: u64,
    /// Trace and id of what it is linked with.
    pub links: Vec<(String, String)>,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
}

/// A collector at work; killed when dropped.
#[derive(Debug)]
pub struct Collector {
    child: Child,
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    /// Starts one, and builds it first where it was never built.
    pub async fn start() -> Self {
        let tools = tokio::task::spawn_blocking(|| Tools::ready(&[Tool::Collector])).await.unwrap();
        let program = tools.unwrap_or_else(|why| panic!("{why}")).path(Tool::Collector);
        // A port that was free a moment ago may be somebody else's now.
        for _ in 0..5 {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = free.local_addr().unwrap();
            drop(free);
            let mut child = Command::new(&program)
                .arg(address.to_string())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
            let spans = Arc::new(Mutex::new(Vec::new()));
            let (lines, into) = (BufReader::new(child.stdout.take().unwrap()), spans.clone());
            std::thread::spawn(move || {
                for line in lines.lines().map_while(Result::ok) {
                    into.lock().unwrap_or_else(PoisonError::into_inner).extend(read(&line));
                }
            });
            let mut collector = Self { child, address, spans };
            let listens = async || tokio::net::TcpStream::connect(address).await.is_ok().then_some(());
            let started = tokio::time::timeout(SOON, async {
                while listens().await.is_none() {
                    if collector.child.try_wait().unwrap().is_some() {
                        return false;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                true
            });
            if started.await.expect("the collector listens in time") {
                return collector;
            }
        }
        panic!("the collector finds no port");
    }

    /// What `telemetry.otlp_endpoint` is set to.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every span so far.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a span is there that is the wanted one.
    pub async fn wait_for(&self, what: &str, wanted: impl Fn(&Span) -> bool) -> Span {
        let found = || async { self.spans().into_iter().find(|span| wanted(span)) };
        until(what, SOON, found).await.0
    }

    /// The spans below one.
    pub fn children(&self, parent: &Span) -> Vec<Span> {
        self.spans().into_iter().filter(|s| s.trace == parent.trace && s.parent == parent.id).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The spans of one request to the collector, which wrote them as OTLP JSON.
fn read(line: &str) -> Vec<Span> {
    let exported: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    let mut spans = Vec::new();
    for resource in list(&exported, "resourceSpans") {
        for scope in list(&resource, "scopeSpans") {
            for span in list(&scope, "spans") {
                let text = |name: &str| span[name].as_str().unwrap_or_default().to_owned();
                let pair = |link: &Value| {
                    let text = |name: &str| link[name].as_str().unwrap_or_default().to_owned();
                    (text("traceId"), text("spanId"))
                };
                spans.push(Span {
                    trace: text("traceId"),
                    id: text("spanId"),
                    parent: text("parentSpanId"),
                    name: text("name"),
                    kind: span["kind"].as_u64().unwrap_or_default(),
                    status: span["status"]["code"].as_u64().unwrap_or_default(),
                    links: list(&span, "links").iter().map(pair).collect(),
                    attributes: list(&span, "attributes").iter().filter_map(attribute).collect(),
                });
            }
        }
    }
    spans
}

/// Numbers of 64 bits are texts in OTLP JSON.
fn attribute(pair: &Value) -> Option<(String, String)> {
    let value = pair["value"].as_object()?.values().next()?;
    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Some((pair["key"].as_str()?.to_owned(), value))
}
