//! Quantities of Kubernetes: `64Mi`, `1.5`, `100m`, `2e3`.

/// A quantity in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity(i128);

impl Quantity {
    /// Reads a quantity that is not negative.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, suffix) = split(text);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || digits.len() > 30 || fraction.contains('.') {
            return None;
        }
        let digits: i128 = digits.parse().ok()?;
        let scaled = digits.checked_mul(1000)?.checked_mul(factor(suffix))?;
        let (scaled, exponent) = (scaled, exponent(suffix)? - i32::try_from(fraction.len()).ok()?);
        let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
        // What is finer than a thousandth is rounded up, as the API server does.
        let thousandths = if exponent < 0 {
            scaled.div_euclid(power) + i128::from(scaled % power != 0)
        } else {
            scaled.checked_mul(power)?
        };
        Some(Self(thousandths))
    }

    /// A whole number of something.
    pub const fn of(count: u64) -> Self {
        Self(count as i128 * 1000)
    }

    /// As a whole number, rounded up.
    pub fn whole(self) -> Option<u64> {
        u64::try_from((self.0 + 999) / 1000).ok()
    }
}

/// A size in the largest unit that it is a whole number of.
pub fn text_of_bytes(bytes: u64) -> String {
    let units = [(40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")];
    let whole = units.iter().find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    whole.map_or_else(|| bytes.to_string(), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

/// The number of a quantity and its unit, as they are written.
pub fn split(text: &str) -> (&str, &str) {
    let text = text.strip_prefix('+').unwrap_or(text);
    text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()))
}

fn factor(suffix: &str) -> i128 {
    match suffix {
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        "Pi" => 1 << 50,
        "Ei" => 1 << 60,
        _ => 1,
    }
}

/// The power of ten that a suffix stands for.
fn exponent(suffix: &str) -> Option<i32> {
    Some(match suffix {
        "" | "Ki" | "Mi" | "Gi" | "Ti" | "Pi" | "Ei" => 0,
        "m" => -3,
        "k" => 3,
        "M" => 6,
        "G" => 9,
        "T" => 12,
        "P" => 15,
        "E" => 18,
        _ => {
            let digits = suffix.strip_prefix(['e', 'E'])?;
            digits.parse().ok().filter(|exponent: &i32| exponent.abs() <= 18)?
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        for (text, thousandths) in [
            ("1", 1000),
            ("100m", 100),
            ("0.5", 500),
            (".5", 500),
            ("64Mi", 64 * 1024 * 1024 * 1000),
            ("1.5Gi", 1536 * 1024 * 1024 * 1000),
            ("2e3", 2_000_000),
            ("2E3", 2_000_000),
            ("1E", 1_000_000_000_000_000_000_000),
            ("0.0001", 1),
            ("+3k", 3_000_000),
        ] {
            assert_eq!(Quantity::parse(text), Some(Quantity(thousandths)), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", "Mi", "-1", "1 Mi", "1Mb", "1.2.3", "1e", "1e99", "ten", "1mm", &"9".repeat(40)] {
            assert_eq!(Quantity::parse(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_told_in_the_largest_unit_that_fits() {
        for (bytes, text) in
            [(0, "0"), (1 << 20, "1Mi"), (1536 << 20, "1536Mi"), (1 << 40, "1Ti"), (1000, "1000")]
        {
            assert_eq!(text_of_bytes(bytes), text);
        }
    }

    #[test]
    fn a_part_of_a_byte_is_a_byte() {
        assert_eq!(Quantity::parse("1500m").and_then(Quantity::whole), Some(2));
    }
}
