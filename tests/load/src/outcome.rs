//! What one round of one side came to.

use std::time::{Duration, Instant};

use crate::machine::Stretch;

/// One thing that was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// How long it took, in nanoseconds.
    pub took: u64,
    /// When it was over.
    pub at: Instant,
}

/// What was done, and how long each of it took.
#[derive(Debug)]
pub struct Outcome {
    /// Answers, all of them 2xx; or transactions committed.
    pub count: usize,
    /// How long all of it took.
    pub elapsed: Duration,
    /// Each of them, by how long it took.
    times: Vec<Done>,
}

impl Outcome {
    /// Of what was done, in any order.
    pub fn of(elapsed: Duration, mut times: Vec<Done>) -> Self {
        times.sort_unstable_by_key(|done| done.took);
        Self { count: times.len(), elapsed, times }
    }

    /// Several rounds as one.
    pub fn together(rounds: Vec<Self>) -> Self {
        let elapsed = rounds.iter().map(|round| round.elapsed).sum();
        Self::of(elapsed, rounds.into_iter().flat_map(|round| round.times).collect())
    }

    /// Those that no stretch fell upon: they were not under way in one, nor in as long a time after it.
    pub fn apart_from(&self, stretches: &[Stretch]) -> Self {
        let spared = |done: &&Done| {
            let begun = done.at - Duration::from_nanos(done.took);
            !stretches.iter().any(|s| begun < s.end + (s.end - s.start) && done.at > s.start)
        };
        Self::of(self.elapsed, self.times.iter().filter(spared).copied().collect())
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
        self.times.get(index).map_or(0.0, |done| done.took as f64 / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_sorted_times() {
        let at = Instant::now();
        let times = (1..=1000).rev().map(|n| Done { took: n * 1_000_000, at }).collect();
        let outcome = Outcome::of(Duration::from_secs(2), times);
        assert!((outcome.rate() - 500.0).abs() < 1e-9);
        assert!((outcome.quantile_ms((1, 2)) - 501.0).abs() < 1e-9);
        assert!((outcome.quantile_ms((99, 100)) - 991.0).abs() < 1e-9);
        assert!((outcome.quantile_ms((1, 1)) - 1000.0).abs() < 1e-9);
    }

    #[test]
    fn rounds_come_together_with_all_their_times() {
        let at = Instant::now();
        let round = |took| Outcome::of(Duration::from_secs(1), vec![Done { took, at }; 100]);
        let all = Outcome::together(vec![round(9_000_000), round(1_000_000)]);
        assert_eq!((all.count, all.elapsed), (200, Duration::from_secs(2)));
        // The median of the rounds' quantiles would be 5.
        assert!((all.quantile_ms((99, 100)) - 9.0).abs() < 1e-9);
    }

    #[test]
    fn what_was_under_way_in_a_stretch_or_soon_after_it_is_left_out() {
        let zero = Instant::now();
        let ms = |n: u64| zero + Duration::from_millis(n);
        let done = |from: u64, to: u64| Done { took: (to - from) * 1_000_000, at: ms(to) };
        let all =
            [done(0, 100), done(90, 101), done(120, 121), done(200, 219), done(239, 250), done(240, 241)];
        let outcome = Outcome::of(Duration::from_secs(1), all.to_vec());
        let left = outcome.apart_from(&[Stretch { start: ms(100), end: ms(170) }]);
        assert_eq!(left.times, [done(240, 241), done(0, 100)]);
        assert_eq!(outcome.apart_from(&[]).count, 6);
    }
}
