use super::{AccountingQuery, RecordView, views};
use crate::domain::Error;
use crate::model::Reach;
use crate::store::{Filter as _, RecordFilter, RecordPosition, Store, Window};

/// Records of a page: a record may take ten thousand bytes and more, several times over on its way, and exports
/// take long.
pub const EXPORT_PAGE: u16 = 100;

/// A walk through all records that a query finds, oldest first and page by page. It ends at the record that
/// was the newest when it began; between pages it holds no connection.
#[derive(Debug)]
pub struct Export {
    store: Store,
    /// What is still to be walked through; `None` at the end.
    rest: Option<(RecordFilter, Window<RecordPosition>)>,
}

impl Export {
    /// The walk for a query over what is within reach; the query's own page does not matter.
    ///
    /// Fails with [`Error::Invalid`] for an unknown status.
    pub async fn start(store: Store, reach: &Reach, q: AccountingQuery) -> Result<Self, Error> {
        let filter = q.bounded(&store, reach).await?;
        let rest = filter.map(|filter| (filter, Window::oldest(i64::from(EXPORT_PAGE))));
        Ok(Self { store, rest })
    }

    /// The next records, up to [`EXPORT_PAGE`]; none at the end.
    pub async fn next_page(&mut self) -> Result<Vec<RecordView>, Error> {
        let Some((filter, window)) = &mut self.rest else { return Ok(Vec::new()) };
        let rows = self.store.list(filter, window).await?;
        match rows.last() {
            Some(last) if rows.len() == usize::from(EXPORT_PAGE) => {
                window.after = Some(filter.place(last));
            }
            _ => self.rest = None,
        }
        views(&self.store, rows).await
    }
}
