//! Logs on stderr and, when an endpoint is set, spans of reconciles to an OTLP collector.

mod export;
#[cfg(test)]
pub(crate) mod tests;

use std::io::IsTerminal;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::KeyValue;
use opentelemetry::propagation::{Injector, TextMapPropagator};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::runtime::Tokio;
use opentelemetry_sdk::trace::span_processor_with_async_runtime::BatchSpanProcessor;
use opentelemetry_sdk::trace::{BatchConfigBuilder, Sampler, SdkTracerProvider};
use tracing::field::Empty;
use tracing::level_filters::LevelFilter;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::{FilterExt as _, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use self::export::Reported;

/// Target of the spans of a reconcile and of its parts. Like those of requests they have level DEBUG: without OTLP and
/// without debug logs they are disabled, at the cost of one atomic load.
pub const RECONCILE_TARGET: &str = "sageapi_operator::reconcile";
/// Target of the spans of requests to the API server.
pub const REQUEST_TARGET: &str = "sageapi_operator::request";

/// Spans that may wait for export; beyond it they are dropped, never a reconcile slowed.
const SPAN_QUEUE: usize = 2048;
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the end of the process waits for the last spans.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line
    Json,
    /// For people
    Text,
}

/// Where spans go.
#[derive(Debug, Clone)]
pub struct Otlp {
    /// Base address of an OTLP/HTTP collector, such as `http://collector:4318`.
    pub endpoint: String,
    /// Share of reconciles traced, 0 to 1.
    pub sampling_ratio: f64,
    /// Name of this instance.
    pub instance: String,
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log level is not understood.
    #[error(
        "--log-level {0:?} is not understood; use off, error, warn, info, debug or trace, optionally followed by \
         target=level pairs, all separated by commas"
    )]
    Level(String),
    /// The endpoint is not a base address.
    #[error(
        "--otlp-endpoint is not understood ({0}); give the base address of an OTLP/HTTP collector, such as \
         http://collector:4318"
    )]
    Endpoint(&'static str),
    /// The sampling ratio is not a share.
    #[error("--otlp-sampling-ratio {0} is not between 0 and 1")]
    SamplingRatio(f64),
    /// The exporter refused its settings or its environment.
    #[error("spans cannot be exported: {0}")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
    /// Telemetry was set up twice.
    #[error("logging is already set up in this process")]
    AlreadySet,
}

/// Keeps the span exporter; [`Guard::shutdown`] sends what is left.
#[derive(Debug)]
#[must_use = "spans still queued at the end are lost without Guard::shutdown"]
pub struct Guard {
    provider: Option<SdkTracerProvider>,
}

impl Guard {
    /// Sends the spans still queued, for a bounded time, whatever state the collector is in.
    pub async fn shutdown(self) {
        let Some(provider) = self.provider else { return };
        let (done, waiting) = tokio::sync::oneshot::channel();
        // The provider blocks. A thread of its own can be left behind, a blocking task of the runtime cannot.
        std::thread::spawn(move || {
            let _lost_spans_are_not_an_error = provider.shutdown();
            let _nobody_waits = done.send(());
        });
        let _flushed_or_late = tokio::time::timeout(FLUSH_TIMEOUT, waiting).await;
    }
}

/// Sets up logs on stderr and, if validated, the export of spans, for the whole process; within a Tokio runtime.
///
/// # Errors
/// [`TelemetryError`]
pub fn init(level: &str, format: LogFormat, otlp: Option<Otlp>) -> Result<Guard, TelemetryError> {
    let (subscriber, guard) =
        subscriber(level, format, otlp, std::io::stderr, std::io::stderr().is_terminal())?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| TelemetryError::AlreadySet)?;
    Ok(guard)
}

fn subscriber<W>(
    level: &str,
    format: LogFormat,
    otlp: Option<Otlp>,
    writer: W,
    colours: bool,
) -> Result<(impl Subscriber + Send + Sync, Guard), TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // The client logs the whole body of an answer that it cannot decode, a Secret's as well: never.
    let private =
        Targets::new().with_default(LevelFilter::TRACE).with_target("kube_client", LevelFilter::OFF);
    let levels = parse_levels(level)?.and(private);
    let provider = otlp.map(tracer_provider).transpose()?;
    let spans = provider.as_ref().map(exported);
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match format {
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
        LogFormat::Text => lines.with_ansi(colours).boxed(),
    };
    Ok((Registry::default().with(lines.with_filter(levels)).with(spans), Guard { provider }))
}

/// What becomes part of a trace: our own spans, and our own events above debug. Never the HTTP client's, which the
/// exporter uses itself.
fn exported<S>(provider: &SdkTracerProvider) -> impl Layer<S> + Send + Sync + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let targets = Targets::new()
        .with_target("sageapi_operator", LevelFilter::INFO)
        .with_target(RECONCILE_TARGET, LevelFilter::DEBUG)
        .with_target(REQUEST_TARGET, LevelFilter::DEBUG);
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("sageapi-operator"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false)
        .with_filter(targets)
}

/// Looks at one gate of a plan, within a span of its own that says whether it is open.
pub fn gate<T>(name: &'static str, judge: impl FnOnce() -> T, is_open: impl FnOnce(&T) -> bool) -> T {
    let span = tracing::debug_span!(
        target: RECONCILE_TARGET, "gate",
        otel.name = %format_args!("gate {name}"), sageapi.gate.name = name, sageapi.gate.open = Empty,
    );
    let outcome = span.in_scope(judge);
    if !span.is_disabled() {
        span.record("sageapi.gate.open", is_open(&outcome));
    }
    outcome
}

/// Says in a span what went wrong, as one stable word.
pub fn mark_failed(span: &Span, kind: &str) {
    span.record("error.type", kind);
    span.record("otel.status_code", "ERROR");
}

/// Writes a span's `traceparent` (and `tracestate`) into the headers of a request that we make. Nothing is written
/// outside a trace.
pub fn inject(span: &Span, headers: &mut HeaderMap) {
    if !span.is_disabled() {
        TraceContextPropagator::new().inject_context(&span.context(), &mut Sent(headers));
    }
}

struct Sent<'a>(&'a mut HeaderMap);

impl Injector for Sent<'_> {
    fn set(&mut self, key: &str, value: String) {
        let (Ok(name), Ok(value)) = (key.parse::<HeaderName>(), HeaderValue::try_from(value)) else { return };
        // An empty tracestate says nothing.
        if !value.is_empty() {
            self.0.insert(name, value);
        }
    }
}

/// `Targets` alone would take a misspelt level for the name of a target, and switch everything else off.
fn parse_levels(text: &str) -> Result<Targets, TelemetryError> {
    let wrong = || TelemetryError::Level(text.to_owned());
    let known = |level: &str| !level.trim().is_empty() && level.trim().parse::<LevelFilter>().is_ok();
    let well_formed = text.split(',').all(|part| match part.rsplit_once('=') {
        Some((target, level)) => !target.trim().is_empty() && known(level),
        None => known(part),
    });
    if !well_formed {
        return Err(wrong());
    }
    let trimmed: String = text.chars().filter(|character| !character.is_whitespace()).collect();
    trimmed.parse().map_err(|_| wrong())
}

fn tracer_provider(otlp: Otlp) -> Result<SdkTracerProvider, TelemetryError> {
    if !(0.0..=1.0).contains(&otlp.sampling_ratio) {
        return Err(TelemetryError::SamplingRatio(otlp.sampling_ratio));
    }
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(traces_url(&otlp.endpoint)?)
        .with_timeout(EXPORT_TIMEOUT)
        .with_retry_policy(RetryPolicy::disabled())
        .build()
        .map_err(TelemetryError::Exporter)?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(SPAN_QUEUE)
        .with_scheduled_delay(Duration::from_secs(1))
        .with_max_export_timeout(EXPORT_TIMEOUT + Duration::from_secs(1))
        .build();
    let processor =
        BatchSpanProcessor::builder(Reported::new(exporter), Tokio).with_batch_config(batches).build();
    let resource = Resource::builder_empty()
        .with_service_name("sageapi-operator")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", otlp.instance))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(otlp.sampling_ratio))))
        .with_resource(resource)
        .build())
}

/// Errors of the exporter name this address, hence no credentials in it.
fn traces_url(endpoint: &str) -> Result<String, TelemetryError> {
    let uri: http::Uri = endpoint.parse().map_err(|_| TelemetryError::Endpoint("not a URL"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(TelemetryError::Endpoint("neither http:// nor https://"));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(TelemetryError::Endpoint("credentials in the address"));
    }
    if uri.query().is_some() {
        return Err(TelemetryError::Endpoint("a query in the address"));
    }
    Ok(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
}
