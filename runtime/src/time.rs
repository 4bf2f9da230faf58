use std::fmt;

/// An instant: microseconds since 1970-01-01T00:00:00Z, as the databases hold it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

/// The text is not an RFC 3339 time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an RFC 3339 time such as 2026-05-28T20:26:40Z, between the years 1970 and 9999")]
pub struct TimestampError;

/// 9999-12-31T23:59:59.999999Z, the last instant that RFC 3339 can write in UTC.
const MAX_MICROS: i64 = 253_402_300_799_999_999;
/// The days, in UTC, that ended with a leap second.
const LEAP_SECOND_DAYS: [(i64, u32, u32); 27] = [
    (1972, 6, 30),
    (1972, 12, 31),
    (1973, 12, 31),
    (1974, 12, 31),
    (1975, 12, 31),
    (1976, 12, 31),
    (1977, 12, 31),
    (1978, 12, 31),
    (1979, 12, 31),
    (1981, 6, 30),
    (1982, 6, 30),
    (1983, 6, 30),
    (1985, 6, 30),
    (1987, 12, 31),
    (1989, 12, 31),
    (1990, 12, 31),
    (1992, 6, 30),
    (1993, 6, 30),
    (1994, 6, 30),
    (1995, 12, 31),
    (1997, 6, 30),
    (1998, 12, 31),
    (2005, 12, 31),
    (2008, 12, 31),
    (2012, 6, 30),
    (2015, 6, 30),
    (2016, 12, 31),
];

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

    /// Reads RFC 3339, with `Z` or an offset `+hh:mm`; digits beyond microseconds are cut off. A leap second is read as
    /// the last microsecond of its day, and only on days that had one.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        let micros = parse_micros(text).ok_or(TimestampError)?;
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

/// Microseconds since the epoch, negative before 1970.
fn parse_micros(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let shape = bytes.len() >= 20
        && (bytes[4], bytes[7], bytes[13], bytes[16]) == (b'-', b'-', b':', b':')
        && matches!(bytes[10], b'T' | b't' | b' ');
    if !shape {
        return None;
    }
    let (year, month, day) = (number(bytes, 0, 4)?, number(bytes, 5, 2)?, number(bytes, 8, 2)?);
    let (hour, minute, second) = (number(bytes, 11, 2)?, number(bytes, 14, 2)?, number(bytes, 17, 2)?);
    let in_range = (1..=days_in(year, month)).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !in_range {
        return None;
    }
    let (fraction, offset) = fraction(&bytes[19..])?;
    let minutes = days_from_civil(year, month, day) * 1440 + hour * 60 + minute - offset_minutes(offset)?;
    if second < 60 {
        return Some((minutes * 60 + second) * 1_000_000 + fraction);
    }
    let last = (minutes + 1) * 60_000_000 - 1;
    let is_leap = (minutes + 1) % 1440 == 0 && LEAP_SECOND_DAYS.contains(&Timestamp(last).civil());
    is_leap.then_some(last)
}

/// So many digits from a place on.
fn number(bytes: &[u8], from: usize, count: usize) -> Option<i64> {
    let digits = bytes.get(from..from + count)?;
    digits
        .iter()
        .try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
}

/// The microseconds of `.ddd`, if there are any, and what follows.
fn fraction(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let Some(rest) = bytes.strip_prefix(b".") else { return Some((0, bytes)) };
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut micros = [b'0'; 6];
    micros.iter_mut().zip(&rest[..count]).for_each(|(to, from)| *to = *from);
    (count > 0).then_some((number(&micros, 0, 6)?, &rest[count..]))
}

/// How far the offset, `Z` or `+hh:mm`, is ahead of UTC.
fn offset_minutes(offset: &[u8]) -> Option<i64> {
    let sign = match offset.first()? {
        b'Z' | b'z' if offset.len() == 1 => return Some(0),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = (number(offset, 1, 2)?, number(offset, 4, 2)?);
    let shape = offset.len() == 6 && offset[3] == b':' && hours < 24 && minutes < 60;
    shape.then_some(sign * (hours * 60 + minutes))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    }
}

/// Days from the epoch to a civil date, the reverse of [`Timestamp::civil`].
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, yoe) = (year.div_euclid(400), year.rem_euclid(400));
    let doy = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
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

impl From<Timestamp> for jiff::Timestamp {
    /// jiff ends a day earlier than [`Timestamp`] does; both ends mean "never".
    fn from(time: Timestamp) -> Self {
        Self::from_microsecond(time.micros()).unwrap_or(Self::MAX)
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
        assert_eq!(Timestamp::from_micros(i64::MAX).to_string(), "9999-12-31T23:59:59.999999Z");
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

    fn read(text: &str) -> Option<String> {
        Timestamp::parse(text).ok().map(|time| time.to_string())
    }

    #[test]
    fn only_the_forms_of_rfc_3339_are_read() {
        for (text, utc) in [
            ("2026-01-01t00:00:00z", "2026-01-01T00:00:00.000000Z"),
            ("2026-01-01 00:00:00Z", "2026-01-01T00:00:00.000000Z"),
            ("2026-01-01T00:00:00-00:00", "2026-01-01T00:00:00.000000Z"),
            ("2026-01-01T00:00:00-23:59", "2026-01-01T23:59:00.000000Z"),
            ("2028-02-29T12:00:00.5+05:30", "2028-02-29T06:30:00.500000Z"),
            ("2000-02-29T00:00:00Z", "2000-02-29T00:00:00.000000Z"),
            ("2026-01-01T00:00:00.1234569999Z", "2026-01-01T00:00:00.123456Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000000Z"),
            ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999Z"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(utc), "{text}");
        }
        for text in [
            "2026-01-01T00:00:00+0800",
            "2026-01-01T00:00:00+08",
            "2026-01-01T00:00:00+8:00",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00+08:60",
            "2026-01-01T00:00:00+08:00:00",
            "2026-01-01T00:00:00 08:00",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00,5Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:61Z",
            "2026-01-01T00:00:00ZZ",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "+2026-01-01T00:00:00Z",
            "20260101T000000Z",
            "10000-01-01T00:00:00Z",
            "9999-12-31T23:59:59-00:01",
            "1970-01-01T00:00:00+08:00",
            "２０２６-01-01T00:00:00Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_leap_second_is_read_where_there_was_one() {
        for text in ["2016-12-31T23:59:60Z", "2017-01-01T07:59:60.25+08:00"] {
            assert_eq!(read(text).as_deref(), Some("2016-12-31T23:59:59.999999Z"), "{text}");
        }
        assert_eq!(read("1990-12-31T15:59:60-08:00").as_deref(), Some("1990-12-31T23:59:59.999999Z"));
        for text in [
            "2026-06-30T12:00:60Z",
            "2026-06-30T23:59:60Z",
            "2016-12-31T23:58:60Z",
            "2016-12-31T23:59:60+08:00",
            "2017-12-31T23:59:60Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(micros in 0..=MAX_MICROS) {
            let time = Timestamp::from_micros(micros);
            prop_assert_eq!(Timestamp::parse(&time.to_string()), Ok(time));
        }

        #[test]
        fn what_is_read_is_what_another_implementation_reads(
            text in "(19[0-9]{2}|20[0-9]{2})-(0[1-9]|1[0-2])-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-][01][0-9]:[0-5][0-9])"
        ) {
            let other = text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond);
            prop_assert_eq!(Timestamp::parse(&text).ok().map(Timestamp::micros), other.filter(|micros| *micros >= 0));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = Timestamp::parse(&text);
        }

        #[test]
        fn nothing_like_a_time_makes_the_parser_panic(text in "[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}[-+.:0-9Zz]{0,12}.?") {
            let _ = Timestamp::parse(&text);
        }
    }
}
