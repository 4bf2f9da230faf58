//! When each watch last showed a sign of life.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use crate::metrics::Metrics;
use sageapi_runtime::Clock;

/// When each watch was last answered or received an event, by kind, on the monotonic clock. A watch is requested again
/// every five minutes at the latest, so a quiet cluster shows signs of life too.
#[derive(Debug, Clone, Default)]
pub struct Heartbeats(Arc<Mutex<BTreeMap<&'static str, Duration>>>);

impl Heartbeats {
    /// No watch yet; their ages are among the metrics.
    pub fn register(metrics: &mut Metrics, clock: &Arc<dyn Clock>) -> Self {
        let heartbeats = Self::default();
        metrics.collect(Ages { heartbeats: heartbeats.clone(), clock: Arc::clone(clock) });
        heartbeats
    }

    /// The watch of this kind is alive.
    pub fn beat(&self, kind: &'static str, now: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(kind, now);
    }

    fn ages(&self, now: Duration) -> Vec<(&'static str, Duration)> {
        let beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        beats.iter().map(|(kind, seen)| (*kind, now.saturating_sub(*seen))).collect()
    }
}

struct Ages {
    heartbeats: Heartbeats,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Ages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ages")
    }
}

impl Collector for Ages {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut ages = encoder.encode_descriptor(
            "watch_last_event_age_seconds",
            "Time since a watch was last answered or received an event",
            None,
            MetricType::Gauge,
        )?;
        for (kind, age) in self.heartbeats.ages(self.clock.monotonic()) {
            ages.encode_family(&[("kind", kind)])?.encode_gauge(&age.as_secs_f64())?;
        }
        Ok(())
    }
}
