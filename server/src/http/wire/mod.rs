//! What travels: entities as JSON, and JSON as commands. Nowhere else is an entity turned into either.

mod balances;
mod batch;
mod bookings;
mod csv;
mod export;
mod holds;
mod keys;
mod mirror;
mod prices;
mod records;
pub mod schema;
mod summary;
mod transno;

pub use balances::BalanceBody;
pub use batch::{
    Form as BatchForm, MAX_ITEMS, NDJSON, RowBody as BatchRow, answer as batch_answer, items as batch_items,
};
pub use bookings::{fingerprint, read as read_booking, read_item};
pub use export::ExportForm;
pub use holds::{HoldBody, read_capture, read_hold, read_release, read_reverse};
pub use keys::KeyBody;
pub use mirror::MirrorBody;
pub use prices::{QuoteBody, read_quote};
pub use records::{BookedBody, PreviewBody, RecordBody};
pub use summary::SummaryBody;

use serde::Serialize;

use crate::domain::page::ListPage;

/// A page of a list.
#[derive(Debug, Serialize)]
pub struct ListBody<T> {
    rows: Vec<T>,
    next_cursor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<i64>,
}

impl<'a, T> ListBody<T> {
    /// Of a page, row by row.
    pub fn of<E>(page: &'a ListPage<E>, row: impl Fn(&'a E) -> T) -> Self {
        Self {
            rows: page.rows.iter().map(row).collect(),
            next_cursor: page.next_cursor.clone(),
            total: page.total,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_cursor_is_always_there_and_total_when_asked_for() {
        let page = |total| ListPage { rows: vec![1, 2], next_cursor: None, total };
        let json = |total| serde_json::to_string(&ListBody::of(&page(total), |row| *row)).unwrap();
        assert_eq!(json(None), r#"{"rows":[1,2],"next_cursor":null}"#);
        assert_eq!(json(Some(2)), r#"{"rows":[1,2],"next_cursor":null,"total":2}"#);
    }
}
