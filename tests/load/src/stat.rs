//! A figure of several rounds.

use serde::Serialize;

/// Least, middle and greatest of some rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Stat {
    /// The least.
    pub min: f64,
    /// The middle; of an even number of rounds the mean of the two in the middle.
    pub median: f64,
    /// The greatest.
    pub max: f64,
}

impl Stat {
    /// Of the rounds' figures; `None` if there are none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<_> = figures.into_iter().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self { min, median, max })
    }
}

/// Welch's t: by how many standard errors the means of two samples differ.
pub fn welch_t(a: &[f64], b: &[f64]) -> f64 {
    let ((mean_a, error_a), (mean_b, error_b)) = (mean(a), mean(b));
    let difference = mean_a - mean_b;
    if difference == 0.0 { 0.0 } else { difference / (error_a + error_b).sqrt() }
}

/// The mean of a sample, and the square of its standard error.
#[expect(clippy::cast_precision_loss, reason = "counts of a sample are far below 2^52")]
fn mean(sample: &[f64]) -> (f64, f64) {
    let count = sample.len() as f64;
    let mean = sample.iter().sum::<f64>() / count;
    let squares: f64 = sample.iter().map(|figure| (figure - mean).powi(2)).sum();
    (mean, squares / (count - 1.0) / count)
}

/// What remains of two samples without the greatest of both together: those are mostly noise.
pub fn fastest(samples: [&[f64]; 2], share: (usize, usize)) -> [Vec<f64>; 2] {
    let mut all = samples.concat();
    all.sort_unstable_by(f64::total_cmp);
    let limit = all.get(all.len() * share.0 / share.1).copied().unwrap_or(f64::INFINITY);
    samples.map(|sample| sample.iter().copied().filter(|figure| *figure < limit).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_is_the_difference_of_means_by_its_standard_error() {
        // Variances of 1 and 4, three figures each.
        let t = welch_t(&[1.0, 2.0, 3.0], &[3.0, 5.0, 7.0]);
        assert!((t + 3.0 / (5.0_f64 / 3.0).sqrt()).abs() < 1e-9, "{t}");
        assert!(welch_t(&[1.0, 2.0], &[1.0, 2.0]).abs() < 1e-9);
    }

    #[test]
    fn the_greatest_of_both_samples_together_are_left_out() {
        let left = fastest([&[1.0, 9.0, 2.0], &[3.0, 8.0]], (3, 5));
        assert_eq!(left, [vec![1.0, 2.0], vec![3.0]]);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Stat::of([3.0, 1.0, 2.0]), Some(Stat { min: 1.0, median: 2.0, max: 3.0 }));
        assert_eq!(Stat::of([4.0, 1.0, 2.0, 3.0]).map(|stat| stat.median), Some(2.5));
        assert_eq!(Stat::of([]), None);
    }
}
