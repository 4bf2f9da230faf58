//! Logs on stderr and, when an endpoint is set, spans to an OTLP collector.

mod export;
mod propagation;
mod sampler;
mod spans;
#[cfg(test)]
mod tests;

use std::io::IsTerminal;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::runtime::Tokio;
use opentelemetry_sdk::trace::span_processor_with_async_runtime::BatchSpanProcessor;
use opentelemetry_sdk::trace::{BatchConfigBuilder, SdkTracerProvider};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{FilterExt as _, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use self::export::Reported;
pub use self::propagation::{inject, set_parent, span_context_from_traceparent};
use self::sampler::ByParentOrLinks;
pub use self::spans::{is_recording, mark_failed, recorded};

/// Spans that may wait for export; beyond it they are dropped, and no work is slowed down.
const SPAN_QUEUE: usize = 4096;
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the end of the process waits for the last spans.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// The program, as logs and traces know it.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// Its `service.name`.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Targets of the spans that are exported. These have level DEBUG: without a collector and without debug logs they
    /// are disabled, at the cost of one atomic load.
    pub traced: &'static [&'static str],
    /// Targets that are never logged, whatever the level.
    pub unlogged: &'static [&'static str],
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line
    #[default]
    Json,
    /// Text for people, coloured on a terminal
    Text,
}

/// Where spans go.
#[derive(Debug, Clone)]
pub struct Otlp {
    /// Base address of an OTLP/HTTP collector, such as `http://collector:4318`; spans go to `/v1/traces` below it.
    pub endpoint: String,
    /// Share of traces that are recorded, 0 to 1, where the caller has not decided.
    pub sampling_ratio: f64,
    /// Name of this instance.
    pub instance: String,
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log level is invalid.
    #[error(
        "invalid log level {0:?}; use off, error, warn, info, debug or trace, optionally followed by target=level \
         pairs, all separated by commas"
    )]
    Level(String),
    /// The endpoint is not a base address.
    #[error(
        "invalid OTLP endpoint ({0}); give the base address of an OTLP/HTTP collector, such as http://collector:4318"
    )]
    Endpoint(&'static str),
    /// The sampling ratio is not a share.
    #[error("invalid sampling ratio {0}; it must be between 0 and 1")]
    SamplingRatio(f64),
    /// The exporter refused its settings or its environment.
    #[error("spans cannot be exported: {0}")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
    /// [`init`] was called twice, or something else set a global subscriber.
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
    /// Sends the spans still queued, for at most five seconds, whatever state the collector is in.
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

/// Sets up logs on stderr and, with `otlp`, the export of spans, for the whole process.
///
/// With `otlp` it must be called within a Tokio runtime: the exporter is a task of it.
///
/// # Errors
/// [`TelemetryError`]
pub fn init(
    service: &Service,
    level: &str,
    format: LogFormat,
    otlp: Option<Otlp>,
) -> Result<Guard, TelemetryError> {
    let colours = std::io::stderr().is_terminal();
    let (subscriber, guard) = subscriber(service, level, format, otlp, std::io::stderr, colours)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| TelemetryError::AlreadySet)?;
    Ok(guard)
}

/// What [`init`] sets up, for a writer of the caller's choice.
///
/// # Errors
/// [`TelemetryError`]
pub fn subscriber<W>(
    service: &Service,
    level: &str,
    format: LogFormat,
    otlp: Option<Otlp>,
    writer: W,
    colours: bool,
) -> Result<(impl Subscriber + Send + Sync + use<W>, Guard), TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let unlogged = Targets::new()
        .with_default(LevelFilter::TRACE)
        .with_targets(service.unlogged.iter().map(|target| (*target, LevelFilter::OFF)));
    let levels = parse_levels(level)?.and(unlogged);
    let provider = otlp.map(|otlp| tracer_provider(service, otlp)).transpose()?;
    if provider.is_some() {
        spans::begin_export();
    }
    let spans = provider.as_ref().map(|provider| span_layer(service, provider));
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match format {
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
        LogFormat::Text => lines.with_ansi(colours).boxed(),
    };
    Ok((Registry::default().with(lines.with_filter(levels)).with(spans), Guard { provider }))
}

/// Hands a service's own spans, and its own events above debug, to a provider. Never those of the HTTP client, which
/// the exporter uses itself.
pub fn span_layer<S>(service: &Service, provider: &SdkTracerProvider) -> impl Layer<S> + Send + Sync + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let exported = Targets::new()
        .with_target("sageapi", LevelFilter::INFO)
        .with_targets(service.traced.iter().map(|target| (*target, LevelFilter::DEBUG)));
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(service.name))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false)
        .with_filter(exported)
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

fn tracer_provider(service: &Service, otlp: Otlp) -> Result<SdkTracerProvider, TelemetryError> {
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
        // Above the exporter's own timeout, so that a late collector is reported like any other failure.
        .with_max_export_timeout(EXPORT_TIMEOUT + Duration::from_secs(1))
        .build();
    let processor =
        BatchSpanProcessor::builder(Reported::new(exporter), Tokio).with_batch_config(batches).build();
    let resource = Resource::builder_empty()
        .with_service_name(service.name)
        .with_attribute(KeyValue::new("service.version", service.version))
        .with_attribute(KeyValue::new("service.instance.id", otlp.instance))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(ByParentOrLinks::new(otlp.sampling_ratio))
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
