//! One value of a row, by the kind of its column.

use std::borrow::Cow;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde_json::value::RawValue;

use super::pricing_data;
use crate::model::{Cell, ColumnKind, Money, TextId, Timestamp};

/// Longest pricing data, in bytes.
const MAX_PRICING_DATA: usize = 1 << 20;
/// Decimals are computed with exactly, up to so many digits.
const MAX_DIGITS: usize = 15;
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

/// Reads a value, or says what it must be.
pub(super) fn read_cell(kind: ColumnKind, raw: &RawValue) -> Result<Cell, Reason> {
    let Some(text) = text_of(raw)? else { return Ok(Cell::Null) };
    match kind {
        ColumnKind::Text(max) => check_length(&text, max)?,
        // The platform writes the absence of these as empty text in places.
        _ if text.is_empty() => return Ok(Cell::Null),
        ColumnKind::Id => {
            TextId::parse(&text).map_err(|e| Reason::from(e.to_string()))?;
        }
        ColumnKind::Money => {
            return Money::parse_signed(&text)
                .map(|m| Cell::Int(m.nanos()))
                .map_err(|e| e.to_string().into());
        }
        ColumnKind::Decimal => check_decimal(&text)?,
        ColumnKind::Date => check_date(&text)?,
        ColumnKind::PricingData if text.len() > MAX_PRICING_DATA => {
            return Err("must not be longer than 1 MiB".into());
        }
        ColumnKind::PricingData => pricing_data::check(&text)?,
    }
    Ok(Cell::Text(text.into()))
}

fn check_length(text: &str, max: usize) -> Result<(), Reason> {
    if text.len() > max && text.chars().count() > max {
        return Err(format!("must have at most {max} characters").into());
    }
    Ok(())
}

fn check_decimal(text: &str) -> Result<(), Reason> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let significant = unsigned.bytes().filter(u8::is_ascii_digit).skip_while(|b| *b == b'0').count();
    if text.len() > MAX_DECIMAL || !digits(whole) || !digits(fraction) || significant > MAX_DIGITS {
        return Err("must be a decimal number of at most 15 significant digits, without exponent".into());
    }
    Ok(())
}

fn check_date(text: &str) -> Result<(), Reason> {
    let wrong = || Reason::from("must be a day, written YYYY-MM-DD");
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to).filter(|s| s.bytes().all(|b| b.is_ascii_digit()));
        digits.and_then(|s| s.parse::<i16>().ok()).ok_or_else(wrong)
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let shape = text.len() == 10 && &text[4..5] == "-" && &text[7..8] == "-" && year > 0;
    let small = |n: i16| i8::try_from(n).map_err(|_| wrong());
    if !shape || Date::new(year, small(month)?, small(day)?).is_err() {
        return Err(wrong());
    }
    Ok(())
}

/// Reads RFC 3339, or the platform's own `YYYY-MM-DD HH:MM:SS[.fff]`, which is local in `zone`.
pub(super) fn read_created_at(raw: &RawValue, zone: &TimeZone) -> Result<Option<Timestamp>, Reason> {
    let Some(text) = text_of(raw)?.filter(|text| !text.is_empty()) else { return Ok(None) };
    if let Ok(time) = Timestamp::parse(&text) {
        return Ok(Some(time));
    }
    let local = || -> Option<Timestamp> {
        let shape = (19..=26).contains(&text.len()) && matches!(text.as_bytes()[10], b' ' | b'T');
        let local: DateTime = text.parse().ok().filter(|_| shape)?;
        let micros = local.to_zoned(zone.clone()).ok()?.timestamp().as_microsecond();
        // Times before 1970 would be clamped; then it is not what the platform says.
        (micros >= 0).then(|| Timestamp::from_micros(micros))
    };
    local().map(Some).ok_or_else(|| "must be an RFC 3339 time, or YYYY-MM-DD HH:MM:SS, from 1970 on".into())
}
