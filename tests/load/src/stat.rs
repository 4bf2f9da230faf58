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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Stat::of([3.0, 1.0, 2.0]), Some(Stat { min: 1.0, median: 2.0, max: 3.0 }));
        assert_eq!(Stat::of([4.0, 1.0, 2.0, 3.0]).map(|stat| stat.median), Some(2.5));
        assert_eq!(Stat::of([]), None);
    }
}
