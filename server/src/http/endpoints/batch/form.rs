//! Many items in one request: a JSON array or NDJSON in, the same form out.

use std::fmt;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::domain::{Error, FieldError};
use crate::http::routes::NDJSON;
use crate::http::schema;

/// The most items of one request.
pub const MAX_ITEMS: usize = 1000;

/// The form of a batch and of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchForm {
    /// A JSON array.
    Array,
    /// NDJSON: one JSON object per line.
    Lines,
}

impl BatchForm {
    /// The form that the request's content-type names.
    pub fn of(headers: &HeaderMap) -> Self {
        let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = value.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case(NDJSON) { Self::Lines } else { Self::Array }
    }
}

/// Splits a batch into its items, which are still to be parsed.
pub fn items(body: &[u8], form: BatchForm) -> Result<Vec<&str>, Error> {
    let malformed = |what: String| Error::BodyMalformed(what);
    let text = std::str::from_utf8(body).map_err(|_| malformed("it is not valid UTF-8".to_owned()))?;
    let items: Vec<&str> = match form {
        BatchForm::Array => {
            let FirstItems(raw) = serde_json::from_str(text)
                .map_err(|e| malformed(format!("it is not a JSON array; send one, or {NDJSON}: {e}")))?;
            raw.into_iter().map(RawValue::get).collect()
        }
        BatchForm::Lines => {
            text.lines().filter(|line| !line.trim_ascii().is_empty()).take(MAX_ITEMS + 1).collect()
        }
    };
    if items.is_empty() || items.len() > MAX_ITEMS {
        let field = FieldError::new("body", format!("must contain 1 to {MAX_ITEMS} items"));
        return Err(Error::Invalid(vec![field]));
    }
    Ok(items)
}

/// The items of an array: at most one more than a batch may have, however many are sent.
struct FirstItems<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for FirstItems<'de> {
    fn deserialize<D: Deserializer<'de>>(array: D) -> Result<Self, D::Error> {
        struct Taking;

        impl<'de> Visitor<'de> for Taking {
            type Value = FirstItems<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of items")
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

/// The outcome of one item.
#[derive(Serialize)]
pub struct BatchRow<D> {
    /// Its place in the request, from 0.
    pub index: usize,
    /// The status that it would have on its own.
    pub status: u16,
    /// What it came to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<D>,
    /// The problem document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct BatchBody<'a, D> {
    rows: &'a [BatchRow<D>],
    accepted: usize,
    rejected: usize,
}

#[derive(Serialize)]
struct EndLine {
    _end: bool,
    accepted: usize,
    rejected: usize,
}

/// Writes the answer to a batch: in the envelope, or a line for each row and a last line with the counts.
pub fn write_answer<D: Serialize>(rows: &[BatchRow<D>], form: BatchForm) -> Result<Bytes, Error> {
    let rejected = rows.iter().filter(|row| row.error.is_some()).count();
    let accepted = rows.len() - rejected;
    let mut body = Vec::with_capacity(rows.len() * 320 + 64);
    let failed = |e: serde_json::Error| Error::Internal(e.to_string());
    match form {
        BatchForm::Array => {
            body.extend_from_slice(b"{\"status\":\"ok\",\"data\":");
            serde_json::to_writer(&mut body, &BatchBody { rows, accepted, rejected }).map_err(failed)?;
            body.push(b'}');
        }
        BatchForm::Lines => {
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

/// The schema of a batch as an array.
pub fn batch_schema(item: &Schema) -> Schema {
    json_schema!({
        "type": "array", "items": item, "minItems": 1, "maxItems": 1000,
        "description": "Or the same items as application/x-ndjson, one a line; the answer then has that form too.",
    })
}

/// The schema of a batch as lines. A generator that does not know the media type sends the text.
pub fn batch_lines_schema(item: &Schema) -> Schema {
    schema::lines(item, "One item a line.")
}

/// The schema of the answer to lines; `name` is that of a line's schema.
pub fn answer_lines_schema(g: &mut SchemaGenerator, name: &str, data: &Schema) -> Schema {
    let properties = |row: Value| {
        let mut line = row;
        line["_end"] =
            json!({ "type": "boolean", "description": "Only in the last line, which has the counts." });
        line["accepted"] = schema::count();
        line["rejected"] = schema::count();
        line
    };
    let schema = json!({ "type": "object", "properties": properties(row_properties(data)) });
    let line = schema::defined(g, name, schema);
    schema::lines(
        &line,
        "A line for each item, in their order, then one with the counts: without it the answer is not complete.",
    )
}

fn row_properties(data: &Schema) -> Value {
    json!({
        "index": schema::count(), "status": schema::status(), "data": data,
        "error": { "$ref": "#/components/schemas/Problem" },
    })
}

/// The schema of the answer to an array; the names are those of the answer's schema and of a row's.
pub fn answer_schema(g: &mut SchemaGenerator, [name, row_name]: [&str; 2], data: &Schema) -> Schema {
    let properties = row_properties(data);
    let row = json!({ "type": "object", "required": ["index", "status"], "properties": properties });
    let row = schema::defined(g, row_name, row);
    let schema = json!({
        "type": "object", "required": ["rows", "accepted", "rejected"],
        "properties": {
            "rows": { "type": "array", "items": row }, "accepted": schema::count(), "rejected": schema::count(),
        },
    });
    schema::defined(g, name, schema)
}
