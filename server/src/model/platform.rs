use super::{Currency, UsageSums};

/// 10^-9 units in one unit.
const NANOS: i128 = 1_000_000_000;

/// Sums over the usage of all customers. Numbers beyond 64 bits stay at their maximum, but for the cost, which is exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlatformSums {
    /// How many records there are.
    pub requests: i64,
    /// How many of them failed.
    pub errors: i64,
    /// Tokens in.
    pub input_tokens: i64,
    /// Tokens out.
    pub output_tokens: i64,
    /// What they cost, in whole units.
    pub cost_units: i64,
    /// The rest of that, in 10^-9 units, of the same sign.
    pub cost_nanos: i64,
    /// How many of them have no price.
    pub unpriced: i64,
}

impl PlatformSums {
    /// With the sums of one more customer.
    #[must_use]
    pub fn with(self, sums: &UsageSums) -> Self {
        let cost = self.cost() + i128::from(sums.cost);
        let part = |part: i128| i64::try_from(part).unwrap_or(if part < 0 { i64::MIN } else { i64::MAX });
        Self {
            requests: self.requests.saturating_add(sums.requests),
            errors: self.errors.saturating_add(sums.errors),
            input_tokens: self.input_tokens.saturating_add(sums.input_tokens),
            output_tokens: self.output_tokens.saturating_add(sums.output_tokens),
            cost_units: part(cost / NANOS),
            cost_nanos: part(cost % NANOS),
            unpriced: self.unpriced.saturating_add(sums.unpriced),
        }
    }

    /// What they cost, in 10^-9 units.
    pub fn cost(&self) -> i128 {
        i128::from(self.cost_units) * NANOS + i128::from(self.cost_nanos)
    }
}

/// The usage of all customers on a day: a row of `platform_daily`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformDay {
    /// The day of the events, as `2026-05-28`.
    pub day: String,
    /// The currency of the cost.
    pub currency: Currency,
    /// The sums.
    pub sums: PlatformSums,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_beyond_64_bits_is_exact_and_other_numbers_stay_at_their_maximum() {
        let most = UsageSums { requests: 1, input_tokens: i64::MAX, cost: i64::MAX, ..UsageSums::default() };
        let all = (0..1000).fold(PlatformSums::default(), |sums, _| sums.with(&most));
        assert_eq!(all.cost(), i128::from(i64::MAX) * 1000);
        assert_eq!((all.requests, all.input_tokens), (1000, i64::MAX));
        let less = all.with(&UsageSums { cost: -1, ..UsageSums::default() });
        assert_eq!(less.cost(), all.cost() - 1);
        let negative = PlatformSums::default().with(&UsageSums { cost: -1, ..UsageSums::default() });
        assert_eq!((negative.cost(), negative.cost_units, negative.cost_nanos), (-1, 0, -1));
    }
}
