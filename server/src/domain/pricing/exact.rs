use num_bigint::BigUint;
use num_integer::Integer;

use crate::model::{Decimal, Money, point};

/// Longest text of an exact value: its column.
const MAX_TEXT: usize = 64;
/// Digits shown of a value whose exact text is too long.
const SHOWN_DIGITS: usize = 40;
/// Decimals of [`Money`].
const MONEY_SCALE: u8 = 9;

/// A fraction, not negative: numerator x 10^exponent / divisor. Units are nearly always powers of ten, which
/// leaves a divisor of 1 and no fraction to reduce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exact {
    numerator: BigUint,
    exponent: i32,
    divisor: BigUint,
}

/// quantity / unit x price, without signs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    mantissa: u128,
    exponent: i32,
    divisor: u64,
}

impl Term {
    /// `unit` must not be zero; compiled programs have none.
    pub(super) fn new(quantity: Decimal, unit: Decimal, price: Decimal) -> Self {
        let ((quantity, quantity_exponent), (unit, unit_exponent), (price, price_exponent)) =
            (quantity.parts(), unit.parts(), price.parts());
        Self {
            // Two numbers of 17 digits.
            mantissa: u128::from(quantity) * u128::from(price),
            exponent: quantity_exponent + price_exponent - unit_exponent,
            divisor: unit.max(1),
        }
    }

    pub(super) fn text(self) -> String {
        if self.divisor == 1 {
            let text = point(self.mantissa.to_string(), self.exponent);
            if text.len() <= MAX_TEXT {
                return text;
            }
        }
        let mut sum = Exact::zero();
        sum.add(self);
        sum.text()
    }
}

impl Exact {
    pub(super) fn zero() -> Self {
        Self { numerator: BigUint::ZERO, exponent: 0, divisor: BigUint::from(1u32) }
    }

    pub(super) fn add(&mut self, term: Term) {
        let mut numerator = BigUint::from(term.mantissa);
        if self.divisor != BigUint::from(term.divisor) {
            // To the least common divisor, which the units of one program bound however many terms there are.
            let shared = u64::try_from(&self.divisor % term.divisor).unwrap_or(0).gcd(&term.divisor);
            self.numerator *= term.divisor / shared;
            self.divisor *= term.divisor / shared;
            numerator *= &self.divisor / term.divisor;
        }
        let places = self.exponent.abs_diff(term.exponent);
        if self.exponent > term.exponent {
            self.numerator *= ten_to(places);
            self.exponent = term.exponent;
        } else if places > 0 {
            numerator *= ten_to(places);
        }
        self.numerator += numerator;
    }

    /// Multiplies by a number that is not negative.
    pub(super) fn multiply(&mut self, factor: Decimal) {
        let (mantissa, exponent) = factor.parts();
        self.numerator *= mantissa;
        self.exponent += exponent;
    }

    /// The nearest amount of `scale` decimals (at most 9), of two equally near the even one; `None` beyond the
    /// range of money.
    pub(super) fn round_half_even(&self, scale: u8) -> Option<Money> {
        let scale = scale.min(MONEY_SCALE);
        let (numerator, denominator) = self.fraction(self.exponent + i32::from(scale));
        let (mut quotient, remainder) = numerator.div_rem(&denominator);
        if (remainder << 1u32).cmp(&denominator).then_with(|| quotient.bit(0).cmp(&false)).is_gt() {
            quotient += 1u32;
        }
        let nanos = i128::try_from(quotient).ok()?.checked_mul(10i128.pow(u32::from(MONEY_SCALE - scale)))?;
        Money::from_wide(nanos)
    }

    /// The value as a decimal if it ends, else as a fraction, if that has at most 64 characters; else its first 40
    /// digits (all of its whole part) and `...`.
    pub(super) fn text(&self) -> String {
        if self.divisor == BigUint::from(1u32) {
            let text = point(self.numerator.to_string(), self.exponent);
            if text.len() <= MAX_TEXT {
                return text;
            }
        }
        let (mut numerator, mut denominator) = self.fraction(self.exponent);
        let shared = numerator.gcd(&denominator);
        numerator /= &shared;
        denominator /= &shared;
        if let Some(text) = ending(&numerator, &denominator).filter(|text| text.len() <= MAX_TEXT) {
            return text;
        }
        let fraction = format!("{numerator}/{denominator}");
        if fraction.len() <= MAX_TEXT { fraction } else { cut(&numerator, &denominator) }
    }

    /// numerator x 10^exponent / divisor as two integers.
    fn fraction(&self, exponent: i32) -> (BigUint, BigUint) {
        let (mut numerator, mut denominator) = (self.numerator.clone(), self.divisor.clone());
        *(if exponent < 0 { &mut denominator } else { &mut numerator }) *= ten_to(exponent.unsigned_abs());
        (numerator, denominator)
    }
}

fn ten_to(power: u32) -> BigUint {
    // Up to here it fits a machine word.
    if power <= 19 { BigUint::from(10u64.pow(power)) } else { BigUint::from(10u32).pow(power) }
}

/// A reduced fraction as a decimal; `None` if that would not end within [`MAX_TEXT`] digits.
fn ending(numerator: &BigUint, denominator: &BigUint) -> Option<String> {
    let places = u32::try_from(MAX_TEXT).ok()?;
    let (digits, remainder) = (numerator * ten_to(places)).div_rem(denominator);
    (remainder == BigUint::ZERO).then(|| point(digits.to_string(), -i32::try_from(places).unwrap_or(0)))
}

fn cut(numerator: &BigUint, denominator: &BigUint) -> String {
    let whole = (numerator / denominator).to_string();
    let places = SHOWN_DIGITS.saturating_sub(whole.len());
    let digits = (numerator * ten_to(u32::try_from(places).unwrap_or(0)) / denominator).to_string();
    // Zeros at the end are digits like others here: the value goes on.
    let digits = format!("{digits:0>width$}", width = places + 1);
    let (whole, decimals) = digits.split_at(digits.len() - places);
    if decimals.is_empty() { format!("{whole}...") } else { format!("{whole}.{decimals}...") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    fn exact(quantity: &str, unit: &str, price: &str) -> Exact {
        let mut sum = Exact::zero();
        sum.add(Term::new(number(quantity), number(unit), number(price)));
        sum
    }

    #[test]
    fn halves_go_to_the_even_neighbour_and_floats_have_no_say() {
        for (value, scale, wanted) in [
            // As floats, these lie a little below or above the half that they look like.
            ("2.675", 2, "2.68"),
            ("2.665", 2, "2.66"),
            ("1.005", 2, "1"),
            ("1.015", 2, "1.02"),
            ("0.285", 2, "0.28"),
            ("0.5", 0, "0"),
            ("1.5", 0, "2"),
            ("2.5", 0, "2"),
            ("0.125", 2, "0.12"),
            ("0.375", 2, "0.38"),
            ("0.1250000001", 2, "0.13"),
            ("0.1249999999", 2, "0.12"),
            ("0.0000005", 6, "0"),
            ("0.0000015", 6, "0.000002"),
            ("0.00000050000001", 6, "0.000001"),
            ("0.0000000005", 9, "0"),
            ("0.0000000015", 9, "0.000000002"),
            ("8.5", 200, "8.5"),
            ("0", 0, "0"),
        ] {
            let rounded = exact(value, "1", "1").round_half_even(scale).unwrap();
            assert_eq!(rounded.to_string(), wanted, "{value} at {scale}");
        }
    }

    #[test]
    fn a_tenth_and_two_tenths_are_three_tenths() {
        let mut sum = exact("0.1", "1", "1");
        sum.add(Term::new(number("0.2"), Decimal::ONE, Decimal::ONE));
        assert_eq!(sum.text(), "0.3");
        assert_eq!(sum.round_half_even(9).unwrap().to_string(), "0.3");
    }

    #[test]
    fn thirds_add_up_to_one() {
        let mut sum = Exact::zero();
        for _ in 0..3 {
            sum.add(Term::new(Decimal::ONE, number("3"), Decimal::ONE));
        }
        assert_eq!(sum.text(), "1");
    }

    #[test]
    fn the_divisor_grows_with_the_units_and_not_with_the_terms() {
        let mut sum = Exact::zero();
        for _ in 0..200 {
            for unit in ["6", "4", "9", "7"] {
                sum.add(Term::new(Decimal::ONE, number(unit), Decimal::ONE));
            }
        }
        assert_eq!(sum.divisor, BigUint::from(252u32));
        assert_eq!(sum.text(), "8450/63");
    }

    #[test]
    fn what_ends_is_a_decimal_and_what_does_not_is_a_fraction() {
        for (quantity, unit, price, wanted) in [
            ("1234", "1000000", "2.1", "0.0025914"),
            ("1", "8", "1", "0.125"),
            ("6", "3", "1", "2"),
            ("7", "60", "0.6", "0.07"),
            ("1", "3", "1", "1/3"),
            ("100", "7", "0.5", "50/7"),
            ("0", "7", "0.5", "0"),
            ("1000000000000", "1", "999999999999999", "999999999999999000000000000"),
        ] {
            assert_eq!(exact(quantity, unit, price).text(), wanted);
        }
    }

    #[test]
    fn what_is_too_long_either_way_is_cut() {
        let long = exact("0.123456789012345", "999999999999989", "123456789.012347").text();
        assert_eq!(long, "0.000000015241578753239083691506709344920...");
        let huge = exact("1000000000000", "999999999999989e-30", "999999999999999").text();
        assert_eq!(huge, "1000000000000010000000000000110000000000001...");
        assert!(huge.len() <= MAX_TEXT);
    }

    #[test]
    fn what_exceeds_money_is_none_and_never_wraps() {
        assert_eq!(exact("9000000000", "1", "1").round_half_even(0), Some(Money::MAX));
        assert_eq!(exact("9000000000.4", "1", "1").round_half_even(0), Some(Money::MAX));
        for (quantity, unit, price) in [
            ("9000000001", "1", "1"),
            ("1000000000000", "1", "999999999999999"),
            ("1000000000000", "0.000000000000000000000000000001", "999999999999999"),
            // 2^64, which is 0 in 64 bits.
            ("4294967296", "1", "4294967296"),
        ] {
            let sum = exact(quantity, unit, price);
            for scale in 0..=9 {
                assert_eq!(sum.round_half_even(scale), None, "{quantity} {unit} {price}");
            }
        }
    }
}
