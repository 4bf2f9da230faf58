//! A histogram of atomics. The one of prometheus-client takes a lock for every observation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Counts observations in buckets. Clones share their counts.
#[derive(Debug, Clone)]
pub struct Histogram(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Upper bounds, inclusive, rising; one more bucket holds what is above the last.
    bounds: &'static [f64],
    counts: Box<[AtomicU64]>,
    /// The bits of an f64.
    sum: AtomicU64,
}

impl Histogram {
    /// A histogram with these upper bounds, which must rise.
    pub fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Inner { bounds, counts, sum: AtomicU64::new(0f64.to_bits()) }))
    }

    /// Counts one value; not-a-number is left out.
    pub fn observe(&self, value: f64) {
        if value.is_nan() {
            return;
        }
        let Inner { bounds, counts, sum } = &*self.0;
        counts[bounds.partition_point(|bound| *bound < value)].fetch_add(1, Relaxed);
        let add = |bits| Some((f64::from_bits(bits) + value).to_bits());
        // The closure never declines.
        let _always_ok = sum.fetch_update(Relaxed, Relaxed, add);
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Inner { bounds, counts, sum } = &*self.0;
        let buckets: Vec<(f64, u64)> = bounds
            .iter()
            .copied()
            .chain([f64::INFINITY])
            .zip(counts.iter().map(|count| count.load(Relaxed)))
            .collect();
        // The total is the sum of the buckets read, so that the two always agree.
        let total = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(f64::from_bits(sum.load(Relaxed)), total, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;

    fn encoded(histogram: &Histogram) -> String {
        let mut registry = Registry::default();
        registry.register("size", "Size", histogram.clone());
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn a_value_falls_into_the_bucket_whose_bound_it_does_not_exceed() {
        let histogram = Histogram::new(&[1.0, 2.0, 4.0]);
        for value in [0.5, 1.0, 1.5, 4.0, 100.0, f64::NAN] {
            histogram.observe(value);
        }
        let text = encoded(&histogram);
        for line in [
            r#"size_bucket{le="1.0"} 2"#,
            r#"size_bucket{le="2.0"} 3"#,
            r#"size_bucket{le="4.0"} 4"#,
            r#"size_bucket{le="+Inf"} 5"#,
            "size_count 5",
            "size_sum 107.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn no_observation_of_many_threads_is_lost() {
        let histogram = Histogram::new(&[10.0]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| histogram.observe(0.5)));
            }
        });
        let text = encoded(&histogram);
        assert!(text.contains("size_count 40000\n") && text.contains("size_sum 20000.0\n"), "{text}");
    }
}
