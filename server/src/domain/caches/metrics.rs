//! The metrics of the caches.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::telemetry::metrics::Metrics;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LookupLabels {
    cache: &'static str,
    result: LookupResult,
}

/// The result of a cache look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the variants are the label's values")]
enum LookupResult {
    hit,
    miss,
    stale,
}

/// The metrics of all caches. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct CacheMetrics {
    lookups: Family<LookupLabels, Counter>,
}

impl CacheMetrics {
    /// Registers them.
    pub(super) fn register(metrics: &Metrics) -> Self {
        Self { lookups: metrics.register("cache_requests", "Cache look-ups", Family::default()) }
    }

    /// The counters of one cache, which start at 0; to be resolved once, when the cache is made.
    pub(super) fn cache(&self, cache: &'static str) -> LookupCounters {
        let resolve = |result| self.lookups.get_or_create_owned(&LookupLabels { cache, result });
        LookupCounters {
            hit: resolve(LookupResult::hit),
            miss: resolve(LookupResult::miss),
            stale: resolve(LookupResult::stale),
        }
    }
}

/// Counts the look-ups of one cache.
#[derive(Debug, Clone)]
pub struct LookupCounters {
    hit: Counter,
    miss: Counter,
    stale: Counter,
}

impl LookupCounters {
    /// The entry was cached.
    pub fn hit(&self) {
        self.hit.inc();
    }

    /// The entry had to be loaded.
    pub fn miss(&self) {
        self.miss.inc();
    }

    /// An old entry was served, because the store was unavailable.
    pub fn stale(&self) {
        self.stale.inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_a_cache_start_at_zero() {
        let metrics = Metrics::new("1");
        let _counters = CacheMetrics::register(&metrics).cache("balances");
        let text = metrics.encode();
        for result in ["hit", "miss", "stale"] {
            let expected =
                format!("sageapi_cache_requests_total{{cache=\"balances\",result=\"{result}\"}} 0");
            assert!(text.lines().any(|line| line == expected), "{expected} is not in\n{text}");
        }
    }
}
