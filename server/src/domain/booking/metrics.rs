//! The metrics of the booking engine.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::telemetry::metrics::{Histogram, Metrics};

const COMMIT_SECONDS: &[f64] =
    &[0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
const BATCH_SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// The results of bookings.
pub const BOOKING_RESULTS: [&str; 7] =
    ["booked", "expired", "failed", "insufficient_balance", "refused", "replayed", "unavailable"];
/// Why transactions are retried.
const RETRY_REASONS: [&str; 6] = ["connection", "contended", "locked", "repeated", "split", "unknown_commit"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// The metrics of the booking engine. Clones share them.
#[derive(Debug, Clone)]
pub struct BookingMetrics {
    bookings: Family<ResultLabel, Counter>,
    queue_depth: Gauge,
    batch_size: Histogram,
    commit_seconds: Histogram,
    retries: Family<ReasonLabel, Counter>,
}

impl BookingMetrics {
    /// Registers them. Counters start at 0, because a rate over one that appears with its first event misses that event.
    pub fn register(metrics: &Metrics) -> Self {
        let own = Self {
            bookings: metrics.register("bookings", "Bookings decided", Family::default()),
            queue_depth: metrics.register(
                "booking_queue_depth",
                "Bookings that wait for a writer",
                Gauge::default(),
            ),
            batch_size: metrics.register(
                "booking_batch_size",
                "Bookings in one transaction",
                Histogram::new(BATCH_SIZES),
            ),
            commit_seconds: metrics.register(
                "booking_commit_seconds",
                "Time of one booking transaction, its commit included",
                Histogram::new(COMMIT_SECONDS),
            ),
            retries: metrics.register("store_retries", "Transactions that were run again", Family::default()),
        };
        for result in BOOKING_RESULTS {
            drop(own.bookings.get_or_create(&ResultLabel { result }));
        }
        for reason in RETRY_REASONS {
            drop(own.retries.get_or_create(&ReasonLabel { reason }));
        }
        own
    }

    /// Counts bookings with the same result, one of [`BOOKING_RESULTS`].
    pub fn bookings(&self, result: &'static str, count: usize) {
        self.bookings.get_or_create(&ResultLabel { result }).inc_by(count as u64);
    }

    /// Sets how many bookings wait, over all writers.
    pub fn set_queue_depth(&self, waiting: usize) {
        self.queue_depth.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// Records a transaction of `size` bookings that took `seconds`.
    pub fn commit(&self, size: usize, seconds: f64) {
        self.batch_size.observe(f64::from(u32::try_from(size).unwrap_or(u32::MAX)));
        self.commit_seconds.observe(seconds);
    }

    /// Counts a transaction that is retried because of `reason`, one of `RETRY_REASONS`.
    pub fn retry(&self, reason: &'static str) {
        self.retries.get_or_create(&ReasonLabel { reason }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_bookings_and_retries_start_at_zero() {
        let metrics = Metrics::new("1");
        let _own = BookingMetrics::register(&metrics);
        let text = metrics.encode();
        let bookings = BOOKING_RESULTS.map(|result| format!("bookings_total{{result=\"{result}\"}}"));
        let retries = RETRY_REASONS.map(|reason| format!("store_retries_total{{reason=\"{reason}\"}}"));
        for series in bookings.iter().chain(&retries) {
            let expected = format!("sageapi_{series} 0");
            assert!(text.lines().any(|line| line == expected), "{expected} is not in\n{text}");
        }
    }
}
