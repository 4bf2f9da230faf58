//! Numbers as the decimals that they are written as, so that no digit passes through a float.

use crate::model::Decimal;

/// The one spelling of a JSON number from 0 to 10^12 with at most 17 significant digits; `None` for any other
/// JSON value.
pub(super) fn quantity(json: &str) -> Option<String> {
    let number = Decimal::parse(json).ok().filter(|number| *number <= Decimal::MAX_QUANTITY)?;
    (!json.starts_with('-')).then(|| number.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::quantity;

    #[test]
    fn numbers_have_one_spelling() {
        for (json, text) in [
            ("0", "0"),
            ("0.000", "0"),
            ("0e99", "0"),
            ("1", "1"),
            ("1.0", "1"),
            ("10", "10"),
            ("1e1", "10"),
            ("1E+2", "100"),
            ("123.4500", "123.45"),
            ("1.5e-7", "0.00000015"),
            ("1000000000000", "1000000000000"),
            ("1e12", "1000000000000"),
            ("999999999999.999", "999999999999.999"),
            ("0.1e1", "1"),
            ("100e-2", "1"),
            ("0.012e3", "12"),
            ("3.2158629894256592", "3.2158629894256592"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("5.551115123125783e-17", "0.00000000000000005551115123125783"),
            ("123456789012.34567", "123456789012.34567"),
        ] {
            assert_eq!(quantity(json).as_deref(), Some(text), "{json}");
        }
    }

    #[test]
    fn numbers_beyond_the_bounds_are_none() {
        for json in [
            "-1",
            "-0",
            "1000000000001",
            "1000000000000.1",
            "1e13",
            "9e12",
            "1e99999999999",
            "1e2147483647",
            "1e-2147483648",
            "1e-41",
            "1234567890.12345678",
            "null",
            "true",
            "\"1\"",
            "[]",
            "{}",
            "",
        ] {
            assert_eq!(quantity(json), None, "{json}");
        }
    }

    proptest! {
        #[test]
        fn integers_come_back(n in 0..=999_999_999_999u64) {
            prop_assert_eq!(quantity(&n.to_string()), Some(n.to_string()));
        }

        #[test]
        fn the_value_stays(digits in 1u64..1_000_000, exponent in -12i32..6) {
            let text = quantity(&format!("{digits}e{exponent}")).unwrap();
            let value: f64 = text.parse().unwrap();
            let wanted: f64 = format!("{digits}e{exponent}").parse().unwrap();
            prop_assert!((value - wanted).abs() <= wanted * 1e-12);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = quantity(&text);
        }
    }
}
