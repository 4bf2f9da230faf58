//! Runs, pages and pulls as spans.

use http::StatusCode;
use reqwest::Url;
use tracing::Span;
use tracing::field::Empty;

use super::error::SyncError;
use super::report::RunReport;
use super::source::SourceError;
use crate::model::Entity;
use crate::telemetry::tracing::{TRACE_TARGET, child_span, mark_failed};

/// One run of an entity, a trace of its own.
pub(super) fn run(entity: Entity) -> Span {
    tracing::debug_span!(
        target: TRACE_TARGET,
        parent: None,
        "sync",
        "otel.name" = %format_args!("sync {entity}"),
        "sageapi.sync.entity" = entity.as_str(),
        "sageapi.sync.snapshot" = Empty,
        "sageapi.sync.pages" = Empty,
        "sageapi.sync.rows" = Empty,
        "error.type" = Empty,
        "otel.status_code" = Empty,
    )
}

/// What a run came to.
pub(super) fn note_run(span: &Span, result: &Result<RunReport, SyncError>) {
    match result {
        Ok(report) => {
            span.record("sageapi.sync.snapshot", report.snapshot);
            span.record("sageapi.sync.pages", report.pages);
            span.record("sageapi.sync.rows", report.rows());
        }
        Err(error) => mark_failed(span, error.class()),
    }
}

/// A pull for an event, a trace of its own: it waited for others.
pub(super) fn pull(entity: Entity, rows: usize) -> Span {
    tracing::debug_span!(
        target: TRACE_TARGET,
        parent: None,
        "pull",
        "otel.name" = %format_args!("pull {entity}"),
        "sageapi.sync.entity" = entity.as_str(),
        "sageapi.sync.rows" = rows,
        "error.type" = Empty,
        "otel.status_code" = Empty,
    )
}

/// One page on its way into the store.
pub(super) fn page(rows: usize, quarantined: usize) -> Span {
    child_span!("page", "sageapi.sync.rows" = rows, "sageapi.sync.quarantined" = quarantined)
}

/// A request to the platform, by OpenTelemetry's conventions for HTTP clients. Its query is left out: it names rows.
pub(super) fn request(url: &Url, entity: Entity) -> Span {
    child_span!(
        "request",
        "otel.name" = %format_args!("GET /sync/v1/{entity}"),
        "otel.kind" = "client",
        "http.request.method" = "GET",
        "url.full" = %format_args!("{}{}", url.origin().ascii_serialization(), url.path()),
        "url.template" = %format_args!("/sync/v1/{entity}"),
        "server.address" = url.host_str(),
        "server.port" = url.port_or_known_default(),
        "http.response.status_code" = Empty,
        "error.type" = Empty,
        "otel.status_code" = Empty,
    )
}

/// How a request was answered.
pub(super) fn note_status(span: &Span, status: StatusCode) {
    span.record("http.response.status_code", status.as_u16());
    if status.is_client_error() || status.is_server_error() {
        mark_failed(span, status.as_str());
    }
}

/// That a request came to nothing.
pub(super) fn note_failure(span: &Span, error: &SourceError) {
    mark_failed(span, error.class.as_str());
}
