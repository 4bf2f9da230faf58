//! Many bookings in one request: a JSON array or NDJSON in, the same form out.

use std::fmt;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::{Error, FieldError};

use super::BookedBody;

/// The most bookings of one request.
pub const MAX_ITEMS: usize = 1000;
/// The media type of NDJSON.
pub const NDJSON: &str = "application/x-ndjson";

/// How a batch came, and how it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A JSON array.
    Array,
    /// One JSON object a line.
    Lines,
}

impl Form {
    /// The form that the request's content-type names.
    pub fn of(headers: &HeaderMap) -> Self {
        let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = value.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case(NDJSON) { Self::Lines } else { Self::Array }
    }
}

/// The items of a batch as text, each still to be read.
pub fn items(body: &[u8], form: Form) -> Result<Vec<&str>, Error> {
    let malformed = |what: String| Error::BodyMalformed(what);
    let text = std::str::from_utf8(body).map_err(|_| malformed("it is not valid UTF-8".to_owned()))?;
    let items: Vec<&str> = match form {
        Form::Array => {
            let FirstItems(raw) = serde_json::from_str(text)
                .map_err(|e| malformed(format!("it is no JSON array; send one, or {NDJSON}: {e}")))?;
            raw.into_iter().map(RawValue::get).collect()
        }
        Form::Lines => {
            text.lines().filter(|line| !line.trim_ascii().is_empty()).take(MAX_ITEMS + 1).collect()
        }
    };
    if items.is_empty() || items.len() > MAX_ITEMS {
        let field = FieldError::new("body", format!("must hold 1 to {MAX_ITEMS} bookings"));
        return Err(Error::Invalid(vec![field]));
    }
    Ok(items)
}

/// The items of an array, or one more than a batch may have: however many come, no more are kept.
struct FirstItems<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for FirstItems<'de> {
    fn deserialize<D: Deserializer<'de>>(array: D) -> Result<Self, D::Error> {
        struct Taking;

        impl<'de> Visitor<'de> for Taking {
            type Value = FirstItems<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of bookings")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while items.len() <= MAX_ITEMS {
                    match array.next_element()? {
                        Some(item) => items.push(item),
                        None => return Ok(FirstItems(items)),
                    }
                }
                while array.next_element::<IgnoredAny>()?.is_some() {}
                Ok(FirstItems(items))
            }
        }

        array.deserialize_seq(Taking)
    }
}

/// What became of one item.
#[derive(Serialize)]
pub struct RowBody<'a> {
    /// Its place in the request, from 0.
    pub index: usize,
    /// The status that it would have had alone.
    pub status: u16,
    /// The booking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<BookedBody<'a>>,
    /// The problem document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct BatchBody<'a> {
    rows: &'a [RowBody<'a>],
    accepted: usize,
    rejected: usize,
}

#[derive(Serialize)]
struct EndLine {
    _end: bool,
    accepted: usize,
    rejected: usize,
}

/// The answer to a batch: in the envelope, or a line for each row and a last line with the counts.
pub fn answer(rows: &[RowBody<'_>], form: Form) -> Result<Bytes, Error> {
    let rejected = rows.iter().filter(|row| row.error.is_some()).count();
    let accepted = rows.len() - rejected;
    let mut body = Vec::with_capacity(rows.len() * 320 + 64);
    let failed = |e: serde_json::Error| Error::Internal(e.to_string());
    match form {
        Form::Array => {
            body.extend_from_slice(b"{\"status\":\"ok\",\"data\":");
            serde_json::to_writer(&mut body, &BatchBody { rows, accepted, rejected }).map_err(failed)?;
            body.push(b'}');
        }
        Form::Lines => {
            for row in rows {
                serde_json::to_writer(&mut body, row).map_err(failed)?;
                body.push(b'\n');
            }
            serde_json::to_writer(&mut body, &EndLine { _end: true, accepted, rejected }).map_err(failed)?;
            body.push(b'\n');
        }
    }
    Ok(body.into())
}
