use std::cmp::Ordering;
use std::fmt;

/// What a float takes to be written so that the same float is read back.
const MAX_DIGITS: u32 = 17;
/// What 64 bits hold.
const MAX_SIGNIFICANT: u32 = 19;
const MAX_WHOLE_DIGITS: i64 = 18;
/// Room for the digits of what a subtraction of floats leaves over, such as 5.551115123125783e-17.
const MAX_DECIMALS: i64 = 40;

/// A decimal number: at most 17 significant digits, below 10^18, at most 40 decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    /// Not divisible by ten, so that equal numbers are equal values; zero is 0 x 10^0.
    mantissa: i64,
    exponent: i8,
}

/// The text is not a [`Decimal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a decimal number of at most 17 significant digits, below 10^18, with at most 40 decimals")]
pub struct DecimalError;

/// A number as it is written: its sign, the significant digits, how many there are, and the power of ten that they
/// count. At most 19 digits, which is what 64 bits hold.
pub(super) struct Digits {
    pub(super) negative: bool,
    pub(super) significant: u64,
    count: u32,
    pub(super) exponent: i64,
}

impl Digits {
    /// Reads digits with an optional `-`, point and exponent.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (unsigned, negative) = text.strip_prefix('-').map_or((text, false), |rest| (rest, true));
        let (number, power) = match unsigned.split_once(['e', 'E']) {
            Some((number, power)) => (number, power.parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let (mut significant, mut count, mut zeros) = (0u64, 0u32, 0u32);
        for byte in whole.bytes().chain(fraction.bytes()) {
            match byte {
                // Zeros count only once a digit follows them, and lead only before the first.
                b'0' => zeros = zeros.saturating_add(1),
                b'1'..=b'9' => {
                    let places = if count == 0 { 1 } else { zeros.saturating_add(1) };
                    count = count.saturating_add(places);
                    if count > MAX_SIGNIFICANT {
                        return None;
                    }
                    significant = significant * 10u64.pow(places) + u64::from(byte - b'0');
                    zeros = 0;
                }
                _ => return None,
            }
        }
        let exponent = i64::from(power) - i64::try_from(fraction.len()).ok()? + i64::from(zeros);
        Some(Self { negative, significant, count, exponent })
    }
}

impl Decimal {
    /// Zero.
    pub const ZERO: Self = Self { mantissa: 0, exponent: 0 };
    /// One.
    pub const ONE: Self = Self { mantissa: 1, exponent: 0 };
    /// The largest quantity of a usage, 10^12.
    pub const MAX_QUANTITY: Self = Self { mantissa: 1, exponent: 12 };

    /// Reads digits with an optional `-`, point and exponent. Leading zeros are refused: in YAML they can mean an
    /// octal number.
    pub fn parse(text: &str) -> Result<Self, DecimalError> {
        if let [b'0', b'0'..=b'9', ..] = text.strip_prefix('-').unwrap_or(text).as_bytes() {
            return Err(DecimalError);
        }
        let Digits { negative, significant, count, exponent } = Digits::parse(text).ok_or(DecimalError)?;
        if significant == 0 {
            return Ok(Self::ZERO);
        }
        let mantissa = i64::try_from(significant).map_err(|_| DecimalError)?;
        Self::bounded(if negative { -mantissa } else { mantissa }, count, exponent).ok_or(DecimalError)
    }

    /// Whether the number is below zero.
    pub const fn is_negative(self) -> bool {
        self.mantissa < 0
    }

    /// The digits without sign, and the power of ten that they count.
    pub(crate) const fn parts(self) -> (u64, i32) {
        (self.mantissa.unsigned_abs(), self.exponent as i32)
    }

    /// A whole number; `None` beyond the bounds.
    pub(crate) fn whole(number: u64) -> Option<Self> {
        Self::reduced(i128::from(number), 0)
    }

    /// The sum; `None` beyond the bounds.
    pub(crate) fn checked_add(self, other: Self) -> Option<Self> {
        let exponent = match (self.mantissa, other.mantissa) {
            (0, _) => return Some(other),
            (_, 0) => return Some(self),
            _ => self.exponent.min(other.exponent),
        };
        let scaled = |number: Self| {
            let factor = 10i128.checked_pow(u32::from(number.exponent.abs_diff(exponent)))?;
            i128::from(number.mantissa).checked_mul(factor)
        };
        Self::reduced(scaled(self)?.checked_add(scaled(other)?)?, i64::from(exponent))
    }

    fn reduced(mut mantissa: i128, mut exponent: i64) -> Option<Self> {
        if mantissa == 0 {
            return Some(Self::ZERO);
        }
        while mantissa % 10 == 0 {
            mantissa /= 10;
            exponent += 1;
        }
        let digits = mantissa.unsigned_abs().ilog10() + 1;
        Self::bounded(i64::try_from(mantissa).ok()?, digits, exponent)
    }

    fn bounded(mantissa: i64, digits: u32, exponent: i64) -> Option<Self> {
        let fits = digits <= MAX_DIGITS
            && exponent >= -MAX_DECIMALS
            && exponent.saturating_add(i64::from(digits)) <= MAX_WHOLE_DIGITS;
        i8::try_from(exponent).ok().filter(|_| fits).map(|exponent| Self { mantissa, exponent })
    }

    /// Compares sizes, not signs.
    fn cmp_magnitude(self, other: Self) -> Ordering {
        let ((a, a_exponent), (b, b_exponent)) = (self.parts(), other.parts());
        let (Some(a_digits), Some(b_digits)) = (a.checked_ilog10(), b.checked_ilog10()) else {
            return a.cmp(&b);
        };
        // Where the first digit stands decides; if that is equal, the exponents are less than 17 apart.
        let leading =
            (i64::from(a_exponent) + i64::from(a_digits)).cmp(&(i64::from(b_exponent) + i64::from(b_digits)));
        leading.then_with(|| {
            let least = a_exponent.min(b_exponent);
            let scaled = |n: u64, exponent: i32| u128::from(n) * 10u128.pow(exponent.abs_diff(least));
            scaled(a, a_exponent).cmp(&scaled(b, b_exponent))
        })
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        self.mantissa.signum().cmp(&other.mantissa.signum()).then_with(|| {
            if self.is_negative() { other.cmp_magnitude(*self) } else { self.cmp_magnitude(*other) }
        })
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Decimal {
    /// Without exponent and without needless zeros.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (digits, exponent) = self.parts();
        f.write_str(if self.is_negative() { "-" } else { "" })?;
        f.write_str(&point(digits.to_string(), exponent))
    }
}

/// Digits x 10^exponent written out, without needless zeros.
pub(crate) fn point(mut digits: String, exponent: i32) -> String {
    let places = usize::try_from(exponent.unsigned_abs()).unwrap_or(usize::MAX);
    if digits == "0" {
        return digits;
    }
    if exponent >= 0 {
        digits.extend(std::iter::repeat_n('0', places));
        return digits;
    }
    if digits.len() <= places {
        digits.insert_str(0, &"0".repeat(places - digits.len() + 1));
    }
    digits.insert(digits.len() - places, '.');
    digits.truncate(digits.trim_end_matches('0').trim_end_matches('.').len());
    digits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_have_one_spelling() {
        for (text, wanted) in [
            ("0", "0"),
            ("-0.0", "0"),
            ("0e99", "0"),
            ("1", "1"),
            ("1.50", "1.5"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1000000", "1000000"),
            ("1e6", "1000000"),
            ("1.0e-06", "0.000001"),
            ("1E+2", "100"),
            ("-12.034", "-12.034"),
            ("999999999999999", "999999999999999"),
            ("0.000000000000000000000000000001", "0.000000000000000000000000000001"),
            ("100000000000000", "100000000000000"),
            ("123456789.012345", "123456789.012345"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("3.2158629894256592", "3.2158629894256592"),
            ("5.551115123125783e-17", "0.00000000000000005551115123125783"),
            ("99999999999999999", "99999999999999999"),
        ] {
            assert_eq!(Decimal::parse(text).map(|d| d.to_string()), Ok(wanted.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_or_has_too_many_digits_is_refused() {
        for text in [
            "",
            "-",
            ".",
            "-.",
            "e5",
            "1e",
            "1e1.5",
            "+1",
            "--1",
            "01",
            "007",
            "0x10",
            "1_000",
            "1,5",
            " 1",
            "1 ",
            "１",
            "1.2.3",
            "NaN",
            ".inf",
            "1e18",
            "1000000000000000000",
            "123456789012345678",
            "1.00000000000000001",
            "1e-41",
            "1e99999999999",
            "1e2147483647",
            "1e-2147483648",
            "1:30",
        ] {
            assert_eq!(Decimal::parse(text), Err(DecimalError), "{text:?}");
        }
    }

    #[test]
    fn long_runs_of_zeros_are_counted_and_not_computed() {
        let zeros = "0".repeat(100_000);
        assert_eq!(Decimal::parse(&format!("1{zeros}")), Err(DecimalError));
        assert_eq!(Decimal::parse(&format!("0.{zeros}1")), Err(DecimalError));
        assert_eq!(Decimal::parse(&format!("1.{zeros}")), Ok(Decimal::ONE));
        assert_eq!(Decimal::parse(&format!("1{zeros}e-100000")), Ok(Decimal::ONE));
    }

    #[test]
    fn sums_are_exact_or_none() {
        let number = |text| Decimal::parse(text).unwrap();
        for (a, b, sum) in [
            ("0.1", "0.2", Some("0.3")),
            ("5", "5", Some("10")),
            ("0", "1e-30", Some("1e-30")),
            ("1e12", "0", Some("1e12")),
            ("1", "-1", Some("0")),
            ("99999999999999999", "1", Some("1e17")),
            ("99999999999999999e1", "1", None),
            ("9e17", "1e17", None),
            ("10000000000000000", "0.1", None),
            ("1e12", "1e-30", None),
        ] {
            assert_eq!(number(a).checked_add(number(b)), sum.map(number), "{a} {b}");
        }
        assert_eq!(Decimal::whole(120), Some(number("120")));
        assert_eq!(Decimal::whole(0), Some(Decimal::ZERO));
        assert_eq!(Decimal::whole(u64::MAX), None);
    }

    #[test]
    fn numbers_are_in_the_order_of_their_values() {
        let ascending = [
            "-1e14",
            "-32000.5",
            "-32000",
            "-1",
            "-0.5",
            "-1e-30",
            "0",
            "1e-30",
            "0.09",
            "0.1",
            "0.99999",
            "1",
            "1.00001",
            "9",
            "10",
            "99",
            "32000",
            "32000.5",
            "1e14",
            "999999999999999",
        ]
        .map(|text| Decimal::parse(text).unwrap());
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(a.cmp(b), i.cmp(&j), "{a} {b}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(mantissa in -99_999_999_999_999_999i64..=99_999_999_999_999_999, exponent in -40i32..=0) {
            let number = Decimal::parse(&format!("{mantissa}e{exponent}")).unwrap();
            prop_assert_eq!(Decimal::parse(&number.to_string()), Ok(number));
        }

        #[test]
        fn scaled_integers_compare_as_integers(a in -1_000_000i64..1_000_000, b in -1_000_000i64..1_000_000, e in -40i32..=0) {
            let number = |n: i64| Decimal::parse(&format!("{n}e{e}")).unwrap();
            prop_assert_eq!(number(a).cmp(&number(b)), a.cmp(&b));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[-0-9.eE+]{0,40}|.*") {
            let _ = Decimal::parse(&text);
        }
    }
}
