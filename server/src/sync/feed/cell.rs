//! One value of a row, by the kind of its column.

use std::borrow::Cow;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde_json::value::RawValue;

use crate::domain::pricing;
use crate::model::{Cell, ColumnKind, Decimal, Money, TextId, Timestamp, shown};

/// Longest text of a decimal: its column.
const MAX_DECIMAL: usize = 64;

type Reason = Cow<'static, str>;

/// The text of a string, or of a number as it stands there; `None` for null.
pub(super) fn text_of(raw: &RawValue) -> Result<Option<Cow<'_, str>>, Reason> {
    let json = raw.get();
    let text = match json.as_bytes().first() {
        // Without an escape the characters between the quotes are the text.
        Some(b'"') if !json.contains('\\') => Cow::Borrowed(&json[1..json.len() - 1]),
        Some(b'"') => Cow::Owned(serde_json::from_str(json).map_err(|e| Reason::from(e.to_string()))?),
        Some(b'-' | b'0'..=b'9') => Cow::Borrowed(json),
        Some(b'n') => return Ok(None),
        _ => return Err("must be text".into()),
    };
    // MySQL and SQLite differ in what they do with it, and no name has one.
    if text.contains('\0') { Err("must not contain the character U+0000".into()) } else { Ok(Some(text)) }
}

/// Reads a value, or says what it must be. `zone` is that of the platform's days.
pub(super) fn read_cell(kind: ColumnKind, raw: &RawValue, zone: &TimeZone) -> Result<Cell, Reason> {
    let Some(text) = text_of(raw)? else { return Ok(Cell::Null) };
    let arrived = |reason: Reason| Reason::from(format!("{reason}, not {}", shown(&text)));
    match kind {
        ColumnKind::Text(max) => check_length(&text, max)?,
        // The platform writes the absence of these as empty text in places.
        _ if text.is_empty() => return Ok(Cell::Null),
        ColumnKind::Id => {
            TextId::parse(&text).map_err(|e| arrived(e.to_string().into()))?;
        }
        ColumnKind::Money => return read_money(&text).map_err(arrived),
        ColumnKind::Decimal => return read_decimal(&text).map_err(arrived),
        ColumnKind::Date => {
            let day = read_day(&text, zone).map_err(arrived)?;
            return Ok(day.map_or(Cell::Null, |day| Cell::Text(day.to_string().into())));
        }
        ColumnKind::PricingData => pricing::check_yaml(&text).map_err(Reason::from)?,
    }
    Ok(Cell::Text(text.into()))
}

fn check_length(text: &str, max: usize) -> Result<(), Reason> {
    if text.len() > max && text.chars().count() > max {
        return Err(format!("must have at most {max} characters").into());
    }
    Ok(())
}

/// A decimal as it stands there, but for an exponent, which is written out.
fn read_decimal(text: &str) -> Result<Cell, Reason> {
    let decimal = Decimal::parse(text).map_err(|e| Reason::from(e.to_string()))?;
    let written_out = text.contains(['e', 'E']).then(|| decimal.to_string());
    let text = written_out.as_deref().unwrap_or(text);
    if text.len() > MAX_DECIMAL {
        return Err(format!("must have at most {MAX_DECIMAL} characters").into());
    }
    Ok(Cell::Text(text.into()))
}

fn read_money(text: &str) -> Result<Cell, Reason> {
    let money = match Money::parse_signed(text) {
        Err(error) => {
            let decimal = Decimal::parse(text).map_err(|_| Reason::from(error.to_string()))?;
            Money::parse_signed(&decimal.to_string())
        }
        money => money,
    };
    money.map(|money| Cell::Int(money.nanos())).map_err(|error| error.to_string().into())
}

/// Reads a day, or the day of a time. MySQL's zero date stands for none.
fn read_day(text: &str, zone: &TimeZone) -> Result<Option<Date>, Reason> {
    let day = if text.len() == 10 { date(text) } else { local_time(text).map(DateTime::date) };
    if let Some(day) = day {
        return Ok(Some(day));
    }
    if let Ok(instant) = Timestamp::parse(text) {
        // The last hours before the year 10000 have no day in every zone; they mean "never".
        let instant = jiff::Timestamp::from_microsecond(instant.micros()).ok();
        return Ok(Some(instant.map_or(Date::MAX, |instant| zone.to_datetime(instant).date())));
    }
    let zeros = text
        .strip_prefix("0000-00-00")
        .is_some_and(|time| time.bytes().all(|b| matches!(b, b'0' | b':' | b'.' | b' ' | b'T')));
    if zeros { Ok(None) } else { Err("must be a day, written YYYY-MM-DD".into()) }
}

fn date(text: &str) -> Option<Date> {
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to).filter(|s| s.bytes().all(|b| b.is_ascii_digit()));
        digits.and_then(|s| s.parse::<i16>().ok())
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let shape = text.len() == 10 && &text[4..5] == "-" && &text[7..8] == "-" && year > 0;
    let small = |n: i16| i8::try_from(n).ok();
    Date::new(year, small(month)?, small(day)?).ok().filter(|_| shape)
}

/// Reads the platform's own `YYYY-MM-DD HH:MM:SS[.ffffff]`.
fn local_time(text: &str) -> Option<DateTime> {
    let (day, time) = text.split_at_checked(10)?;
    date(day)?;
    // Of the forms that jiff reads only this one; it takes second 60 for 59.
    let two = |at: usize| time.get(at..at + 2).is_some_and(|two| two.bytes().all(|b| b.is_ascii_digit()));
    let plain = two(1) && two(4) && two(7) && &time[3..4] == ":" && &time[6..7] == ":" && &time[7..9] != "60";
    let fraction = time.get(9..)?;
    let decimals = fraction.strip_prefix('.').map_or(fraction.is_empty(), |digits| {
        (1..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
    });
    let shape = plain && decimals && matches!(time.as_bytes()[0], b' ' | b'T') && &time[1..3] != "24";
    text.parse().ok().filter(|_| shape)
}

/// Reads RFC 3339, or a time that is local in `zone`. Anything else is not a time.
pub(super) fn read_created_at(raw: &RawValue, zone: &TimeZone) -> Option<Timestamp> {
    let text = text_of(raw).ok()??;
    if let Ok(time) = Timestamp::parse(&text) {
        return Some(time);
    }
    let micros = local_time(&text)?.to_zoned(zone.clone()).ok()?.timestamp().as_microsecond();
    // Times before 1970 would be clamped; then it is not what the platform says.
    (micros >= 0).then(|| Timestamp::from_micros(micros))
}
