use serde::{Deserialize, Serialize};

use super::compile::Program;
use super::error::PriceError;
use super::exact::{Exact, Term};
use super::usage::Usage;
use crate::model::Decimal;
use crate::model::Money;

/// The most prices that one usage may meet: more would not fit beside a record.
pub const MAX_LINES: usize = 100;

/// What a usage costs, and how that was computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Priced {
    /// The amount, rounded.
    pub amount: Money,
    /// The amount before rounding, in at most 64 characters: a decimal if it ends, else a fraction `n/d`, else its
    /// first 40 digits and `...`.
    pub unrounded: String,
    /// The prices that applied, in the order of the list. Their subtotals add up to the amount before the discount.
    pub lines: Vec<PricedLine>,
}

/// A price that applied: `quantity / unit_value x unit_price = subtotal`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PricedLine {
    /// Index of the rule in `pricings`, from 0.
    pub rule: usize,
    /// What was counted, as the list names it; `flat` for a price that counts once.
    pub factor: String,
    /// How much of it; 1 for a flat price.
    pub quantity: String,
    /// How much of it one unit is; 1 for a flat price.
    pub unit_value: String,
    /// The price of one unit.
    pub unit_price: String,
    /// Not rounded, not discounted; written as [`Priced::unrounded`] is.
    pub subtotal: String,
}

impl Program {
    /// Prices a usage, rounding once at `scale` decimals (0 to 9). `discount` is a factor; absent, it is 1.
    ///
    /// A rule applies if all its filters match and its factor was counted, even as 0. Where no rule applies there is
    /// no price, and not a price of 0.
    pub fn price(&self, usage: &Usage, discount: Option<&Decimal>, scale: u8) -> Result<Priced, PriceError> {
        if discount.is_some_and(|discount| discount.is_negative()) {
            return Err(PriceError::NegativeDiscount);
        }
        let mut sum = Exact::zero();
        let mut lines = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            if !rule.filters.iter().all(|filter| filter.matches(usage)) {
                continue;
            }
            for price in &rule.prices {
                let counted = price.factor.as_ref().map_or(Some(Decimal::ONE), |factor| usage.find(factor));
                let Some(quantity) = counted else { continue };
                if lines.len() == MAX_LINES {
                    return Err(PriceError::TooManyLines);
                }
                let term = Term::new(quantity, price.unit.value, price.price.value);
                sum.add(term);
                lines.push(PricedLine {
                    rule: index,
                    factor: price.name.to_string(),
                    quantity: quantity.to_string(),
                    unit_value: price.unit.text.to_string(),
                    unit_price: price.price.text.to_string(),
                    subtotal: term.text(),
                });
            }
        }
        if lines.is_empty() {
            return Err(PriceError::NoRule { usage: usage.to_string() });
        }
        if let Some(discount) = discount {
            sum.multiply(*discount);
        }
        let amount = sum.round_half_even(scale).ok_or(PriceError::OutOfRange)?;
        Ok(Priced { amount, unrounded: sum.text(), lines })
    }
}
