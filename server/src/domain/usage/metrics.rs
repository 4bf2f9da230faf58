//! The metrics of usage.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::domain::Error;
use crate::domain::booking::Used;
use crate::model::Uncharged;
use crate::telemetry::metrics::Metrics;

/// What can become of a usage record.
const RESULTS: [&str; 4] = ["recorded", "refused", "replayed", "unavailable"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// The metrics of usage. Clones share them.
#[derive(Debug, Clone)]
pub struct UsageMetrics {
    records: Family<ResultLabel, Counter>,
    unpriced: Counter,
    uncharged: Family<ReasonLabel, Counter>,
}

impl UsageMetrics {
    /// Registers them. Counters start at 0, because a rate over one that appears with its first event misses that event.
    pub fn register(metrics: &Metrics) -> Self {
        let own = Self {
            records: metrics.register(
                "usage_records",
                "Usage records by what came of them",
                Family::default(),
            ),
            unpriced: metrics.register(
                "usage_unpriced",
                "Usage records that have no price",
                Counter::default(),
            ),
            uncharged: metrics.register(
                "usage_uncharged",
                "Usage records that should have been charged and were not",
                Family::default(),
            ),
        };
        for result in RESULTS {
            drop(own.records.get_or_create(&ResultLabel { result }));
        }
        for reason in Uncharged::ALL {
            drop(own.uncharged.get_or_create(&ReasonLabel { reason: reason.as_str() }));
        }
        own
    }

    /// Counts a record, or why there is none.
    pub fn decided(&self, verdict: &Result<Used, Error>) {
        let result = match verdict {
            Ok(used) if used.replayed => "replayed",
            Ok(_) => "recorded",
            Err(Error::StoreUnavailable(_) | Error::Overloaded | Error::Internal(_)) => "unavailable",
            Err(_) => "refused",
        };
        self.records.get_or_create(&ResultLabel { result }).inc();
        let Ok(used) = verdict else { return };
        if used.replayed {
            return;
        }
        if used.usage.cost.is_none() {
            self.unpriced.inc();
        }
        if let Some(reason) = used.usage.uncharged {
            self.uncharged.get_or_create(&ReasonLabel { reason: reason.as_str() }).inc();
        }
    }
}
