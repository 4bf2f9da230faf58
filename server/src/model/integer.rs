//! Integers in JSON. Languages that only have floats write 1200 as 1200.0 or 1.2e3.

use super::decimal::Digits;

/// The integer that a JSON number is, however it is written: 1200, 1200.0 or 1.2e3.
pub fn integer(json: &str) -> Option<i64> {
    if let Ok(number) = json.parse() {
        return Some(number);
    }
    let digits = Digits::parse(json)?;
    if digits.significant == 0 {
        return Some(0);
    }
    let factor = 10i128.checked_pow(u32::try_from(digits.exponent).ok()?)?;
    let magnitude = i128::from(digits.significant).checked_mul(factor)?;
    i64::try_from(if digits.negative { -magnitude } else { magnitude }).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::integer;

    #[test]
    fn an_integer_may_be_written_as_a_float() {
        for (json, value) in [
            ("1200", 1200),
            ("1200.0", 1200),
            ("1.2e3", 1200),
            ("1.2E+3", 1200),
            ("12000e-1", 1200),
            ("0.0012e6", 1200),
            ("1.0", 1),
            ("-5.0", -5),
            ("0.0", 0),
            ("-0", 0),
            ("0e99999", 0),
            ("9223372036854775807.000", i64::MAX),
            ("1e18", 1_000_000_000_000_000_000),
        ] {
            assert_eq!(integer(json), Some(value), "{json}");
        }
        for json in [
            "1200.5",
            "1e-1",
            "1.25e1",
            "9223372036854775808",
            "9223372036854775808.0",
            "1e19",
            "1e2147483647",
            "1e-2147483648",
            "1e99999999999",
            "\"1\"",
            "true",
            "null",
            "[]",
            "",
            "-",
            ".",
        ] {
            assert_eq!(integer(json), None, "{json}");
        }
        assert_eq!(integer(&format!("1.{}", "0".repeat(100_000))), Some(1));
    }

    proptest! {
        #[test]
        fn integers_come_back_however_they_are_written(n: i64, zeros in 0usize..30) {
            prop_assert_eq!(integer(&n.to_string()), Some(n));
            prop_assert_eq!(integer(&format!("{n}.{}", "0".repeat(zeros + 1))), Some(n));
            prop_assert_eq!(integer(&format!("{n}{}e-{zeros}", "0".repeat(zeros))), Some(n));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-0-9.eE+]{0,40}|.*") {
            let _ = integer(&text);
        }
    }
}
