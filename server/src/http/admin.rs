//! The admin port: probes for the orchestrator, metrics, health. It knows no callers and is not meant to be
//! reached from outside.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};

use crate::env::ServerEnv;
use crate::telemetry::metrics::CONTENT_TYPE as OPENMETRICS;

use super::AnswerBody;
use super::answer_log::AnswerLine;
use super::endpoints::health_answer;
use super::metrics::UNMATCHED;
use super::problem::{Occurrence, Problem};
use super::request_id::{REQUEST_ID, RequestId, RequestIds};
use super::respond::without_body;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const METRICS: HeaderValue = HeaderValue::from_static(OPENMETRICS);

/// What the admin port answers to.
const PATHS: [&str; 5] = ["/livez", "/readyz", "/startupz", "/metrics", "/health"];

/// The service of the admin port.
#[derive(Clone)]
pub struct AdminService {
    env: ServerEnv,
    ids: Arc<RequestIds>,
}

impl AdminService {
    /// About `env`.
    pub fn new(env: ServerEnv) -> Self {
        let ids = Arc::new(RequestIds::new(env.entropy().as_ref()));
        Self { env, ids }
    }

    /// Answers a request; its body does not matter.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<AnswerBody> {
        let (parts, _unread) = request.into_parts();
        let started = self.env.clock().monotonic();
        let (path, id) = (parts.uri.path(), self.ids.next());
        let route = PATHS.into_iter().find(|known| *known == path).unwrap_or(UNMATCHED);
        let answer = match parts.method {
            Method::GET | Method::HEAD => self.get(route).await,
            _ => Err(Problem::method_not_allowed("GET, HEAD")),
        };
        let code = answer.as_ref().err().map(Problem::code);
        let mut response = answer.unwrap_or_else(|problem| self.problem(problem, path, id));
        if parts.method == Method::HEAD {
            response = without_body(response);
        }
        if let Some(id) = id.header() {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        AnswerLine {
            request_id: id.as_str(),
            method: &parts.method,
            route,
            status: response.status(),
            code,
            taken: self.env.clock().monotonic().saturating_sub(started),
            caller: None,
        }
        .write();
        response
    }

    async fn get(&self, route: &str) -> Result<Response<AnswerBody>, Problem> {
        Ok(match route {
            // Answering is enough; a restart would not bring back a lost database.
            "/livez" => probe(true, "alive"),
            "/readyz" => probe(self.env.is_ready(), "ready"),
            "/startupz" => probe(self.env.is_started(), "started"),
            "/metrics" => plain(StatusCode::OK, METRICS, self.env.metrics().encode().into()),
            "/health" => health_answer(&self.env).await?.into_response(&Method::GET, &http::HeaderMap::new()),
            _ => return Err(Problem::no_admin_route()),
        })
    }

    fn problem(&self, problem: Problem, path: &str, id: RequestId) -> Response<AnswerBody> {
        problem.into_response(Occurrence { request_id: id.as_str(), path, now: self.env.clock().now() })
    }
}

impl<B: Send + 'static> tower::Service<Request<B>> for AdminService {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.answer(request).await) })
    }
}

fn probe(holds: bool, what: &str) -> Response<AnswerBody> {
    let (status, not) = if holds { (StatusCode::OK, "") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ") };
    plain(status, TEXT, format!("{not}{what}\n").into())
}

fn plain(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
