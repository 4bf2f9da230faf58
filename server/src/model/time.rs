use std::fmt;

/// An instant: microseconds since 1970-01-01T00:00:00Z, as the databases hold it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

/// A text is no RFC 3339 time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an RFC 3339 time such as 2026-05-28T20:26:40Z, between the years 1970 and 9999")]
pub struct TimestampError;

/// 9999-12-30T21:59:59.999999Z: the end of the range in which every zone has a calendar day.
const MAX_MICROS: i64 = 253_402_207_199_999_999;

impl Timestamp {
    /// From microseconds since the epoch; clamped to the years 1970 to 9999.
    pub const fn from_micros(micros: i64) -> Self {
        if micros < 0 {
            Self(0)
        } else if micros > MAX_MICROS {
            Self(MAX_MICROS)
        } else {
            Self(micros)
        }
    }

    /// From whole seconds since the epoch.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self::from_micros(seconds.saturating_mul(1_000_000))
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This instant and a span after it.
    #[must_use]
    pub fn plus(self, span: std::time::Duration) -> Self {
        Self::from_micros(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This instant and a span before it.
    #[must_use]
    pub fn minus(self, span: std::time::Duration) -> Self {
        Self::from_micros(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Seconds from `earlier` to this instant, zero if it lies after.
    #[expect(clippy::cast_precision_loss, reason = "ages are shown, not computed with")]
    pub fn seconds_since(self, earlier: Self) -> f64 {
        (self.0 - earlier.0).max(0) as f64 / 1e6
    }

    /// Reads RFC 3339 with any offset; digits beyond microseconds are cut off.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        let bytes = text.as_bytes();
        // jiff also reads other forms of ISO 8601; RFC 3339 has a full date, `T` and an offset.
        let shape = bytes.len() >= 20 && bytes[4] == b'-' && matches!(bytes[10], b'T' | b't' | b' ');
        if !shape || text.contains('[') {
            return Err(TimestampError);
        }
        let instant: jiff::Timestamp = text.parse().map_err(|_| TimestampError)?;
        let micros = instant.as_microsecond();
        if (0..=MAX_MICROS).contains(&micros) { Ok(Self(micros)) } else { Err(TimestampError) }
    }

    /// The calendar day in UTC: year, month, day.
    fn civil(self) -> (i64, u32, u32) {
        // Days to a civil date, by the algorithm of H. Hinnant, "chrono-compatible low-level date algorithms".
        let z = self.0.div_euclid(86_400_000_000) + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = u32::try_from(doy - (153 * mp + 2) / 5 + 1).unwrap_or(1);
        let month = u32::try_from(if mp < 10 { mp + 3 } else { mp - 9 }).unwrap_or(1);
        let year = yoe + era * 400 + i64::from(month <= 2);
        (year, month, day)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with six decimals and `Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        let in_day = self.0.rem_euclid(86_400_000_000);
        let (seconds, micros) = (in_day / 1_000_000, in_day % 1_000_000);
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        // Digit by digit, for speed: every answer has such times.
        let mut put = |digits: std::ops::Range<usize>, mut value: i64| {
            for digit in text[digits].iter_mut().rev() {
                *digit += u8::try_from(value % 10).unwrap_or(0);
                value /= 10;
            }
        };
        put(0..4, year);
        put(5..7, month.into());
        put(8..10, day.into());
        put(11..13, seconds / 3600);
        put(14..16, seconds / 60 % 60);
        put(17..19, seconds % 60);
        put(20..26, micros);
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_written_in_utc_with_six_decimals() {
        assert_eq!(Timestamp::from_seconds(1_780_000_000).to_string(), "2026-05-28T20:26:40.000000Z");
        assert_eq!(Timestamp::from_micros(0).to_string(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(Timestamp::from_micros(i64::MAX).to_string(), "9999-12-30T21:59:59.999999Z");
    }

    #[test]
    fn offsets_are_honoured_and_bare_dates_refused() {
        let utc = Timestamp::parse("2026-05-28T20:26:40Z").unwrap();
        assert_eq!(Timestamp::parse("2026-05-29T04:26:40+08:00"), Ok(utc));
        for bad in [
            "",
            "2026-05-28",
            "2026-05-28T20:26:40",
            "1780000000",
            "2026-13-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-05-28T20:26:40+08:00[Asia/Shanghai]",
        ] {
            assert_eq!(Timestamp::parse(bad), Err(TimestampError), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(micros in 0..=MAX_MICROS) {
            let time = Timestamp::from_micros(micros);
            prop_assert_eq!(Timestamp::parse(&time.to_string()), Ok(time));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = Timestamp::parse(&text);
        }
    }
}
