//! What the fuzz targets of fuzz/ call, and what the replay of their corpora calls: each panics on a broken promise.

use std::fmt::Debug;

use super::cursor::{Listing, Position};
use super::pricing::{Arithmetic, Decimal, Program, Usage};
use crate::model::{Money, RecordId, TextId, Timestamp};

/// Decimals: what is read is written so that it is read as the same again, and no sum is off.
pub fn decimals(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(money) = Money::parse(text) {
        assert_eq!(Money::parse(&money.to_string()), Ok(money), "{text}");
        assert_eq!(Money::parse_signed(text), Ok(money), "{text}");
    }
    if let Ok(money) = Money::parse_signed(text) {
        assert_eq!(Money::parse_signed(&money.to_string()), Ok(money), "{text}");
        assert_eq!(money.checked_sub(money), Some(Money::ZERO), "{text}");
    }
    if let Ok(number) = Decimal::parse(text) {
        assert_eq!(Decimal::parse(&number.to_string()), Ok(number), "{text}");
    }
}

/// Cursors: only what was made for a list is a cursor of it, and gives the position that it was made of.
pub fn cursors(data: &[u8]) {
    one_cursor::<i64>(data);
    one_cursor::<(Timestamp, RecordId)>(data);
    one_cursor::<(Timestamp, TextId)>(data);
}

fn one_cursor<P: Position + PartialEq + Debug>(data: &[u8]) {
    let list = Listing::new(&[7; 32], "accounting", false);
    let mut other = Listing::new(&[7; 32], "accounting", false);
    other.condition("kind", b"charge");
    if let Some(position) = P::read(data) {
        let cursor = list.encode(&position);
        assert_eq!(list.decode::<P>(&cursor).ok(), Some(position));
        assert!(other.decode::<P>(&cursor).is_err(), "{cursor} is of another list");
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(position) = list.decode::<P>(text)
    {
        assert_eq!(list.encode(&position), text);
    }
}

/// Pricing data: a list that compiles gives an amount that the arithmetic beside it gives again, or a reason.
pub fn pricing_data(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // After a NUL stands the quantity that is priced.
    let (yaml, quantity) = text.split_once('\0').unwrap_or((text, "1000"));
    let Ok(program) = Program::compile(yaml) else { return };
    let mut usage = Usage::new();
    for factor in ["input_tokens", "output_tokens", "total_tokens", "images", "seconds"] {
        // Out of range, it is not counted.
        let _refused = usage.quantity(factor, quantity);
    }
    usage.attribute("resolution", "720p");
    let discount = Decimal::parse("0.85").ok();
    if let Ok(priced) = program.price(&usage, discount.as_ref(), 6) {
        let arithmetic = Arithmetic {
            row: "row".to_owned(),
            date: "2026-01-01".to_owned(),
            discount: Some("0.85".to_owned()),
            scale: 6,
            lines: priced.lines,
        };
        let again = Arithmetic::parse(&arithmetic.to_json()).and_then(|kept| kept.recompute());
        assert_eq!(again, Some((priced.amount, priced.unrounded)), "{yaml}");
    }
}
