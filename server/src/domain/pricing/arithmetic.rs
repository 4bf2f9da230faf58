use serde::{Deserialize, Serialize};

use super::exact::{Exact, Term};
use super::price::PricedLine;
use crate::model::Decimal;
use crate::model::Money;

/// All that an amount was computed from, kept beside it: price lists change, and what was charged must still be
/// understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arithmetic {
    /// The row of the program that was valid.
    pub row: String,
    /// The day of the event, which decided that.
    pub date: String,
    /// The factor that the sum of the lines was multiplied by, if the program has one.
    pub discount: Option<String>,
    /// The decimals that the product was rounded to.
    pub scale: u8,
    /// The prices that applied.
    pub lines: Vec<PricedLine>,
}

impl Arithmetic {
    /// The JSON text that is kept.
    pub fn to_json(&self) -> String {
        // Texts and numbers alone: writing them to memory cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads the JSON text; `None` if it is not ours.
    pub fn parse(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// The amount, and its text before rounding, computed from the lines once more; `None` if they are no lines
    /// that were ever written.
    pub fn recompute(&self) -> Option<(Money, String)> {
        let mut sum = Exact::zero();
        for line in &self.lines {
            let [quantity, unit, price] = [&line.quantity, &line.unit_value, &line.unit_price]
                .map(|text| Decimal::parse(text).ok().filter(|number| !number.is_negative()));
            let unit = unit.filter(|unit| *unit > Decimal::ZERO)?;
            let term = Term::new(quantity?, unit, price?);
            if term.text() != line.subtotal {
                return None;
            }
            sum.add(term);
        }
        if let Some(discount) = &self.discount {
            sum.multiply(Decimal::parse(discount).ok().filter(|factor| !factor.is_negative())?);
        }
        Some((sum.round_half_even(self.scale)?, sum.text()))
    }
}
