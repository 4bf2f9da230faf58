use crate::model::DecimalError;

/// Why a price list cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PricingDataError {
    /// It is not YAML, or too much of it.
    #[error("the price list must be YAML: {0}")]
    Yaml(String),
    /// A value in it is wrong.
    #[error("{path}: {reason}")]
    Value {
        /// Its path, such as `pricings[3].unit`.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl PricingDataError {
    pub(super) fn value(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Value { path: path.into(), reason: reason.into() }
    }
}

/// Why a quantity is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// Not a number that is computed with exactly.
    #[error(transparent)]
    Number(#[from] DecimalError),
    /// Below zero or beyond [`MAX_QUANTITY`](crate::model::Decimal::MAX_QUANTITY).
    #[error("must be from 0 to 1000000000000")]
    OutOfRange,
    /// The name was given before, or with another number.
    #[error("must be given once, or the same each time")]
    Twice,
    /// The sum of both kinds of tokens, which price lists may ask for, is not a number that can be computed exactly.
    #[error("input and output tokens must come to a number of at most 17 significant digits")]
    Sum,
}

/// Why a usage has no price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// No rule applies. A usage that nobody set a price for is not free.
    #[error("no rule of the price list matches the usage {usage}")]
    NoRule {
        /// The usage as text, cut off where it is long.
        usage: String,
    },
    /// Too many prices apply at once.
    #[error("more than {} prices of the list apply", super::MAX_LINES)]
    TooManyLines,
    /// The price is beyond the range of money.
    #[error("the price would exceed 9000000000")]
    OutOfRange,
    /// A discount is a factor, and no factor turns a charge into a credit.
    #[error("the discount must not be negative; correct it in the pricing program")]
    NegativeDiscount,
}

/// Characters of a key in a path.
const MAX_KEY: usize = 64;

/// The path of a member, with a key of bounded length.
pub(super) fn member(path: &str, key: &str) -> String {
    match key.char_indices().nth(MAX_KEY) {
        Some((end, _)) => format!("{path}.{}...", &key[..end]),
        None => format!("{path}.{key}"),
    }
}
