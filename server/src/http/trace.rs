//! The span of a request, by OpenTelemetry's conventions for HTTP servers. Queries and bodies are never recorded.
//! Source: <https://opentelemetry.io/docs/specs/semconv/http/http-spans/>.

use std::net::SocketAddr;

use http::header::USER_AGENT;
use http::request::Parts;
use http::{Method, StatusCode, Version};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::telemetry::tracing::{REQUEST_TARGET, mark_failed};

use super::metrics::UNMATCHED;

/// The longest user agent that is recorded.
const AGENT: usize = 128;

/// A request for the route of this pattern. Lines of the log show what the span is made with, the collector all of it.
pub fn span(parts: &Parts, peer: SocketAddr, pattern: &'static str, request_id: &str) -> Span {
    let route = (pattern != UNMATCHED).then_some(pattern);
    let span = tracing::debug_span!(
        target: REQUEST_TARGET,
        "request",
        "otel.name" = %name(&parts.method, route),
        "otel.kind" = "server",
        "http.request.method" = method(&parts.method),
        "http.route" = route,
        "http.response.status_code" = Empty,
        "error.type" = Empty,
        "otel.status_code" = Empty,
        request_id,
    );
    if !span.is_disabled() {
        span.set_attribute("url.path", parts.uri.path().to_owned());
        span.set_attribute("url.scheme", parts.uri.scheme_str().unwrap_or("http").to_owned());
        span.set_attribute("network.peer.address", peer.ip().to_string());
        span.set_attribute("network.protocol.version", version(parts.version));
        if let Some(agent) = agent(parts) {
            span.set_attribute("user_agent.original", agent.to_owned());
        }
    }
    span
}

/// Records the status; only a server error marks the span as failed.
pub fn note_status(span: &Span, status: StatusCode) {
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        mark_failed(span, status.as_str());
    }
}

/// The method and the route, never the path, which may be anything.
fn name(method: &Method, route: Option<&str>) -> String {
    let method = if is_known(method) { method.as_str() } else { "HTTP" };
    route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"))
}

fn method(method: &Method) -> &str {
    if is_known(method) { method.as_str() } else { "_OTHER" }
}

fn is_known(method: &Method) -> bool {
    [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
        Method::CONNECT,
    ]
    .contains(method)
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}

fn agent(parts: &Parts) -> Option<&str> {
    let agent = parts.headers.get(USER_AGENT)?.to_str().ok()?;
    // Header values of that kind are ASCII.
    agent.get(..agent.len().min(AGENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_named_by_method_and_route_and_never_by_what_was_sent() {
        assert_eq!(name(&Method::POST, Some("/api/v1/accounting")), "POST /api/v1/accounting");
        assert_eq!(name(&Method::GET, None), "GET");
        let odd = Method::from_bytes(b"BREW").unwrap();
        assert_eq!((name(&odd, None).as_str(), method(&odd)), ("HTTP", "_OTHER"));
    }
}
