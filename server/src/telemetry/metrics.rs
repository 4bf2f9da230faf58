//! The metrics of the process, as OpenMetrics text. Label values are static: none comes from a client.

mod histogram;
mod process;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use http::{Method, StatusCode};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

pub use self::histogram::Histogram;
use self::process::ProcessMetrics;

/// Content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The route label of requests that no route matched.
pub const UNMATCHED: &str = "unmatched";

const REQUEST_SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
const COMMIT_SECONDS: &[f64] =
    &[0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
const BATCH_SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// What bookings come to.
pub const BOOKING_RESULTS: [&str; 7] =
    ["booked", "expired", "failed", "insufficient_balance", "refused", "replayed", "unavailable"];
/// The codes of 401.
pub const AUTH_FAILURES: [&str; 6] =
    ["auth_missing", "auth_malformed", "auth_uncovered", "auth_expired", "auth_failed", "auth_replay"];
/// How runs of synchronisation end.
pub const SYNC_RESULTS: [&str; 19] = [
    "ok",
    "skipped",
    "connect",
    "timeout",
    "tls",
    "broken",
    "unauthorized",
    "status_4xx",
    "status_5xx",
    "redirect",
    "wrong_content",
    "too_large",
    "malformed",
    "endless",
    "cursor_expired",
    "lease_lost",
    "sweep_refused",
    "store",
    "store_unavailable",
];
/// What synchronisation and events do with rows.
const SYNC_OPS: [&str; 6] = ["upsert", "delete", "quarantined", "swept", "event_failed", "event_dropped"];
/// Why transactions are run again.
const RETRY_REASONS: [&str; 6] = ["connection", "contended", "locked", "repeated", "split", "unknown_commit"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    method: &'static str,
    status: u16,
}

/// Declares the label set of one label.
macro_rules! labels {
    ($($name:ident { $($label:ident: $kind:ty),+ })+) => {
        $(#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
        struct $name { $($label: $kind),+ })+
    };
}

labels! {
    ResultLabel { result: &'static str }
    PoolLabel { state: PoolState }
    ReasonLabel { reason: &'static str }
    CacheLabels { cache: &'static str, result: CacheResult }
    RunLabels { entity: &'static str, result: &'static str }
    RowLabels { entity: &'static str, op: &'static str }
    EntityLabel { entity: &'static str }
    CodeLabel { code: &'static str }
    NameLabel { name: &'static str }
}

/// What a connection of the store's pool is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the variants are the label's values")]
enum PoolState {
    idle,
    in_use,
}

/// What became of a cache look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the variants are the label's values")]
enum CacheResult {
    hit,
    miss,
    stale,
}

/// Makes the request histogram of a route.
#[derive(Debug, Clone)]
struct RequestSeconds;

impl MetricConstructor<Histogram> for RequestSeconds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(REQUEST_SECONDS)
    }
}

type SecondsGauge = Gauge<f64, AtomicU64>;

/// All metrics of one server, in a registry of their own. Shared as an `Arc`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabel, Histogram, RequestSeconds>,
    in_flight: Gauge,
    bookings: Family<ResultLabel, Counter>,
    booking_queue: Gauge,
    booking_batch: Histogram,
    booking_commit: Histogram,
    pool: Family<PoolLabel, Gauge>,
    store_retries: Family<ReasonLabel, Counter>,
    store_full: Gauge,
    caches: Family<CacheLabels, Counter>,
    sync_runs: Family<RunLabels, Counter>,
    sync_rows: Family<RowLabels, Counter>,
    sync_age: Family<EntityLabel, SecondsGauge>,
    auth_failures: Family<CodeLabel, Counter>,
    leases: Family<NameLabel, Gauge>,
}

impl Metrics {
    /// Registers every metric; `version` is what `build_info` shows.
    pub fn new(version: &'static str) -> Self {
        let mut all = Registry::default();
        let own = all.sub_registry_with_prefix("sageapi");
        own.register("build", "The program that runs", Info::new([("version", version)]));
        let metrics = Self {
            requests: register(own, "http_requests", "Requests answered", Family::default()),
            request_seconds: register(
                own,
                "http_request_duration_seconds",
                "Time from a request's head to its answer's head",
                Family::new_with_constructor(RequestSeconds),
            ),
            in_flight: register(own, "http_requests_in_flight", "Requests being handled", Gauge::default()),
            bookings: register(own, "bookings", "Bookings decided", Family::default()),
            booking_queue: register(
                own,
                "booking_queue_depth",
                "Bookings that wait for a writer",
                Gauge::default(),
            ),
            booking_batch: register(
                own,
                "booking_batch_size",
                "Bookings in one transaction",
                Histogram::new(BATCH_SIZES),
            ),
            booking_commit: register(
                own,
                "booking_commit_seconds",
                "Time of one booking transaction, its commit included",
                Histogram::new(COMMIT_SECONDS),
            ),
            pool: register(own, "store_pool_connections", "Connections to the database", Family::default()),
            store_retries: register(
                own,
                "store_retries",
                "Transactions that were run again",
                Family::default(),
            ),
            store_full: register(
                own,
                "store_full",
                "1 while the database has no room to write",
                Gauge::default(),
            ),
            caches: register(own, "cache_requests", "Cache look-ups", Family::default()),
            sync_runs: register(own, "sync_runs", "Synchronisation runs", Family::default()),
            sync_rows: register(own, "sync_rows", "Rows that synchronisation handled", Family::default()),
            sync_age: register(
                own,
                "sync_age_seconds",
                "Time since the last successful synchronisation",
                Family::default(),
            ),
            auth_failures: register(
                own,
                "auth_failures",
                "Requests refused, by problem code",
                Family::default(),
            ),
            leases: register(own, "leases_held", "1 while this instance holds the lease", Family::default()),
            registry: Registry::default(),
        };
        all.register_collector(Box::new(ProcessMetrics::new("/proc".into())));
        metrics.begin_at_zero();
        Self { registry: all, ..metrics }
    }

    /// Counters are there from the start: a rate over one that appears with its first event misses that event. Those
    /// of requests begin with their router, those of look-ups with their cache, those of entities with the mirror.
    fn begin_at_zero(&self) {
        for reason in RETRY_REASONS {
            drop(self.store_retries.get_or_create(&ReasonLabel { reason }));
        }
        for result in BOOKING_RESULTS {
            drop(self.bookings.get_or_create(&ResultLabel { result }));
        }
        for code in AUTH_FAILURES {
            drop(self.auth_failures.get_or_create(&CodeLabel { code }));
        }
    }

    /// Begins the counters of an entity that is mirrored.
    pub fn begin_sync(&self, entity: &'static str) {
        for result in SYNC_RESULTS {
            drop(self.sync_runs.get_or_create(&RunLabels { entity, result }));
        }
        for op in SYNC_OPS {
            drop(self.sync_rows.get_or_create(&RowLabels { entity, op }));
        }
    }

    /// The metrics of one route, to be resolved once, when the router is made. `route` is the matched pattern, or
    /// [`UNMATCHED`].
    pub fn route(&self, route: &'static str) -> RouteMetrics {
        RouteMetrics {
            route,
            requests: self.requests.clone(),
            seconds: self.request_seconds.get_or_create_owned(&RouteLabel { route }),
            resolved: Default::default(),
        }
    }

    /// Counts a request as in flight until the guard is dropped.
    pub fn request_started(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// So many bookings came to the same, one of [`BOOKING_RESULTS`].
    pub fn bookings(&self, result: &'static str, count: usize) {
        self.bookings.get_or_create(&ResultLabel { result }).inc_by(count as u64);
    }

    /// Bookings that wait, over all writers.
    pub fn set_booking_queue_depth(&self, waiting: usize) {
        self.booking_queue.set(signed(waiting));
    }

    /// One booking transaction of `size` items took `seconds`.
    pub fn booking_commit(&self, size: usize, seconds: f64) {
        self.booking_batch.observe(f64::from(u32::try_from(size).unwrap_or(u32::MAX)));
        self.booking_commit.observe(seconds);
    }

    /// Connections of the store's pool.
    pub fn set_pool_connections(&self, idle: usize, in_use: usize) {
        self.pool.get_or_create(&PoolLabel { state: PoolState::idle }).set(signed(idle));
        self.pool.get_or_create(&PoolLabel { state: PoolState::in_use }).set(signed(in_use));
    }

    /// A transaction is run again because of `reason`, one of `RETRY_REASONS`.
    pub fn store_retry(&self, reason: &'static str) {
        self.store_retries.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Whether the database has no room to write.
    pub fn set_store_full(&self, full: bool) {
        self.store_full.set(i64::from(full));
    }

    /// The metrics of one cache, to be resolved once, when the cache is made.
    pub fn cache(&self, cache: &'static str) -> CacheMetrics {
        let resolve = |result| self.caches.get_or_create_owned(&CacheLabels { cache, result });
        CacheMetrics {
            hit: resolve(CacheResult::hit),
            miss: resolve(CacheResult::miss),
            stale: resolve(CacheResult::stale),
        }
    }

    /// One run of an entity's synchronisation ended with one of [`SYNC_RESULTS`].
    pub fn sync_run(&self, entity: &'static str, result: &'static str) {
        self.sync_runs.get_or_create(&RunLabels { entity, result }).inc();
    }

    /// `rows` rows of an entity were handled in one of the ways of `SYNC_OPS`.
    pub fn sync_rows(&self, entity: &'static str, op: &'static str, rows: u64) {
        self.sync_rows.get_or_create(&RowLabels { entity, op }).inc_by(rows);
    }

    /// Seconds since an entity was last synchronised.
    pub fn set_sync_age(&self, entity: &'static str, seconds: f64) {
        self.sync_age.get_or_create(&EntityLabel { entity }).set(seconds);
    }

    /// A request was refused with one of [`AUTH_FAILURES`].
    pub fn auth_failure(&self, code: &'static str) {
        self.auth_failures.get_or_create(&CodeLabel { code }).inc();
    }

    /// Whether this instance holds the named lease.
    pub fn set_lease_held(&self, name: &'static str, held: bool) {
        self.leases.get_or_create(&NameLabel { name }).set(i64::from(held));
    }

    /// The exposition, of type [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(16 * 1024);
        // Writing to a string fails only if a metric's own encoding does, which leaves the text short of `# EOF`:
        // the scraper then reports it.
        if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            tracing::error!(%error, "metrics could not be encoded");
        }
        text
    }
}

fn register<M: Metric + Clone>(
    registry: &mut Registry,
    name: &'static str,
    help: &'static str,
    metric: M,
) -> M {
    registry.register(name, help, metric.clone());
    metric
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A request in flight, until dropped.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Look-ups of one cache.
#[derive(Debug, Clone)]
pub struct CacheMetrics {
    hit: Counter,
    miss: Counter,
    stale: Counter,
}

impl CacheMetrics {
    /// The cache had it.
    pub fn hit(&self) {
        self.hit.inc();
    }

    /// It had to be loaded.
    pub fn miss(&self) {
        self.miss.inc();
    }

    /// An old value was served, because the store was down.
    pub fn stale(&self) {
        self.stale.inc();
    }
}

/// The status codes that the server gives; others are looked up each time.
const STATUSES: [u16; 22] = [
    200, 201, 202, 204, 304, 400, 401, 402, 403, 404, 405, 408, 409, 410, 412, 413, 415, 422, 429, 431, 500,
    503,
];
/// The methods that requests are counted under; any other is `other`.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "other"];

/// Requests of one route. Counters are found once per method and status, later by two indexes.
#[derive(Debug)]
pub struct RouteMetrics {
    route: &'static str,
    requests: Family<RequestLabels, Counter>,
    seconds: Histogram,
    resolved: [[OnceLock<Counter>; STATUSES.len()]; METHODS.len()],
}

impl RouteMetrics {
    /// One request was answered after `seconds`.
    pub fn request(&self, method: &Method, status: StatusCode, seconds: f64) {
        self.seconds.observe(seconds);
        self.count(method, status.as_u16(), 1);
    }

    /// Begins to count answers with these statuses.
    pub fn expect(&self, method: &Method, statuses: impl IntoIterator<Item = u16>) {
        for status in statuses {
            self.count(method, status, 0);
        }
    }

    fn count(&self, method: &Method, status: u16, requests: u64) {
        let method = method_index(method);
        let find = || {
            let (route, method) = (self.route, METHODS[method]);
            self.requests.get_or_create_owned(&RequestLabels { route, method, status })
        };
        match STATUSES.binary_search(&status) {
            Ok(status) => self.resolved[method][status].get_or_init(find).inc_by(requests),
            Err(_) => find().inc_by(requests),
        };
    }
}

/// The name that a method is counted and logged under.
pub fn method_name(method: &Method) -> &'static str {
    METHODS[method_index(method)]
}

fn method_index(method: &Method) -> usize {
    match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::POST => 2,
        Method::PUT => 3,
        Method::PATCH => 4,
        Method::DELETE => 5,
        _ => METHODS.len() - 1,
    }
}
