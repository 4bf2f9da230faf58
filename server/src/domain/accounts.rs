//! Reading the ledger.

use super::cursor::Listing;
use super::page::{ListPage, PageRequest, TOTAL_CAP};
use super::{Error, FieldError};
use crate::model::{CustomerId, Kind, Record, RecordId, Timestamp};
use crate::store::{RecordFilter, RecordOrder, Store};

#[cfg(test)]
pub(super) mod tests;

/// What every record is: it was booked, and no later record has taken it back.
const ACCOUNTED: &str = "accounted";
/// What a record may be (derived, never stored). Nothing leads to the other three yet.
const STATUSES: [&str; 4] = ["pending", ACCOUNTED, "failed", "reversed"];

/// Which records to list. An absent filter lets everything pass.
#[derive(Debug, Clone, Default)]
pub struct AccountingQuery {
    /// Whose; `None`: of all customers.
    pub customer_id: Option<CustomerId>,
    /// The person who caused it.
    pub user_id: Option<String>,
    /// The model's name.
    pub model: Option<String>,
    /// The model's id.
    pub llmid: Option<String>,
    /// The caller's name for the booking.
    pub transno: Option<String>,
    /// The caller's request.
    pub request_id: Option<String>,
    /// What it is.
    pub kind: Option<Kind>,
    /// pending, accounted, failed or reversed.
    pub status: Option<String>,
    /// Booked at or after.
    pub from: Option<Timestamp>,
    /// Booked before.
    pub to: Option<Timestamp>,
    /// Happened at or after.
    pub event_from: Option<Timestamp>,
    /// Happened before.
    pub event_to: Option<Timestamp>,
    /// Which page.
    pub page: PageRequest,
}

/// A page of records: by `seq` within a customer, else by creation and id.
///
/// Fails with [`Error::InvalidCursor`] for a cursor of another list, with [`Error::Invalid`] for an
/// unknown status.
pub async fn query_accounting(store: &Store, q: AccountingQuery) -> Result<ListPage<Record>, Error> {
    let status = match q.status.as_deref() {
        Some(status) if !STATUSES.contains(&status) => {
            let field = FieldError::new("status", format!("must be one of {}", STATUSES.join(", ")));
            return Err(Error::Invalid(vec![field]));
        }
        status => status,
    };
    let page = q.page;
    let equals = [
        ("user_id", q.user_id),
        ("model_name", q.model),
        ("llmid", q.llmid),
        ("transno", q.transno),
        ("request_id", q.request_id),
        ("kind", q.kind.map(|kind| kind.as_str().to_owned())),
    ];
    let filter = RecordFilter {
        customer_id: q.customer_id,
        equals: equals.into_iter().filter_map(|(column, value)| Some((column, value?))).collect(),
        from: q.from,
        to: q.to,
        event_from: q.event_from,
        event_to: q.event_to,
    };
    let listing = listing(store, &filter, status, page.ascending);
    let cursor = page.cursor.as_deref();
    let order = if filter.customer_id.is_some() {
        RecordOrder::Seq(cursor.map(|c| listing.decode(c)).transpose()?)
    } else {
        RecordOrder::Created(cursor.map(|c| listing.decode(c)).transpose()?)
    };
    if status.is_some_and(|status| status != ACCOUNTED) {
        return Ok(ListPage::empty(&page));
    }
    let total = if page.count { Some(store.count_records(&filter, TOTAL_CAP).await?) } else { None };
    let rows = store.records(&filter, &order, page.ascending, page.read_limit()).await?;
    Ok(ListPage::cut(rows, total, &page, |last| match order {
        RecordOrder::Seq(_) => listing.encode(&last.seq),
        RecordOrder::Created(_) => listing.encode(&(last.created_at, last.id)),
    }))
}

/// A record by its id. One of another customer than `scope` is [`Error::NotFound`], as if it did not
/// exist; `None` sees all.
pub async fn get_accounting(
    store: &Store,
    scope: Option<&CustomerId>,
    id: RecordId,
) -> Result<Record, Error> {
    let record = store.record(id).await?;
    record
        .filter(|record| scope.is_none_or(|customer| *customer == record.customer_id))
        .ok_or(Error::NotFound("accounting record"))
}

/// Names every field, so that a new filter cannot be left out of the cursor.
fn listing(store: &Store, filter: &RecordFilter, status: Option<&str>, ascending: bool) -> Listing {
    let RecordFilter { customer_id, equals, from, to, event_from, event_to } = filter;
    let mut listing = Listing::new(store.keyring().cursor_key(), "accounting", ascending);
    listing.filter("customer_id", customer_id.as_ref().map(CustomerId::as_str)).filter("status", status);
    for (column, value) in equals {
        listing.filter(column, Some(value));
    }
    listing.filter_time("from", *from).filter_time("to", *to);
    listing.filter_time("event_from", *event_from).filter_time("event_to", *event_to);
    listing
}
