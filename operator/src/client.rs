//! The one client of the operator: every request is counted, has a timeout, and is sent once. A write is sent only while
//! this process leads, so that no write can overlap another leader's.

mod span;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request, Response, Uri};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use tower::{BoxError, Layer, Service};
use tracing::Instrument as _;

use crate::claim::Claim;
use crate::heartbeats::Heartbeats;
use crate::kinds::Kind;
use crate::metrics::{KindLabel, Metrics, VerbLabel};
use crate::telemetry;
use sageapi_runtime::Clock;

/// How long a write may take. A claim must outlast it when the write starts.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a read may take; a page of a list is the slowest.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_SECONDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// One request to the API server. `code` is 0 if there was no answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The verb as RBAC names it.
    pub verb: &'static str,
    /// The resource as RBAC names it, with its subresource.
    pub resource: &'static str,
    /// The status code.
    pub code: u16,
}

/// Metrics of requests to the API server.
#[derive(Debug, Clone)]
pub struct ClientMetrics {
    /// Requests.
    pub requests: Family<RequestLabels, Counter>,
    /// Time to the head of the answer, except for watches.
    pub request_seconds: Family<VerbLabel, Histogram, fn() -> Histogram>,
    /// Writes that the API server accepted, the lease's as well.
    pub writes: Family<KindLabel, Counter>,
    /// When each watch was last answered.
    pub heartbeats: Heartbeats,
}

impl ClientMetrics {
    /// Registers them.
    pub fn register(metrics: &mut Metrics, heartbeats: Heartbeats) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(REQUEST_SECONDS);
        let writes: Family<KindLabel, Counter> =
            metrics.register("api_writes", "Writes that the API server accepted", Family::default());
        for kind in Kind::all().filter(|kind| kind.is_written()) {
            drop(writes.get_or_create(&KindLabel { kind: kind.name() }));
        }
        Self {
            requests: metrics.register("api_requests", "Requests to the API server", Family::default()),
            request_seconds: metrics.register(
                "api_request_duration_seconds",
                "Time to the head of the API server's answer, except for watches",
                Family::new_with_constructor(histogram),
            ),
            writes,
            heartbeats,
        }
    }
}

/// Why a request was not sent or not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The lease does not last until the write would be over.
    #[error("not sent: this replica does not lead, or its lease is about to end")]
    NotLeader,
    /// No answer in time.
    #[error("the API server did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
}

/// The [`RequestError`] behind an error of the client, if there is one.
pub fn request_error(error: &kube::Error) -> Option<RequestError> {
    match error {
        kube::Error::Service(cause) => cause.downcast_ref::<RequestError>().copied(),
        _ => None,
    }
}

/// An error of the client in one line: what the API server said, not how the client wraps it.
pub fn brief(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} ({} {})", status.message, status.code, status.reason),
        kube::Error::Service(cause) => cause.to_string(),
        other => other.to_string(),
    }
}

/// The client that everything in the operator uses.
///
/// # Errors
/// A configuration that the client cannot use: certificates, tokens, proxies.
pub fn connect(
    mut config: Config,
    claim: Arc<Claim>,
    clock: Arc<dyn Clock>,
    metrics: ClientMetrics,
) -> Result<Client, kube::Error> {
    // The default is 15 tries within one call: a throttled write would outlive the lease it started under.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    let gate = Gate { cluster: config.cluster_url.clone(), claim, clock, metrics };
    Ok(ClientBuilder::try_from(config)?.with_layer(&gate).build())
}

/// The layer that counts, limits and checks requests.
#[derive(Clone)]
struct Gate {
    cluster: Uri,
    claim: Arc<Claim>,
    clock: Arc<dyn Clock>,
    metrics: ClientMetrics,
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { gate: self.clone(), inner }
    }
}

struct Gated<S> {
    gate: Gate,
    inner: S,
}

impl<S, B> Service<Request<Body>> for Gated<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let call = Call::of(&request);
        let Gate { cluster, claim, clock, metrics } = self.gate.clone();
        let started = clock.monotonic();
        // The lease itself is what a write's permission comes from.
        if call.is_write() && call.kind != Kind::Lease.name() && !claim.covers(started, WRITE_TIMEOUT) {
            return Box::pin(async { Err(RequestError::NotLeader.into()) });
        }
        let span = span::of(&request, &cluster);
        telemetry::inject(&span, request.headers_mut());
        let limit = if call.is_write() { WRITE_TIMEOUT } else { READ_TIMEOUT };
        let answer = self.inner.call(request);
        let ended = span.clone();
        let exchange = async move {
            let result = match tokio::time::timeout(limit, answer).await {
                Ok(result) => result.map_err(Into::into),
                Err(_late) => Err(RequestError::TimedOut(limit).into()),
            };
            let code = result.as_ref().map_or(0, |response| response.status().as_u16());
            if code > 0 {
                ended.record("http.response.status_code", code);
            }
            if code == 0 || code >= 400 {
                let kind = if code == 0 { "no_answer".to_owned() } else { code.to_string() };
                telemetry::mark_failed(&ended, &kind);
            }
            let Call { verb, resource, kind } = call;
            metrics.requests.get_or_create(&RequestLabels { verb, resource, code }).inc();
            if verb != "watch" {
                let took = clock.monotonic().saturating_sub(started).as_secs_f64();
                metrics.request_seconds.get_or_create(&VerbLabel { verb }).observe(took);
            }
            if verb == "watch" && code == 200 {
                metrics.heartbeats.beat(kind, clock.monotonic());
            }
            if call.is_write() && (200..300).contains(&code) {
                metrics.writes.get_or_create(&KindLabel { kind }).inc();
            }
            result
        };
        Box::pin(exchange.instrument(span))
    }
}

/// A request as RBAC sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Call {
    verb: &'static str,
    resource: &'static str,
    kind: &'static str,
}

/// What a request that is about none of the operator's kinds is counted as.
const OTHER: &str = "other";

impl Call {
    fn of(request: &Request<Body>) -> Self {
        let uri = request.uri();
        // /api/v1/... or /apis/{group}/{version}/..., then namespaces/{namespace}/ where there is one.
        let mut parts = uri.path().split('/').filter(|part| !part.is_empty());
        let prefix = if parts.next() == Some("apis") { 2 } else { 1 };
        let mut rest: Vec<&str> = parts.skip(prefix).collect();
        if rest.len() > 2 && rest.first() == Some(&"namespaces") {
            rest.drain(..2);
        }
        let named = rest.len() > 1;
        let (plural, path) = match rest.as_slice() {
            [plural, _, subresource] => (*plural, format!("{plural}/{subresource}")),
            [plural, ..] => (*plural, (*plural).to_owned()),
            [] => ("", String::new()),
        };
        let row = Kind::all().map(Kind::row).find(|row| row.plural == plural);
        let resource = row.and_then(|row| {
            let resources = row.rights.iter().map(|(resource, _)| *resource);
            resources.chain([row.plural]).find(|resource| *resource == path)
        });
        let (resource, kind) =
            row.zip(resource).map_or((OTHER, OTHER), |(row, resource)| (resource, row.name));
        let watches =
            uri.query().is_some_and(|query| query.split('&').any(|part| part.starts_with("watch=")));
        let verb = match *request.method() {
            Method::GET if watches => "watch",
            Method::GET if named => "get",
            Method::GET => "list",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => OTHER,
        };
        Self { verb, resource, kind }
    }

    fn is_write(self) -> bool {
        !matches!(self.verb, "get" | "list" | "watch")
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use opentelemetry::trace::{SpanKind, Status};
    use tower::ServiceExt as _;

    use super::*;
    use crate::telemetry::tests::{Ended, attribute};
    use sageapi_runtime::ManualClock;

    fn request(method: Method, uri: &str) -> Request<Body> {
        Request::builder().method(method).uri(uri).body(Body::empty()).unwrap()
    }

    fn call(method: Method, uri: &str) -> (&'static str, &'static str) {
        let call = Call::of(&request(method, uri));
        (call.verb, call.resource)
    }

    #[test]
    fn a_request_is_named_as_rbac_names_it() {
        let deployments = "/apis/apps/v1/namespaces/billing/deployments";
        assert_eq!(call(Method::GET, "/api/v1/secrets?limit=500"), ("list", "secrets"));
        assert_eq!(call(Method::GET, "/api/v1/namespaces/billing/secrets/a"), ("get", "secrets"));
        assert_eq!(call(Method::GET, &format!("{deployments}?limit=5&watch=true")), ("watch", "deployments"));
        assert_eq!(call(Method::PATCH, &format!("{deployments}/prod?force=true")), ("patch", "deployments"));
        assert_eq!(call(Method::DELETE, &format!("{deployments}/prod?")), ("delete", "deployments"));
        assert_eq!(
            call(Method::PATCH, "/apis/sageapi.io/v1alpha1/namespaces/billing/sageapis/prod/status?"),
            ("patch", "sageapis/status")
        );
        assert_eq!(call(Method::POST, "/apis/batch/v1/namespaces/billing/jobs?"), ("create", "jobs"));
        assert_eq!(call(Method::GET, "/version"), ("list", "other"));
    }

    struct Bench {
        claim: Arc<Claim>,
        clock: Arc<ManualClock>,
        metrics: ClientMetrics,
    }

    impl Bench {
        fn new() -> Self {
            let metrics = ClientMetrics::register(&mut Metrics::default(), Heartbeats::default());
            Self { claim: Arc::default(), clock: Arc::default(), metrics }
        }

        async fn send<F>(&self, request: Request<Body>, answer: F) -> Result<StatusCode, BoxError>
        where
            F: Future<Output = Result<Response<()>, BoxError>> + Send + 'static,
        {
            let mut answer = Some(answer);
            self.send_to(request, move |_| answer.take().expect("sent once")).await
        }

        async fn send_to<F>(
            &self,
            request: Request<Body>,
            server: impl FnMut(Request<Body>) -> F,
        ) -> Result<StatusCode, BoxError>
        where
            F: Future<Output = Result<Response<()>, BoxError>> + Send + 'static,
        {
            let gate = Gate {
                cluster: Uri::from_static("https://cluster.example:6443/"),
                claim: Arc::clone(&self.claim),
                clock: self.clock.clone(),
                metrics: self.metrics.clone(),
            };
            Ok(gate.layer(tower::service_fn(server)).oneshot(request).await?.status())
        }
    }

    #[tokio::test]
    async fn a_request_is_a_span_by_the_conventions_and_tells_the_api_server_its_trace() {
        let ended = Ended::default();
        let subscriber = tracing::subscriber::set_default(ended.subscriber());
        let bench = Bench::new();
        let reconcile = tracing::debug_span!(target: telemetry::RECONCILE_TARGET, "reconcile");
        let read = request(Method::GET, "/api/v1/namespaces/billing/secrets/a?x=1");
        let received = Arc::<std::sync::Mutex<http::HeaderMap>>::default();
        let noted = Arc::clone(&received);
        let not_found = move |request: Request<Body>| {
            *noted.lock().unwrap() = request.headers().clone();
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::NOT_FOUND;
            std::future::ready(Ok(response))
        };
        bench.send_to(read, not_found).instrument(reconcile.clone()).await.unwrap();
        drop(reconcile);
        drop(subscriber);

        let span = ended.named("GET /api/v1/namespaces/{namespace}/secrets/{name}");
        assert_eq!(span.span_kind, SpanKind::Client);
        assert_eq!(span.parent_span_id, ended.named("reconcile").span_context.span_id());
        assert_eq!(span.status, Status::error(""));
        for (name, value) in [
            ("http.request.method", "GET"),
            ("http.response.status_code", "404"),
            ("error.type", "404"),
            ("server.address", "cluster.example"),
            ("server.port", "6443"),
            ("url.full", "https://cluster.example:6443/api/v1/namespaces/billing/secrets/a"),
            ("url.template", "/api/v1/namespaces/{namespace}/secrets/{name}"),
        ] {
            assert_eq!(attribute(&span, name).as_deref(), Some(value), "{name}");
        }
        let (trace, id) = (span.span_context.trace_id(), span.span_context.span_id());
        assert_eq!(received.lock().unwrap()["traceparent"], format!("00-{trace}-{id}-01"));
    }

    fn ok() -> std::future::Ready<Result<Response<()>, BoxError>> {
        std::future::ready(Ok(Response::new(())))
    }

    fn write() -> Request<Body> {
        request(Method::PATCH, "/apis/apps/v1/namespaces/billing/deployments/prod")
    }

    #[tokio::test]
    async fn a_write_leaves_only_while_the_claim_outlasts_it() {
        let bench = Bench::new();
        let refused = |result: Result<StatusCode, BoxError>| {
            result.is_err_and(|e| e.downcast_ref() == Some(&RequestError::NotLeader))
        };
        assert!(refused(bench.send(write(), ok()).await), "nothing is claimed");
        bench.claim.extend_until(Duration::from_secs(12));
        assert!(bench.send(write(), ok()).await.is_ok());
        bench.clock.advance(Duration::from_millis(8_999));
        assert!(bench.send(write(), ok()).await.is_ok());
        bench.clock.advance(Duration::from_millis(1));
        assert!(refused(bench.send(write(), ok()).await), "3 s are left, and a write may take as long");
        let writes = bench.metrics.writes.get_or_create(&KindLabel { kind: "Deployment" }).get();
        assert_eq!(writes, 2, "a write that did not leave is not counted");
    }

    #[tokio::test]
    async fn reads_and_the_lease_need_no_claim() {
        let bench = Bench::new();
        let read = request(Method::GET, "/api/v1/namespaces/billing/secrets/a");
        assert!(bench.send(read, ok()).await.is_ok());
        let lease = request(Method::PUT, "/apis/coordination.k8s.io/v1/namespaces/o/leases/sageapi-operator");
        assert!(bench.send(lease, ok()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_without_an_answer_ends_in_time_and_is_not_sent_again() {
        let bench = Bench::new();
        bench.claim.extend_until(Duration::from_secs(12));
        let error = bench.send(write(), std::future::pending()).await.unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&RequestError::TimedOut(WRITE_TIMEOUT)));
        let labels = RequestLabels { verb: "patch", resource: "deployments", code: 0 };
        assert_eq!(bench.metrics.requests.get_or_create(&labels).get(), 1);
    }
}
