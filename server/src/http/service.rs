//! From a request to its answer: routing, authentication, the time limit. Every request gets a request id, is counted,
//! and has a documented answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response};
use http_body::Body;
use tracing::{Instrument as _, Span};

use crate::domain::Error;
use crate::domain::auth::{Authenticated, claimed_key};
use crate::env::ServerEnv;
use crate::signing::SignedRequest;
use crate::telemetry::tracing::{child_span, set_parent};

use super::AnswerBody;
use super::answer_log::{AnswerLine, Caller};
use super::call::Call;
use super::endpoints;
use super::listener::{BoxError, read_body};
use super::metrics::HttpMetrics;
use super::origin::{Origin, host_fault};
use super::params::Params;
use super::problem::{Code, Occurrence, Problem};
use super::request_id::{CLIENT_REQUEST_ID, REQUEST_ID, RequestIds, of_client};
use super::respond::{Answer, without_body};
use super::router::{Router, Target};
use super::routes::{self, Access, MERGE_PATCH, NDJSON, Route};
use super::tag::Tag;
use super::trace;

/// The REST API of one server. Clones share everything.
#[derive(Clone)]
pub struct Api {
    shared: Arc<Shared>,
}

struct Shared {
    env: ServerEnv,
    metrics: HttpMetrics,
    router: Router,
    ids: RequestIds,
}

/// [`Api`] for one connection.
#[derive(Clone)]
pub struct ApiService {
    api: Api,
    peer: SocketAddr,
}

impl Api {
    /// The API of `env`, which has one: its metrics are registered here. Fails only if two routes contradict each other.
    pub fn new(env: ServerEnv) -> Result<Self, matchit::InsertError> {
        let metrics = HttpMetrics::register(env.metrics());
        let router = Router::new(endpoints::routes(), &metrics)?;
        let ids = RequestIds::new(env.entropy().as_ref());
        Ok(Self { shared: Arc::new(Shared { env, metrics, router, ids }) })
    }

    /// The service of a connection from `peer`.
    pub fn for_peer(&self, peer: SocketAddr) -> ApiService {
        ApiService { api: self.clone(), peer }
    }

    /// Answers a request from `peer`.
    pub async fn answer<B>(&self, request: Request<B>, peer: SocketAddr) -> Response<AnswerBody>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let Shared { env, metrics, router, ids } = &*self.shared;
        let started = env.clock().monotonic();
        let _in_flight = metrics.request_started();
        let id = ids.next();
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let found = router.find(&parts.method, path);
        let span = trace::span(&parts, peer, found.pattern, id.as_str());
        set_parent(&span, &parts.headers);

        // Pinned where it is made: it is large, and each layer around it would move it.
        let caller = OnceLock::new();
        let handled = std::pin::pin!(self.handle(&parts, body, peer, found.target, id.as_str(), &caller));
        let handled = within(env.config().server.request_timeout, handled);
        let (mut response, code) = match handled.instrument(span.clone()).await {
            Ok(answer) => (answer.into_response(&parts.method, &parts.headers), None),
            Err(problem) => {
                let code = problem.code();
                if code.status() == http::StatusCode::UNAUTHORIZED {
                    metrics.auth_failure(code.as_str());
                }
                let at = Occurrence { request_id: id.as_str(), path, now: env.clock().now() };
                (span.in_scope(|| problem.into_response(at)), Some(code))
            }
        };
        if parts.method == Method::HEAD {
            response = without_body(response);
        }
        let headers = response.headers_mut();
        if let Some(id) = id.header() {
            headers.insert(REQUEST_ID, id);
        }
        if let Some(id) = of_client(&parts.headers) {
            headers.insert(CLIENT_REQUEST_ID, id);
        }
        trace::note_status(&span, response.status());
        let taken = env.clock().monotonic().saturating_sub(started);
        found.metrics.request(&parts.method, response.status(), taken.as_secs_f64());
        AnswerLine {
            request_id: id.as_str(),
            method: &parts.method,
            route: found.pattern,
            status: response.status(),
            code,
            taken,
            caller: caller.get(),
        }
        .write();
        response
    }

    async fn handle<B>(
        &self,
        parts: &Parts,
        body: B,
        peer: SocketAddr,
        target: Target<'_>,
        request_id: &str,
        caller: &OnceLock<Caller>,
    ) -> Result<Answer, Problem>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let route = match target {
            Target::Route(route) => route,
            Target::OtherMethods(allow) => return Err(Problem::method_not_allowed(allow)),
            Target::Nothing => return Err(Problem::no_route()),
        };
        if let Some(what) = host_fault(parts) {
            return Err(Problem::new(Code::InvalidRequest, what));
        }
        let env = &self.shared.env;
        if route.tag == Tag::Auth && !env.sign_in().is_on() {
            return Err(Problem::no_route());
        }
        if !env.is_started() && (route.access != Access::Open || route.is_write()) {
            return Err(Error::StoreUnavailable(
                "the database schema does not fit this program yet".to_owned(),
            )
            .into());
        }
        let span = if route.access == Access::Open { Span::none() } else { child_span!("authenticate") };
        let config = env.config();
        let origin = Origin::of(parts, peer.ip(), &config.server);
        let address = origin.client;
        let (authenticated, body) = self.admit(route, parts, body, origin, caller).instrument(span).await?;
        if route.is_write() && route.access != Access::Event && env.config().server.read_only {
            return Err(Error::ReadOnly.into());
        }
        if route.access != Access::Event && route.body.is_some() && !body.is_empty() {
            check_content_type(&parts.headers, route)?;
        }
        let params = Params::parse(parts.uri.query(), route)?;
        let (headers, path) = (&parts.headers, parts.uri.path());
        let call = Call { env, headers, params, body, route, request_id, path, address, authenticated };
        Ok((route.handler)(call).await?)
    }

    /// Authenticates the request, as far as the route needs it, and reads the body. No body is read before the
    /// credentials are checked. `caller` is set for the log, whether the request is let in or not.
    async fn admit<B>(
        &self,
        route: &'static Route,
        parts: &Parts,
        body: B,
        origin: Origin<'_>,
        caller: &OnceLock<Caller>,
    ) -> Result<(Option<Authenticated>, Bytes), Problem>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let env = &self.shared.env;
        let scope = match route.access {
            Access::Open if !route.body.is_some() => return Ok((None, Bytes::new())),
            Access::Open | Access::Event => {
                refuse_encoding(&parts.headers)?;
                return Ok((None, self.read(body, route).await?));
            }
            Access::Authenticated | Access::SignedIn | Access::Scope(_) => route.access.scope(),
        };
        let signed = SignedRequest {
            method: &parts.method,
            scheme: origin.scheme,
            authority: origin.authority,
            target_origin: origin.of_target,
            path: parts.uri.path(),
            query: parts.uri.query(),
            headers: &parts.headers,
        };
        let identified = env.auth().identify(&signed, !body.is_end_stream()).await;
        let who = match &identified {
            Ok(identified) => match (identified.key_id(), identified.user_id()) {
                (Some(key), _) => Some(Caller::Key(key.clone())),
                (None, user) => user.cloned().map(Caller::User),
            },
            Err(_) => claimed_key(&parts.headers).map(Caller::Key),
        };
        if let Some(who) = who {
            caller.get_or_init(|| who);
        }
        let identified = identified?;
        refuse_encoding(&parts.headers)?;
        let body = self.read(body, route).await?;
        let authenticated = env.auth().authorize(identified, &parts.headers, &body, origin.client, scope)?;
        if route.access == Access::SignedIn {
            authenticated.principal.signed_in()?;
        }
        Ok((Some(authenticated), body))
    }

    async fn read<B>(&self, body: B, route: &Route) -> Result<Bytes, Problem>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let server = &self.shared.env.config().server;
        // A body that takes longer leaves too little time for the work.
        let most = if route.is_bulk() { server.max_batch_bytes } else { server.max_body_bytes };
        let reading = read_body(body, most, server.request_timeout / 2);
        Ok(reading.instrument(child_span!("read body")).await?)
    }
}

impl<B> tower::Service<Request<B>> for ApiService
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Self { api, peer } = self.clone();
        Box::pin(async move { Ok(api.answer(request, peer).await) })
    }
}

/// The outcome of handling; a panic or a timeout is a problem.
async fn within<T>(
    limit: Duration,
    handling: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    match tokio::time::timeout(limit, AssertUnwindSafe(handling).catch_unwind()).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(Problem::panicked(format!("a handler panicked: {}", text.as_deref().unwrap_or("no text"))))
        }
        Err(_elapsed) => Err(Problem::deadline()),
    }
}

/// Refuses encoded bodies: the digest is signed over the bytes as sent. `identity` is no encoding.
fn refuse_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let is_none = |coding: &str| coding.is_empty() || coding.eq_ignore_ascii_case("identity");
    let mut lines = headers.get_all(CONTENT_ENCODING).iter();
    if !lines.all(|line| line.to_str().is_ok_and(|line| line.split(',').map(str::trim).all(is_none))) {
        return Err(Problem::new(Code::UnsupportedMediaType, "send the body without content-encoding"));
    }
    Ok(())
}

/// Takes JSON, NDJSON where many items are taken at once, and a merge patch where one is taken.
fn check_content_type(headers: &HeaderMap, route: &Route) -> Result<(), Problem> {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    let takes = |name: &str| essence.eq_ignore_ascii_case(name);
    let (other, detail) = match route.body {
        routes::Body::Bulk { .. } => {
            (Some(NDJSON), "send the body as content-type application/json or application/x-ndjson")
        }
        routes::Body::MergePatch(_) => (
            Some(MERGE_PATCH),
            "send the body as content-type application/merge-patch+json or application/json",
        ),
        routes::Body::None | routes::Body::Json(_) | routes::Body::OptionalJson(_) => {
            (None, "send the body as content-type application/json")
        }
    };
    if takes("application/json") || other.is_some_and(takes) {
        return Ok(());
    }
    Err(Problem::new(Code::UnsupportedMediaType, detail))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::super::endpoints::route;
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_panic_is_an_internal_error() {
        let problem = within(SOON, async { if true { panic!("boom") } else { Ok(()) } }).await.unwrap_err();
        assert_eq!(problem.code(), Code::Internal);
    }

    #[tokio::test]
    async fn what_takes_too_long_is_overload() {
        let problem = within(Duration::from_millis(1), std::future::pending::<Result<(), Problem>>())
            .await
            .unwrap_err();
        assert_eq!(problem.code(), Code::Overloaded);
        assert!(within(SOON, async { Ok(()) }).await.is_ok());
    }

    #[test]
    fn identity_is_no_coding() {
        let taken = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CONTENT_ENCODING, HeaderValue::from_str(line).unwrap());
            }
            refuse_encoding(&headers).is_ok()
        };
        assert!(
            taken(&[]) && taken(&["identity"]) && taken(&["Identity, identity"]) && taken(&["", "identity"])
        );
        for coded in
            [&["gzip"][..], &["identity, gzip"], &["identity", "br"], &["identityx"], &["identity;q=1"]]
        {
            assert!(!taken(coded), "{coded:?}");
        }
    }

    #[test]
    fn json_may_have_parameters_and_ndjson_is_for_many_things() {
        let takes = |id, value: &str| {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_str(value).unwrap())]);
            check_content_type(&headers, route(id)).is_ok()
        };
        let one = |value: &str| takes("createAccounting", value);
        assert!(one("application/json") && one("Application/JSON; charset=utf-8"));
        assert!(!one("application/jsonp") && !one("text/plain") && !one("application/problem+json"));
        assert!(!one(NDJSON) && takes("createAccountingBatch", NDJSON));
        assert!(takes("createAccountingBatch", "application/json"));
        assert!(check_content_type(&HeaderMap::new(), route("createAccountingBatch")).is_err());
    }
}
