//! Reading the audit log.

use crate::domain::page::{ListPage, PageRequest};
use crate::domain::{Error, list};
use crate::model::{AuditEntry, RecordId, Timestamp};
use crate::store::{AuditFilter, Filter as _, Store, Window};

/// Entries of a page of an export.
const EXPORT_PAGE: u16 = 100;

/// A page of the audit log, by time.
pub async fn query_audit(
    store: &Store,
    filter: &AuditFilter,
    page: &PageRequest,
) -> Result<ListPage<AuditEntry>, Error> {
    list::page(store, filter, page).await
}

/// A walk through all entries that a filter lets pass, oldest first and page by page. It ends at the entry that was the
/// newest when it began; between pages it holds no connection.
#[derive(Debug)]
pub struct AuditExport {
    store: Store,
    /// What is still to be walked through; `None` at the end.
    rest: Option<(AuditFilter, Window<(Timestamp, RecordId)>)>,
}

impl AuditExport {
    /// The walk for a filter.
    pub async fn start(store: Store, filter: AuditFilter) -> Result<Self, Error> {
        let newest = store.list(&filter, &Window::newest(1)).await?.pop();
        let rest = newest.map(|newest| {
            let until = Some(filter.place(&newest));
            (AuditFilter { until, ..filter }, Window::oldest(i64::from(EXPORT_PAGE)))
        });
        Ok(Self { store, rest })
    }

    /// The next entries; none at the end.
    pub async fn next_page(&mut self) -> Result<Vec<AuditEntry>, Error> {
        let Some((filter, window)) = &mut self.rest else { return Ok(Vec::new()) };
        let rows = self.store.list(filter, window).await?;
        match rows.last() {
            Some(last) if rows.len() == usize::from(EXPORT_PAGE) => window.after = Some(filter.place(last)),
            _ => self.rest = None,
        }
        Ok(rows)
    }
}
