//! The metrics of quotas.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::service::{CheckAnswer, RefusedBy};
use crate::domain::Error;
use crate::model::LimitKind;
use crate::telemetry::metrics::Metrics;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

/// The metrics of quotas. Clones share them.
#[derive(Debug, Clone)]
pub struct QuotaMetrics {
    checks: Family<ResultLabel, Counter>,
}

impl QuotaMetrics {
    /// Registers them. Counters start at 0, because a rate over one that appears with its first event misses that event.
    pub fn register(metrics: &Metrics) -> Self {
        let checks: Family<ResultLabel, Counter> =
            metrics.register("quota_checks", "Quota checks by what came of them", Family::default());
        let refused = LimitKind::ALL.iter().map(|kind| kind.as_str());
        let others = ["admitted", "replayed", "degraded", "error"];
        let unlimited = [RefusedBy::UnknownUser, RefusedBy::UserDisabled].map(RefusedBy::as_str);
        for result in refused.chain(others).chain(unlimited) {
            drop(checks.get_or_create(&ResultLabel { result }));
        }
        Self { checks }
    }

    /// Counts a check.
    pub fn checked(&self, answer: &Result<CheckAnswer, Error>) {
        let result = match answer {
            Ok(CheckAnswer { refused_by: Some(by), .. }) => by.as_str(),
            Ok(CheckAnswer { degraded: true, .. }) => "degraded",
            Ok(CheckAnswer { replayed: true, .. }) => "replayed",
            Ok(_) => "admitted",
            Err(_) => "error",
        };
        self.checks.get_or_create(&ResultLabel { result }).inc();
    }
}
