use super::{AccountingQuery, Asked, RecordView, place_after, start_of, views};
use crate::domain::Error;
use crate::domain::page::MAX_LIMIT;
use crate::store::{RecordFilter, RecordOrder, Store};

/// A walk through all records that a query finds, oldest first and page by page. It ends at the record that
/// was the newest when it began; between pages it holds no connection.
#[derive(Debug)]
pub struct Export {
    store: Store,
    /// What is still to be walked through; `None` at the end.
    rest: Option<(RecordFilter, RecordOrder)>,
}

impl Export {
    /// The walk for a query, whose own page does not matter.
    ///
    /// Fails with [`Error::Invalid`] for an unknown status.
    pub async fn start(store: Store, q: AccountingQuery) -> Result<Self, Error> {
        let filter = Asked::new(q)?.bounded(&store).await?;
        let rest = filter.map(|filter| {
            let start = start_of(&filter);
            (filter, start)
        });
        Ok(Self { store, rest })
    }

    /// The next records, up to a thousand; none at the end.
    pub async fn next_page(&mut self) -> Result<Vec<RecordView>, Error> {
        let Some((filter, order)) = &mut self.rest else { return Ok(Vec::new()) };
        let rows = self.store.records(filter, order, true, i64::from(MAX_LIMIT)).await?;
        match rows.last() {
            Some(last) if rows.len() == usize::from(MAX_LIMIT) => {
                *order = place_after(filter, last.seq, last.created_at, last.id);
            }
            _ => self.rest = None,
        }
        views(&self.store, rows).await
    }
}
