//! What a usage costs by a price list.
//!
//! A price list is the YAML text that the platform keeps as `pricing_data`. [`Program::compile`] reads it once;
//! [`Program::price`] is then pure arithmetic on exact fractions. No number ever passes through a float: scalars
//! are read as the text that stands in the list.
//!
//! The amount is the sum, over the prices of all rules whose filters match, of quantity / unit value x unit price,
//! times the discount, rounded half-even once, at the end.

mod arithmetic;
mod compile;
mod condition;
mod error;
mod exact;
mod price;
mod usage;
mod yaml;

pub use arithmetic::Arithmetic;
pub use compile::{MAX_RULES, MAX_UNITS, Program};
pub use error::{PriceError, PricingDataError, UsageError};
pub use price::{MAX_LINES, Priced, PricedLine};
pub use usage::Usage;
pub use yaml::check_yaml;

#[cfg(test)]
pub(in crate::domain) mod tests;
