//! Quantities as decimal text, so that no digit passes through a float.

const MOST_DIGITS: usize = 15;
/// Beyond this many decimals a quantity is noise of a float, not something that was counted.
const MOST_DECIMALS: usize = 30;
/// 10^12, the largest quantity, has this many digits; only itself does.
const LARGEST: &str = "1000000000000";

/// The one spelling of a JSON number from 0 to 10^12 with at most 15 significant digits; `None` for any other
/// JSON value.
pub(super) fn quantity(json: &str) -> Option<String> {
    let (mantissa, exponent) = match json.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (json, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: String = [whole, fraction].concat();
    // A sign, a string or an object is no digit.
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_start_matches('0');
    let leading = digits.len() - significant.len();
    let significant = significant.trim_end_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    if significant.len() > MOST_DIGITS {
        return None;
    }
    // Where the point stands, counted from the first significant digit.
    let point = i64::try_from(whole.len()).ok()? - i64::try_from(leading).ok()? + i64::from(exponent);
    if point > i64::try_from(LARGEST.len()).ok()? {
        return None;
    }
    let text = if let Ok(point) = usize::try_from(point)
        && point > 0
    {
        if significant.len() <= point {
            format!("{significant:0<point$}")
        } else {
            format!("{}.{}", &significant[..point], &significant[point..])
        }
    } else {
        let zeros =
            usize::try_from(-point).ok().filter(|zeros| zeros + significant.len() <= MOST_DECIMALS)?;
        format!("0.{}{significant}", "0".repeat(zeros))
    };
    (point < 13 || text == LARGEST).then_some(text)
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
            "1e-31",
            "1234567890.1234567",
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
