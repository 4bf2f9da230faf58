use std::fmt;

/// Units of money are held at nine decimal places.
const SCALE: i64 = 1_000_000_000;
/// The largest amount and balance, in whole units of the currency.
pub const MAX_UNITS: i64 = 9_000_000_000;

/// An amount of money: a signed count of 10^-9 units, |value| <= 9,000,000,000 units. Which
/// currency it is stands beside it. Never a float.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Money(i64);

/// Why a text is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not `(0|[1-9][0-9]{0,9})(\.[0-9]{1,9})?`.
    #[error("must be a decimal string such as \"12.5\": no sign, no exponent, at most 9 decimals")]
    Invalid,
    /// Beyond 9,000,000,000 units.
    #[error("must not exceed 9000000000")]
    OutOfRange,
}

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount.
    pub const MAX: Self = Self(MAX_UNITS * SCALE);

    /// From a count of 10^-9 units as the database holds it; `None` beyond the range.
    pub const fn from_nanos(nanos: i64) -> Option<Self> {
        if nanos > Self::MAX.0 || nanos < -Self::MAX.0 { None } else { Some(Self(nanos)) }
    }

    /// From a 128-bit intermediate result; `None` beyond the range.
    pub fn from_wide(nanos: i128) -> Option<Self> {
        i64::try_from(nanos).ok().and_then(Self::from_nanos)
    }

    /// The count of 10^-9 units.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// The count of 10^-9 units, for sums.
    pub const fn wide(self) -> i128 {
        self.0 as i128
    }

    /// Adds, or `None` beyond the range.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Self::from_wide(self.wide() + other.wide())
    }

    /// Subtracts, or `None` beyond the range.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        Self::from_wide(self.wide() - other.wide())
    }

    /// The same amount with the other sign.
    #[must_use]
    pub const fn negated(self) -> Self {
        Self(-self.0)
    }

    /// Whether the amount is below zero.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Reads `(0|[1-9][0-9]{0,9})(\.[0-9]{1,9})?`.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        let digits =
            |s: &str, max: usize| (1..=max).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole, 10) || (whole.len() > 1 && whole.starts_with('0')) {
            return Err(MoneyError::Invalid);
        }
        if fraction.is_some_and(|f| !digits(f, 9)) {
            return Err(MoneyError::Invalid);
        }
        let number = |s: &str| s.bytes().fold(0i64, |n, b| n * 10 + i64::from(b - b'0'));
        let fraction = fraction.map_or(0, |f| number(f) * 10i64.pow(9 - u32::try_from(f.len()).unwrap_or(9)));
        Self::from_wide(i128::from(number(whole)) * i128::from(SCALE) + i128::from(fraction))
            .ok_or(MoneyError::OutOfRange)
    }

    /// Reads an amount that may be below zero: `-` in front of what [`Money::parse`] reads.
    pub fn parse_signed(text: &str) -> Result<Self, MoneyError> {
        match text.strip_prefix('-') {
            Some(rest) => Self::parse(rest).map(Self::negated),
            None => Self::parse(text),
        }
    }
}

/// A sum that may leave the range of [`Money`], printed the same way.
pub(crate) fn write_decimal(nanos: i128, f: &mut impl fmt::Write) -> fmt::Result {
    if nanos < 0 {
        f.write_char('-')?;
    }
    let magnitude = nanos.unsigned_abs();
    let (whole, fraction) = (magnitude / SCALE as u128, magnitude % SCALE as u128);
    write!(f, "{whole}")?;
    if fraction != 0 {
        let digits = format!("{fraction:09}");
        write!(f, ".{}", digits.trim_end_matches('0'))?;
    }
    Ok(())
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(self.wide(), f)
    }
}

impl serde::Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_read_as_the_contract_says() {
        for (text, nanos) in [
            ("0", 0),
            ("0.0125", 12_500_000),
            ("1", SCALE),
            ("0.000000001", 1),
            ("9000000000", 9_000_000_000 * SCALE),
        ] {
            assert_eq!(Money::parse(text).map(Money::nanos), Ok(nanos), "{text}");
        }
        for text in [
            "",
            "-1",
            "+1",
            "01",
            "1.",
            ".5",
            "1e3",
            "1,5",
            " 1",
            "1 ",
            "0.0000000001",
            "99999999999",
            "１",
            "1.2.3",
            "NaN",
        ] {
            assert_eq!(Money::parse(text), Err(MoneyError::Invalid), "{text:?}");
        }
        assert_eq!(Money::parse("9000000000.000000001"), Err(MoneyError::OutOfRange));
        assert_eq!(Money::parse_signed("-0.5").map(Money::nanos), Ok(-500_000_000));
        assert_eq!(Money::parse_signed("--1"), Err(MoneyError::Invalid));
    }

    #[test]
    fn sums_beyond_the_range_are_refused() {
        assert_eq!(Money::MAX.checked_add(Money(1)), None);
        assert_eq!(Money::MAX.negated().checked_sub(Money(1)), None);
        assert_eq!(Money::from_wide(i128::from(i64::MAX) + 1), None);
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(nanos in -Money::MAX.0..=Money::MAX.0) {
            let money = Money(nanos);
            prop_assert_eq!(Money::parse_signed(&money.to_string()), Ok(money));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = Money::parse_signed(&text);
        }
    }
}
