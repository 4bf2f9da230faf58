use jiff::tz::TimeZone;

use super::*;
use crate::domain::accounts::tests::TestStore;
use crate::model::{Cell, ColumnKind};
use crate::store::{Change, Op, Page};

const NOW: Timestamp = Timestamp::from_seconds(1_780_000_000); // 2026-05-28T20:26:40Z

/// An upsert of a row with some of its columns; users are created at second `created`.
fn row(entity: Entity, id: &str, created: i64, columns: &[(&str, &str)]) -> Change {
    let cells = entity.columns().iter().map(|column| {
        let value = columns.iter().find(|(name, _)| *name == column.name);
        assert_ne!(column.kind, ColumnKind::Money.to_owned(), "no money in these tests").eq(&());
        value.map_or(Cell::Null, |(_, text)| Cell::Text((*text).into()))
    });
    let op = Op::Upsert { created_at: Some(Timestamp::from_seconds(created)), cells: cells.collect() };
    Change { id: TextId::parse(id).unwrap(), version: 1, op }
}
