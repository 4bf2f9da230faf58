use super::{AccountingQuery, Asked, RecordView, place_after, start_of, views};
use crate::domain::Error;
use crate::store::{RecordFilter, RecordOrder, Store};

/// Records of a page: a record may take ten thousand bytes and more, several times over on its way, and exports
/// take long.
pub const EXPORT_PAGE: u16 = 100;

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

    /// The next records, up to [`EXPORT_PAGE`]; none at the end.
    pub async fn next_page(&mut self) -> Result<Vec<RecordView>, Error> {
        let Some((filter, order)) = &mut self.rest else { return Ok(Vec::new()) };
        let rows = self.store.records(filter, order, true, i64::from(EXPORT_PAGE)).await?;
        match rows.last() {
            Some(last) if rows.len() == usize::from(EXPORT_PAGE) => {
                *order = place_after(filter, last.seq, last.created_at, last.id);
            }
            _ => self.rest = None,
        }
        views(&self.store, rows).await
    }
}
