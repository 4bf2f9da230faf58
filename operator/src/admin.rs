//! The operator's own port: probes for the orchestrator, and metrics.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use sageapi_contract::{LIVENESS_PATH, METRICS_PATH, READINESS_PATH};
use sageapi_runtime::listener::{self, Limits};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::{self, Metrics};

/// Probes and scrapes are few; more connections than this wait.
const MAX_CONNECTIONS: usize = 64;

/// What the probes tell.
#[derive(Debug, Default)]
pub struct Health {
    ready: AtomicBool,
}

impl Health {
    /// The caches are filled, or the process is about to end.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// Whether this replica could act.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }
}

/// Answers until `stop`.
pub async fn serve(
    listener: TcpListener,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let limits = Limits { max_connections: MAX_CONNECTIONS, ..Limits::default() };
    listener::serve(listener, limits, stop.clone(), stop, |_| {
        let (health, metrics) = (Arc::clone(&health), Arc::clone(&metrics));
        service_fn(move |request: Request<Incoming>| {
            let answer = answer(request.method(), request.uri().path(), &health, &metrics);
            async move { Ok::<_, Infallible>(answer) }
        })
    })
    .await;
}

fn answer(method: &Method, path: &str, health: &Health, metrics: &Metrics) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n");
    }
    match path {
        // Answering is enough: a vital task that ends, ends the process.
        LIVENESS_PATH => plain(StatusCode::OK, "alive\n"),
        READINESS_PATH if health.is_ready() => plain(StatusCode::OK, "ready\n"),
        READINESS_PATH => plain(StatusCode::SERVICE_UNAVAILABLE, "not ready: the caches are being filled\n"),
        METRICS_PATH => {
            let mut response = Response::new(Full::from(metrics.encode()));
            let kind = http::HeaderValue::from_static(metrics::CONTENT_TYPE);
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        _ => plain(StatusCode::NOT_FOUND, "not found; try /livez, /readyz or /metrics\n"),
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(path: &str, health: &Health) -> StatusCode {
        answer(&Method::GET, path, health, &Metrics::default()).status()
    }

    #[test]
    fn a_replica_is_alive_at_once_and_ready_when_its_caches_are() {
        let health = Health::default();
        assert_eq!(status("/livez", &health), StatusCode::OK);
        assert_eq!(status("/readyz", &health), StatusCode::SERVICE_UNAVAILABLE);
        health.set_ready(true);
        assert_eq!(status("/readyz", &health), StatusCode::OK);
        assert_eq!(status("/health", &health), StatusCode::NOT_FOUND);
    }

    #[test]
    fn nothing_can_be_changed_through_the_port() {
        let answer = answer(&Method::POST, "/metrics", &Health::default(), &Metrics::default());
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
