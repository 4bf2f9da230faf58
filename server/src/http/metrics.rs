//! The metrics of the REST API.

#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;

use crate::telemetry::metrics::{Histogram, Metrics};

/// The route label of requests that no route matched.
pub const UNMATCHED: &str = "unmatched";

const REQUEST_SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The codes of 401.
pub const AUTH_FAILURES: [&str; 10] = [
    "auth_missing",
    "auth_malformed",
    "auth_uncovered",
    "auth_expired",
    "auth_failed",
    "auth_replay",
    "login_failed",
    "token_invalid",
    "token_expired",
    "token_reused",
];

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

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

/// Makes the request histogram of a route.
#[derive(Debug, Clone)]
struct RequestSeconds;

impl MetricConstructor<Histogram> for RequestSeconds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(REQUEST_SECONDS)
    }
}

/// The metrics of the REST API. Clones share them.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabel, Histogram, RequestSeconds>,
    in_flight: Gauge,
    auth_failures: Family<CodeLabel, Counter>,
}

impl HttpMetrics {
    /// Registers them. Counters start at 0, because a rate over one that appears with its first event misses that event;
    /// those of requests start with the router.
    pub fn register(metrics: &Metrics) -> Self {
        let own = Self {
            requests: metrics.register("http_requests", "Requests answered", Family::default()),
            request_seconds: metrics.register(
                "http_request_duration_seconds",
                "Time from a request's head to its answer's head",
                Family::new_with_constructor(RequestSeconds),
            ),
            in_flight: metrics.register(
                "http_requests_in_flight",
                "Requests being handled",
                Gauge::default(),
            ),
            auth_failures: metrics.register(
                "auth_failures",
                "Requests refused, by problem code",
                Family::default(),
            ),
        };
        for code in AUTH_FAILURES {
            drop(own.auth_failures.get_or_create(&CodeLabel { code }));
        }
        own
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

    /// Counts a request that was refused with one of [`AUTH_FAILURES`].
    pub fn auth_failure(&self, code: &'static str) {
        self.auth_failures.get_or_create(&CodeLabel { code }).inc();
    }
}

/// A request in flight, until dropped.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
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
