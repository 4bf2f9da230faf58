//! A page of the feed, from bytes to rows. What makes the whole unreadable is an error; what is
//! wrong with one row sets that row aside.

mod cell;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use jiff::tz::TimeZone;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use self::cell::{read_cell, read_created_at, text_of};
use super::source::{Failure, FeedPage, Flaw, SourceError};
use crate::domain::prices;
use crate::model::{Cell, Entity, TextId, Timestamp, integer};
use crate::store::{Change, Op, Page, Partial, Quarantined};

/// More rows than any page of ours asks for.
const MAX_ROWS: usize = 10_000;
/// The column that keeps the cursor.
const MAX_CURSOR: usize = 1024;
/// How much of a bad row is kept, in bytes.
const MAX_KEPT: usize = 4096;
/// How much is said about it, in bytes.
const MAX_REASON: usize = 640;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<Data<'a>>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    rows: Rows<'a>,
    next: Option<String>,
    has_more: Option<bool>,
}

struct Rows<'a>(Vec<&'a RawValue>);

/// A member's name; without the attribute serde would copy every one.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    op: Option<&'a RawValue>,
    #[serde(borrow)]
    version: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// Reads a page. `zone` is where times without an offset are local.
pub(super) fn parse(entity: Entity, body: &[u8], zone: &TimeZone) -> Result<FeedPage, SourceError> {
    let malformed = |reason: String| SourceError::new(Failure::Malformed, reason);
    let envelope: Envelope<'_> = serde_json::from_slice(body)
        .map_err(|e| malformed(format!("the response is not a page of the feed: {e}")))?;
    if envelope.status != "ok" {
        let status = cut(&envelope.status, 64);
        return Err(malformed(format!("the answer's status is {status:?} and not \"ok\"")));
    }
    let Some(Data { rows, next, has_more }) = envelope.data else {
        return Err(malformed("the answer has no data".to_owned()));
    };
    let next = next.filter(|next| !next.is_empty());
    if next.as_ref().is_some_and(|next| next.len() > MAX_CURSOR || next.contains('\0')) {
        return Err(malformed(format!("next must be a text of at most {MAX_CURSOR} characters")));
    }
    let mut page = FeedPage { next, has_more: has_more.unwrap_or(false), ..FeedPage::default() };
    page.changes.reserve_exact(rows.0.len());
    for (index, raw) in rows.0.into_iter().enumerate() {
        match read_row(entity, raw, zone) {
            Ok(change) => {
                page.flaws.extend(flaw(entity, &change));
                page.changes.push(change);
            }
            Err(bad) => {
                let row = set_aside(index, raw, &bad);
                if let (Some(read), Ok(id)) = (bad.read, TextId::parse(&row.id)) {
                    let (version, Read { created_at, cells }) = (row.version, read);
                    page.partial.push(Partial { id, version, created_at, cells });
                }
                page.quarantined.push(row);
            }
        }
    }
    Ok(page)
}

/// Why no charge can be priced by a changed row, if it is a price list.
pub fn flaw(entity: Entity, change: &Change) -> Option<Flaw> {
    let Op::Upsert { cells, .. } = &change.op else { return None };
    let reason = (entity == Entity::Pricing).then(|| prices::flaw(cells)).flatten()?;
    Some(Flaw { id: change.id.clone(), version: change.version, reason: cut(&reason, MAX_REASON).to_owned() })
}

/// Reads rows of a seed file: each is what the feed calls `data`. Their version is 0, so that whatever
/// the platform says of them later wins.
pub fn parse_seed(entity: Entity, rows: &[&RawValue], zone: &TimeZone) -> Page {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        id: Option<&'a RawValue>,
    }
    let mut page = Page::default();
    for (index, raw) in rows.iter().enumerate() {
        let read = || {
            let named: Named<'_> = from_raw(raw, "row")?;
            Ok(Change { id: read_id(named.id)?, version: 0, op: read_data(entity, Some(raw), zone)? })
        };
        match read() {
            Ok(change) => page.changes.push(change),
            Err(error) => page.quarantined.push(set_aside(index, raw, &error)),
        }
    }
    page
}

/// What is wrong with a row, and what could be read of its data.
#[derive(Debug)]
struct BadRow {
    reason: String,
    read: Option<Read>,
}

/// One cell per column, `None` where it could not be read.
#[derive(Debug)]
struct Read {
    created_at: Option<Timestamp>,
    cells: Vec<Option<Cell>>,
}

impl BadRow {
    fn new(field: &'static str, reason: impl fmt::Display) -> Self {
        Self { reason: format!("{field}: {reason}"), read: None }
    }
}

fn read_row(entity: Entity, raw: &RawValue, zone: &TimeZone) -> Result<Change, BadRow> {
    let row: Row<'_> = from_raw(raw, "row")?;
    let id = read_id(row.id)?;
    let version = match row.version.and_then(|v| integer(v.get())) {
        Some(version) if version >= 0 => version,
        _ => return Err(BadRow::new("version", "must be an integer from 0 to 2^63 - 1")),
    };
    let op = match row.op.map(RawValue::get) {
        Some("\"upsert\"") => read_data(entity, row.data, zone)?,
        Some("\"delete\"") => Op::Delete,
        _ => return Err(BadRow::new("op", "must be \"upsert\" or \"delete\"")),
    };
    Ok(Change { id, version, op })
}

fn read_id(raw: Option<&RawValue>) -> Result<TextId, BadRow> {
    let text = raw.map(text_of).transpose().map_err(|e| BadRow::new("id", e))?.flatten();
    TextId::parse(text.as_deref().unwrap_or_default()).map_err(|e| BadRow::new("id", e.to_string()))
}

fn read_data(entity: Entity, raw: Option<&RawValue>, zone: &TimeZone) -> Result<Op, BadRow> {
    let raw = raw.ok_or_else(|| BadRow::new("data", "must be an object"))?;
    let mut deserializer = serde_json::Deserializer::from_str(raw.get());
    let Columns { cells, created_at } =
        Members(entity).deserialize(&mut deserializer).map_err(|e| BadRow::new("data", e.to_string()))?;
    // Nothing depends on it: an invalid time is ignored.
    let created_at = created_at.and_then(|raw| read_created_at(raw, zone));
    let mut wrong = Vec::new();
    let cells = entity.columns().iter().zip(cells).enumerate().map(|(index, (column, raw))| {
        let read = raw.map_or(Ok(Cell::Null), |raw| read_cell(column.kind, raw, zone));
        read.unwrap_or_else(|reason| {
            wrong.push((index, format!("{}: {reason}", column.name)));
            Cell::Null
        })
    });
    let cells: Vec<_> = cells.collect();
    if wrong.is_empty() {
        return Ok(Op::Upsert { created_at, cells });
    }
    let mut cells: Vec<_> = cells.into_iter().map(Some).collect();
    for (index, _) in &wrong {
        cells[*index] = None;
    }
    let reasons: Vec<_> = wrong.into_iter().map(|(_, reason)| reason).collect();
    Err(BadRow { reason: reasons.join("; "), read: Some(Read { created_at, cells }) })
}

/// The members of a row's `data` that are mirrored, not read yet: one per column.
struct Columns<'a> {
    cells: Vec<Option<&'a RawValue>>,
    created_at: Option<&'a RawValue>,
}

/// Reads the members of an entity's row.
struct Members(Entity);

impl<'de> DeserializeSeed<'de> for Members {
    type Value = Columns<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Columns<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members {
    type Value = Columns<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Columns<'de>, A::Error> {
        let columns = self.0.columns();
        let mut found = Columns { cells: vec![None; columns.len()], created_at: None };
        while let Some(Name(name)) = members.next_key()? {
            let slot = match columns.iter().position(|column| column.name == name) {
                Some(index) => &mut found.cells[index],
                // Only users have a creation time upstream.
                None if self.0 == Entity::Users && name == "created_at" => &mut found.created_at,
                None => {
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if slot.replace(members.next_value::<&'de RawValue>()?).is_some() {
                return Err(A::Error::custom(format_args!("{name} stands there twice")));
            }
        }
        Ok(found)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Rows<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;

        impl<'de> Visitor<'de> for Bounded {
            type Value = Vec<&'de RawValue>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of rows")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut rows = Vec::new();
                while let Some(row) = items.next_element::<&'de RawValue>()? {
                    if rows.len() == MAX_ROWS {
                        return Err(A::Error::custom(format_args!("more than {MAX_ROWS} rows")));
                    }
                    rows.push(row);
                }
                Ok(rows)
            }
        }

        deserializer.deserialize_seq(Bounded).map(Rows)
    }
}

fn from_raw<'a, T: Deserialize<'a>>(raw: &'a RawValue, field: &'static str) -> Result<T, BadRow> {
    serde_json::from_str(raw.get()).map_err(|e| BadRow::new(field, e.to_string()))
}

fn set_aside(index: usize, raw: &RawValue, error: &BadRow) -> Quarantined {
    let row = serde_json::from_str::<Row<'_>>(raw.get()).ok();
    let id = row.as_ref().and_then(|row| read_id(row.id).ok());
    let version = row.and_then(|row| integer(row.version?.get()));
    Quarantined {
        // The space keeps what stands for an id apart from every id.
        id: id.map_or_else(|| format!("row {}", index + 1), |id| id.as_str().to_owned()),
        version: version.unwrap_or(0).max(0),
        error: cut(&error.reason, MAX_REASON).to_owned(),
        text: cut(raw.get(), MAX_KEPT).to_owned(),
    }
}

/// At most so many bytes, ending between characters.
fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}
