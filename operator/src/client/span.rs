//! The span of one request to the API server, by OpenTelemetry's conventions for HTTP clients.

use http::{Request, Uri};
use kube::client::Body;
use tracing::Span;
use tracing::field::Empty;

use crate::telemetry::REQUEST_TARGET;

/// The span of a request to this cluster. The query is left out: it says how something is written, not what.
pub(super) fn of(request: &Request<Body>, cluster: &Uri) -> Span {
    let (method, path) = (request.method(), request.uri().path());
    tracing::debug_span!(
        target: REQUEST_TARGET, "request",
        otel.name = %format_args!("{method} {}", template(path)),
        otel.kind = "client",
        otel.status_code = Empty,
        http.request.method = %method,
        http.response.status_code = Empty,
        url.full = %format_args!("{}{path}", cluster.to_string().trim_end_matches('/')),
        url.template = %template(path),
        server.address = cluster.host(),
        server.port = port(cluster),
        "error.type" = Empty,
    )
}

fn port(cluster: &Uri) -> u16 {
    let usual = if cluster.scheme_str() == Some("http") { 80 } else { 443 };
    cluster.port_u16().unwrap_or(usual)
}

/// The path without the names in it: what is the same for all objects of a kind.
fn template(path: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    // api/{version} or apis/{group}/{version}
    let prefix = match parts.first() {
        Some(&"api") => 2,
        Some(&"apis") => 3,
        _ => parts.len(),
    };
    let mut name_at = prefix + 1;
    if parts.get(prefix) == Some(&"namespaces") && parts.len() > prefix + 2 {
        parts[prefix + 1] = "{namespace}";
        name_at = prefix + 3;
    }
    if let Some(name) = parts.get_mut(name_at) {
        *name = "{name}";
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_part_of_a_spans_name() {
        for (path, expected) in [
            ("/api/v1/secrets", "/api/v1/secrets"),
            ("/api/v1/namespaces/kube-system", "/api/v1/namespaces/{name}"),
            ("/api/v1/namespaces/billing/secrets/a", "/api/v1/namespaces/{namespace}/secrets/{name}"),
            (
                "/apis/apps/v1/namespaces/billing/deployments",
                "/apis/apps/v1/namespaces/{namespace}/deployments",
            ),
            (
                "/apis/sageapi.io/v1alpha1/namespaces/billing/sageapis/prod/status",
                "/apis/sageapi.io/v1alpha1/namespaces/{namespace}/sageapis/{name}/status",
            ),
            ("/version", "/version"),
        ] {
            assert_eq!(template(path), expected);
        }
    }
}
