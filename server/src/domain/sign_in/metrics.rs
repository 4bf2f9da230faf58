//! The metrics of signing in.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::Tokens;
use crate::domain::Error;
use crate::telemetry::metrics::Metrics;

const RESULTS: [&str; 9] =
    ["ok", "replayed", "failed", "disabled", "rate_limited", "reused", "expired", "overloaded", "error"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

/// The metrics of signing in. Clones share them.
#[derive(Debug, Clone)]
pub struct SignInMetrics {
    logins: Family<ResultLabel, Counter>,
    refreshes: Family<ResultLabel, Counter>,
}

impl SignInMetrics {
    /// Registers them. Counters start at 0, because a rate over one that appears with its first event misses that event.
    pub fn register(metrics: &Metrics) -> Self {
        let logins: Family<ResultLabel, Counter> =
            metrics.register("logins", "Attempts to sign in", Family::default());
        let refreshes: Family<ResultLabel, Counter> =
            metrics.register("token_refreshes", "Refreshes of tokens", Family::default());
        for result in RESULTS {
            drop(logins.get_or_create(&ResultLabel { result }));
            drop(refreshes.get_or_create(&ResultLabel { result }));
        }
        Self { logins, refreshes }
    }

    /// Counts an attempt to sign in.
    pub fn login(&self, outcome: &Result<Tokens, Error>) {
        self.logins.get_or_create(&label(outcome)).inc();
    }

    /// Counts a refresh.
    pub fn refresh(&self, outcome: &Result<Tokens, Error>) {
        self.refreshes.get_or_create(&label(outcome)).inc();
    }
}

fn label(outcome: &Result<Tokens, Error>) -> ResultLabel {
    let result = match outcome {
        Ok(tokens) if tokens.replayed => "replayed",
        Ok(_) => "ok",
        Err(Error::LoginFailed | Error::TokenInvalid) => "failed",
        Err(Error::UserDisabled) => "disabled",
        Err(Error::RateLimited(_)) => "rate_limited",
        Err(Error::TokenReused) => "reused",
        Err(Error::TokenExpired) => "expired",
        Err(Error::Overloaded) => "overloaded",
        Err(_) => "error",
    };
    ResultLabel { result }
}
