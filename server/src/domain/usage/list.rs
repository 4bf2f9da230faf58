//! Lists of usage records.

use super::UsageLog;
use crate::domain::page::{ListPage, PageRequest, TOTAL_CAP};
use crate::domain::principal::Principal;
use crate::domain::{Error, list};
use crate::model::{CustomerId, Timestamp, UsageRecord, UserId};
use crate::store::{Filter as _, Store, UsageFilter, UsagePosition, Window};

/// Rows that a page looks at. Where no index finds those that pass a filter, a page may so be short, or empty, and yet be
/// followed by another one.
pub const LOOK: i64 = 20_000;

/// Which usage records to list. An absent filter lets everything pass.
#[derive(Debug, Clone, Default)]
pub struct UsageQuery {
    /// The customer that the caller names; `None`: all that it reaches.
    pub customer_id: Option<CustomerId>,
    /// The person who used it.
    pub user_id: Option<String>,
    /// The group whose limits counted.
    pub group_id: Option<String>,
    /// The model that counts: the one that answered, else the one asked for.
    pub model: Option<String>,
    /// The status of the answer.
    pub status_code: Option<i64>,
    /// Whether the request failed: a status of 400 or more.
    pub failed: Option<bool>,
    /// The edge that reported it.
    pub source_node: Option<String>,
    /// The caller's name for the request.
    pub request_id: Option<String>,
    /// Received at or after.
    pub from: Option<Timestamp>,
    /// Received before.
    pub to: Option<Timestamp>,
    /// Happened at or after.
    pub event_from: Option<Timestamp>,
    /// Happened before.
    pub event_to: Option<Timestamp>,
    /// Which page.
    pub page: PageRequest,
}

impl UsageQuery {
    /// The filter of what the principal sees.
    ///
    /// # Errors
    /// [`Error::CustomerForbidden`] for a customer out of reach, and for another user's rows where it sees its own alone.
    pub(super) fn filter(self, principal: &Principal) -> Result<UsageFilter, Error> {
        Ok(UsageFilter {
            customer_id: principal.reach.narrowed_to(self.customer_id.as_ref())?.customer().cloned(),
            user_id: seen_of(principal, self.user_id)?,
            group_id: self.group_id,
            model: self.model,
            status_code: self.status_code,
            failed: self.failed,
            source_node: self.source_node,
            request_id: self.request_id,
            from: self.from,
            to: self.to,
            event_from: self.event_from,
            event_to: self.event_to,
            since: None,
            until: None,
        })
    }
}

/// The user whose rows are meant: the one named, or the principal itself where it sees no others.
pub(super) fn seen_of(principal: &Principal, named: Option<String>) -> Result<Option<String>, Error> {
    match (principal.own_rows_of().map(UserId::as_str), named) {
        (Some(own), Some(named)) if named != own => Err(Error::CustomerForbidden),
        (Some(own), _) => Ok(Some(own.to_owned())),
        (None, named) => Ok(named),
    }
}

impl UsageLog {
    /// A page of the usage records that the principal sees: by `useq` within a customer, else by when they were received.
    ///
    /// # Errors
    /// [`Error::InvalidCursor`] for a cursor of another list.
    pub async fn list(&self, principal: &Principal, q: UsageQuery) -> Result<ListPage<UsageRecord>, Error> {
        let request = q.page.clone();
        page(&self.store, &q.filter(principal)?, &request, LOOK).await
    }
}

/// A page that looks at so many rows at most.
async fn page(
    store: &Store,
    filter: &UsageFilter,
    request: &PageRequest,
    look: i64,
) -> Result<ListPage<UsageRecord>, Error> {
    let (listing, ascending) = (list::listing(store, filter, request.ascending), request.ascending);
    let after = request.cursor.as_deref().map(|cursor| listing.decode(cursor)).transpose()?;
    let Some(filter) = filter.resolve(store).await? else {
        return Ok(ListPage { rows: Vec::new(), next_cursor: None, total: request.count.then_some(0) });
    };
    let total = if request.count { total(store, &filter, ascending, look).await? } else { None };
    let window = Window { after, ascending, limit: request.read_limit() };
    let looked_at = store.usage_looked_at(&filter, &window, look).await?;
    let rows = store.list(&filter.up_to(looked_at.clone(), ascending), &window).await?;
    let mut page = ListPage::cut(rows, total, request, |last| listing.encode(&filter.place(last)));
    if page.next_cursor.is_none() {
        page.next_cursor = looked_at.map(|place| listing.encode(&place));
    }
    Ok(page)
}

/// How many rows the list has; `None` if a look at so many does not tell.
async fn total(
    store: &Store,
    filter: &UsageFilter,
    ascending: bool,
    look: i64,
) -> Result<Option<i64>, Error> {
    let window = Window::<UsagePosition> { after: None, ascending, limit: look };
    let looked_at = store.usage_looked_at(filter, &window, look).await?;
    let whole = looked_at.is_none();
    let total = store.count(&filter.up_to(looked_at, ascending), TOTAL_CAP).await?;
    Ok((whole || total == TOTAL_CAP).then_some(total))
}
