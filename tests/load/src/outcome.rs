//! What one round of one side came to.

use std::time::Duration;

/// What was done, and how long each of it took.
#[derive(Debug)]
pub struct Outcome {
    /// Answers, all of them 2xx; or transactions committed.
    pub count: usize,
    /// How long all of it took.
    pub elapsed: Duration,
    /// How long each took, sorted, in nanoseconds.
    times: Vec<u64>,
}

impl Outcome {
    /// Of times in nanoseconds, in any order.
    pub fn of(elapsed: Duration, mut times: Vec<u64>) -> Self {
        times.sort_unstable();
        Self { count: times.len(), elapsed, times }
    }

    /// Several rounds as one.
    pub fn together(rounds: Vec<Self>) -> Self {
        let elapsed = rounds.iter().map(|round| round.elapsed).sum();
        Self::of(elapsed, rounds.into_iter().flat_map(|round| round.times).collect())
    }

    /// How many a second.
    #[expect(clippy::cast_precision_loss, reason = "counts of answers are far below 2^52")]
    pub fn rate(&self) -> f64 {
        self.count as f64 / self.elapsed.as_secs_f64()
    }

    /// The time, in milliseconds, that this share of them took at most.
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of one request are far below 2^52")]
    pub fn quantile_ms(&self, share: (usize, usize)) -> f64 {
        let index = (self.times.len() * share.0 / share.1).min(self.times.len().saturating_sub(1));
        self.times.get(index).map_or(0.0, |time| *time as f64 / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_sorted_times() {
        let times = (1..=1000).rev().map(|n| n * 1_000_000).collect();
        let outcome = Outcome::of(Duration::from_secs(2), times);
        assert!((outcome.rate() - 500.0).abs() < 1e-9);
        assert!((outcome.quantile_ms((1, 2)) - 501.0).abs() < 1e-9);
        assert!((outcome.quantile_ms((99, 100)) - 991.0).abs() < 1e-9);
        assert!((outcome.quantile_ms((1, 1)) - 1000.0).abs() < 1e-9);
    }

    #[test]
    fn rounds_come_together_with_all_their_times() {
        let round = |time| Outcome::of(Duration::from_secs(1), vec![time; 100]);
        let all = Outcome::together(vec![round(9_000_000), round(1_000_000)]);
        assert_eq!((all.count, all.elapsed), (200, Duration::from_secs(2)));
        // The median of the rounds' quantiles would be 5.
        assert!((all.quantile_ms((99, 100)) - 9.0).abs() < 1e-9);
    }
}
