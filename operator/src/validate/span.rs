//! Lengths of time as the server writes them: a whole number and `ms`, `s`, `m`, `h` or `d`.

use std::time::Duration;

/// Reads a length of time.
pub fn parse(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// Writes a length of time in the server's units.
pub fn text(span: Duration) -> String {
    match span.subsec_millis() {
        0 => format!("{}s", span.as_secs()),
        _ => format!("{}ms", span.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_with_their_units() {
        for (span, millis) in
            [("10ms", 10), ("30s", 30_000), ("5m", 300_000), ("2h", 7_200_000), ("1d", 86_400_000)]
        {
            assert_eq!(parse(span), Some(Duration::from_millis(millis)));
        }
        for span in ["", "5", "s", "1.5s", "-1s", "5 s", "1w", "99999999999999999999s"] {
            assert_eq!(parse(span), None, "{span}");
        }
    }

    #[test]
    fn a_span_is_written_as_it_can_be_read() {
        for millis in [1, 1500, 35_000, 86_400_000] {
            let span = Duration::from_millis(millis);
            assert_eq!(parse(&text(span)), Some(span));
        }
    }
}
