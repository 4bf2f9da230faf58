//! Exports of usage records.

use super::list::LOOK;
use super::{UsageLog, UsageQuery};
use crate::domain::Error;
use crate::domain::accounts::EXPORT_PAGE;
use crate::domain::principal::Principal;
use crate::model::UsageRecord;
use crate::store::{Filter as _, Store, UsageFilter, UsagePosition, Window};

/// A walk through all records that a query finds, oldest first and page by page. It ends at the record that was the newest
/// when it began; between pages it holds no connection.
#[derive(Debug)]
pub struct UsageExport {
    store: Store,
    /// What is still to be walked through; `None` at the end.
    rest: Option<Rest>,
}

#[derive(Debug)]
struct Rest {
    filter: UsageFilter,
    window: Window<UsagePosition>,
    /// The part of the list that is read now; `None` before it is known how far that goes.
    part: Option<Part>,
}

/// A part of a list.
#[derive(Debug)]
struct Part {
    filter: UsageFilter,
    /// Where it ends, if the list goes on.
    end: Option<UsagePosition>,
}

impl UsageLog {
    /// The walk for a query over what the principal sees; the query's own page does not matter.
    pub async fn export(&self, principal: &Principal, q: UsageQuery) -> Result<UsageExport, Error> {
        let mut filter = q.filter(principal)?;
        filter.until = self.store.newest_usage(filter.customer_id.as_ref()).await?;
        let filter = if filter.until.is_some() { filter.resolve(&self.store).await? } else { None };
        let window = Window::oldest(i64::from(EXPORT_PAGE));
        let rest = filter.map(|filter| Rest { filter, window, part: None });
        Ok(UsageExport { store: self.store.clone(), rest })
    }
}

impl UsageExport {
    /// The next records, up to [`EXPORT_PAGE`]; none at the end.
    pub async fn next_page(&mut self) -> Result<Vec<UsageRecord>, Error> {
        while let Some(rest) = &mut self.rest {
            let rows = rest.read(&self.store, LOOK).await?;
            if rows.len() < usize::from(EXPORT_PAGE) {
                match rest.part.take().and_then(|part| part.end) {
                    Some(end) => rest.window.after = Some(end),
                    None => self.rest = None,
                }
            }
            if !rows.is_empty() {
                return Ok(rows);
            }
        }
        Ok(Vec::new())
    }
}

impl Rest {
    /// The next page of the part at hand.
    async fn read(&mut self, store: &Store, look: i64) -> Result<Vec<UsageRecord>, Error> {
        let part = if let Some(part) = self.part.take() {
            part
        } else {
            let end = store.usage_looked_at(&self.filter, &self.window, look).await?;
            Part { filter: self.filter.up_to(end.clone(), true), end }
        };
        let part = self.part.insert(part);
        let rows = store.list(&part.filter, &self.window).await?;
        if let Some(last) = rows.last() {
            self.window.after = Some(self.filter.place(last));
        }
        Ok(rows)
    }
}
