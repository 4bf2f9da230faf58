//! The specification, with everything checked that the CRD's rules cannot check.

mod image;
mod quantity;
mod resources;
mod span;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::date;
use jiff::tz::TimeZone;
use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sageapi_contract::{CONFIG_VARIABLE, Kind, SECRET_FILES, TEST_VARIABLE_PREFIX, VARIABLE_PREFIX};
use sageapi_crds::{EnvVar, Migration, SageApi, SageApiSpec, Sync};

pub use image::ImageRef;
pub use quantity::Quantity;
pub use span::{parse as parse_span, text as span_text};

use crate::observed::Settings;

/// How long a terminating pod's address may still be in use.
pub const PRE_STOP: Duration = Duration::from_secs(5);
/// The time that a server has beyond the longest request to finish, and a pod beyond that.
const SLACK: Duration = Duration::from_secs(5);
/// Shortest and longest time that can be set for a migration.
const DEADLINE: (&str, &str) = ("10s", "7d");

/// A valid specification.
#[derive(Debug, Clone, PartialEq)]
pub struct Validated {
    /// The resource's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its UID.
    pub uid: String,
    /// The specification.
    pub spec: SageApiSpec,
    /// The server's image.
    pub image: ImageRef,
    /// How long accepted requests may finish.
    pub shutdown_grace: Duration,
    /// How long one attempt at a migration may take.
    pub active_deadline: Duration,
    /// How many attempts may fail.
    pub max_attempts: u32,
    /// The user's text that runs the migration again when it changes.
    pub trigger: String,
    /// CPU and memory of an instance.
    pub resources: ResourceRequirements,
    /// Memory for cached answers, in bytes.
    pub cache_bytes: Option<u64>,
}

impl Validated {
    /// How long a pod may take to terminate.
    pub fn termination_grace(&self) -> Duration {
        PRE_STOP + self.shutdown_grace + SLACK
    }

    /// Most instances that may be unavailable when nodes are drained.
    pub fn max_unavailable(&self) -> i32 {
        self.spec.disruption_budget.as_ref().and_then(|budget| budget.max_unavailable).unwrap_or(1)
    }
}

/// An invalid value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its path.
    pub path: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Checks a resource; everything that is wrong is reported at once.
pub fn validate(resource: &SageApi, settings: &Settings) -> Result<Validated, Vec<Problem>> {
    let mut check = Check { problems: Vec::new() };
    let spec = &resource.spec;
    // A new field does not compile until it is considered here.
    let SageApiSpec {
        instances: _,
        image,
        database,
        upstream,
        sync,
        accounting: _,
        cache,
        server,
        resources,
        service: _,
        network_policy: _,
        disruption_budget: _,
        node_selector: _,
        tolerations: _,
        pod_annotations,
        extra_env,
        paused: _,
    } = spec;

    if let Some(upstream) = upstream {
        check.url("spec.upstream.url", &upstream.url, false);
        check.key_span("spec.upstream.timeout", "upstream.timeout", upstream.timeout.as_deref());
    }
    if let Some(sync) = sync {
        check.sync(sync);
    }
    let cache_bytes = cache.as_ref().and_then(|cache| {
        check.key_span("spec.cache.ttl", "cache.ttl", cache.ttl.as_deref());
        check.key_span("spec.cache.negativeTtl", "cache.negative_ttl", cache.negative_ttl.as_deref());
        check.size("spec.cache.maxBytes", "cache.max_bytes", cache.max_bytes.as_ref())
    });
    let mut request_timeout = default_span("server.request_timeout");
    if let Some(server) = server {
        let given = server.request_timeout.as_deref();
        request_timeout = check
            .key_span("spec.server.requestTimeout", "server.request_timeout", given)
            .unwrap_or(request_timeout);
        if let Some(url) = &server.public_url {
            check.url("spec.server.publicUrl", url, true);
        }
        for (i, network) in server.trusted_proxies.iter().enumerate() {
            check.network(&format!("spec.server.trustedProxies[{i}]"), network);
        }
    }
    let default = Migration::default();
    let Migration { mode: _, active_deadline, max_attempts, trigger } =
        database.migration.as_ref().unwrap_or(&default);
    let active_deadline =
        check.span("spec.database.migration.activeDeadline", active_deadline.as_deref(), DEADLINE);
    check.extra_env(extra_env);
    check.annotations("spec.podAnnotations", pod_annotations);
    let resources = check.resources(resources.as_ref());
    let image = ImageRef::parse(&settings.server_image)
        .map_err(|why| format!("the operator's own server image cannot be used ({why}); give --server-image"))
        .and_then(|default| ImageRef::of(image.as_ref(), &default).map_err(str::to_owned));
    let image = match image {
        Ok(image) => image,
        Err(why) => {
            check.problem("spec.image", why);
            return Err(check.problems);
        }
    };
    if !check.problems.is_empty() {
        return Err(check.problems);
    }
    Ok(Validated {
        name: resource.metadata.name.clone().unwrap_or_default(),
        namespace: resource.metadata.namespace.clone().unwrap_or_default(),
        uid: resource.metadata.uid.clone().unwrap_or_default(),
        spec: spec.clone(),
        image,
        shutdown_grace: request_timeout + SLACK,
        active_deadline: active_deadline.unwrap_or(Duration::from_mins(15)),
        max_attempts: max_attempts.and_then(|n| u32::try_from(n).ok()).unwrap_or(3),
        trigger: trigger.clone().unwrap_or_default(),
        resources,
        cache_bytes,
    })
}

fn default_span(key: &str) -> Duration {
    let default = sageapi_contract::find(key).and_then(|key| key.default);
    default.and_then(span::parse).unwrap_or(Duration::from_secs(30))
}

struct Check {
    problems: Vec<Problem>,
}

impl Check {
    fn problem(&mut self, path: &str, message: impl Into<String>) {
        self.problems.push(Problem { path: path.to_owned(), message: message.into() });
    }

    /// A length of time within what the server's table admits for this key.
    fn key_span(&mut self, path: &str, key: &str, given: Option<&str>) -> Option<Duration> {
        let Some(Kind::Time(least, most)) = sageapi_contract::find(key).map(|key| key.kind) else {
            return None;
        };
        self.span(path, given, (least, most))
    }

    fn span(&mut self, path: &str, given: Option<&str>, (least, most): (&str, &str)) -> Option<Duration> {
        let given = given?;
        let inside = |span: &Duration| {
            span::parse(least).is_some_and(|least| least <= *span)
                && span::parse(most).is_some_and(|most| *span <= most)
        };
        let span = span::parse(given).filter(inside);
        if span.is_none() {
            let message =
                format!("{given:?} is not a time from {least} to {most}; write it like 500ms, 30s or 5m");
            self.problem(path, message);
        }
        span
    }

    fn size(&mut self, path: &str, key: &str, given: Option<&IntOrString>) -> Option<u64> {
        let given = text_of(given?);
        let (least, most) = match sageapi_contract::find(key).map(|key| key.kind) {
            Some(Kind::Size(least, most)) => (least, most),
            _ => (0, u64::MAX),
        };
        let size = match resources::bytes(&given) {
            Ok(quantity) => quantity.whole().filter(|size| (least..=most).contains(size)),
            Err(why) => {
                self.problem(path, why);
                return None;
            }
        };
        if size.is_none() {
            let (least, most) = (quantity::text_of_bytes(least), quantity::text_of_bytes(most));
            self.problem(path, format!("{given:?} is not from {least} to {most}; write it like 64Mi"));
        }
        size
    }

    fn sync(&mut self, sync: &Sync) {
        let Sync { time_zone, max_delete_ratio: _, users, pricing, llmage, uapi } = sync;
        self.time_zone("spec.sync.timeZone", time_zone.as_deref());
        for (name, entity) in [("users", users), ("pricing", pricing), ("llmage", llmage), ("uapi", uapi)] {
            let Some(entity) = entity else { continue };
            let path = |field: &str| format!("spec.sync.{name}.{field}");
            self.key_span(&path("every"), &format!("sync.{name}.every"), entity.every.as_deref());
            self.key_span(
                &path("fullEvery"),
                &format!("sync.{name}.full_every"),
                entity.full_every.as_deref(),
            );
            self.time_zone(&path("timeZone"), entity.time_zone.as_deref());
            if let Some(schedule) = &entity.schedule
                && let Err(why) = cron(schedule)
            {
                self.problem(
                    &path("schedule"),
                    format!("{schedule:?}: {why}; write it like \"*/5 * * * *\""),
                );
            }
            if entity.every.is_some() && entity.schedule.is_some() {
                self.problem(&path("schedule"), "every is given too; give one of the two");
            }
        }
    }

    fn time_zone(&mut self, path: &str, given: Option<&str>) {
        if let Some(zone) = given
            && TimeZone::get(zone).is_err()
        {
            self.problem(path, format!("{zone:?} is not an IANA time zone, like UTC or Asia/Shanghai"));
        }
    }

    fn url(&mut self, path: &str, given: &str, origin: bool) {
        let uri = given.parse::<http::Uri>().ok().filter(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some_and(|host| !host.is_empty())
                && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
                && uri.query().is_none()
                && !given.contains('#')
        });
        match uri {
            None => self.problem(
                path,
                "it is not an http or https URL of a host, without credentials, query or fragment",
            ),
            Some(uri) if origin && !matches!(uri.path(), "" | "/") => {
                self.problem(path, "it has a path; give scheme and host alone, like https://api.example.com");
            }
            Some(_) => {}
        }
    }

    fn network(&mut self, path: &str, given: &str) {
        let (address, prefix) = given.split_once('/').unwrap_or((given, "0"));
        let widest = match address.parse() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => 0,
        };
        let plain = prefix.bytes().all(|b| b.is_ascii_digit());
        if widest == 0 || !plain || prefix.parse::<u8>().map_or(true, |prefix| prefix > widest) {
            self.problem(path, format!("{given:?} is not a network, like 10.0.0.0/8 or ::1"));
        }
    }

    /// Variables of ours would conflict with what is rendered, and one that the server does not know stops it.
    fn extra_env(&mut self, variables: &[EnvVar]) {
        for (i, EnvVar { name, value: _ }) in variables.iter().enumerate() {
            let path = format!("spec.extraEnv[{i}].name");
            if is_rendered(name) {
                self.problem(&path, format!("{name} is set by the operator; remove it"));
            } else if is_read(name) && !is_known(name) {
                self.problem(
                    &path,
                    format!("{name} is not a variable of the server; see docs/CONFIGURATION.md"),
                );
            }
        }
    }

    fn annotations(&mut self, path: &str, given: &BTreeMap<String, String>) {
        for name in given.keys().filter(|name| name.starts_with(crate::labels::PREFIX)) {
            self.problem(path, format!("{name} is the operator's own; remove it"));
        }
    }
}

fn text_of(value: &IntOrString) -> String {
    match value {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => text.clone(),
    }
}

/// Whether a cron expression of five fields can be read and is ever due.
fn cron(expression: &str) -> Result<(), String> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(expression).map_err(|_| "it is not a cron expression of five fields")?;
    if let Some(fault) = sageapi_contract::cron_step_fault(expression) {
        return Err(fault.to_owned());
    }
    let any_time = date(2024, 1, 1).to_zoned(TimeZone::UTC).map_err(|_| "it cannot be checked")?;
    cron.find_next_occurrence(&any_time, true).map(|_| ()).map_err(|_| "no date ever matches it".to_owned())
}

/// Whether the operator sets this variable, or the value that it stands for.
fn is_rendered(name: &str) -> bool {
    let fixed = ["server.listen", "admin.listen", "server.shutdown_grace"];
    let keys = SECRET_FILES.iter().map(|file| file.key).chain(fixed).filter_map(sageapi_contract::find);
    name == CONFIG_VARIABLE
        || keys
            .flat_map(|key| [Some(key.variable()), key.file_variable()])
            .flatten()
            .any(|rendered| rendered == name)
}

/// Whether the server takes the variable for configuration.
fn is_read(name: &str) -> bool {
    name.starts_with(VARIABLE_PREFIX) && !name.starts_with(TEST_VARIABLE_PREFIX)
}

fn is_known(name: &str) -> bool {
    sageapi_contract::keys().any(|key| key.variable() == name || key.file_variable().as_deref() == Some(name))
}

#[cfg(test)]
mod tests;
