//! Reading the ledger.

mod export;
mod past;
mod summary;

use std::collections::HashMap;

use super::cursor::Listing;
use super::page::{ListPage, PageRequest, TOTAL_CAP};
use super::{Error, FieldError};
use crate::model::{CustomerId, Kind, Money, Reach, Record, RecordId, Timestamp, Transno};
use crate::store::{RecordFilter, RecordOrder, Store};

pub use export::{EXPORT_PAGE, Export};
pub use past::{PastBalance, balance_at};
pub use summary::{GroupBy, SummaryRow, summarize};

#[cfg(test)]
mod tests;

/// What a record is that was booked and not taken back.
const ACCOUNTED: &str = "accounted";
/// What a record is that reversals have taken back in full.
const REVERSED: &str = "reversed";
/// What a record may be (derived, never stored). A ledger holds what was booked alone: nothing in it is
/// pending or failed.
const STATUSES: [&str; 4] = ["pending", ACCOUNTED, "failed", REVERSED];

/// A record, and what later records took back of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordView {
    /// The record.
    pub record: Record,
    /// What reversals took back of it, in sum.
    pub reversed: Money,
    /// How many reversals there are.
    pub reversals: u32,
}

impl RecordView {
    /// What became of it: `reversed` once nothing of it is left, else `accounted`.
    pub fn status(&self) -> &'static str {
        let whole = self.reversals > 0 && self.reversed.wide() >= self.record.delta.wide().abs();
        if whole { REVERSED } else { ACCOUNTED }
    }

    /// Rises with everything that changes what is shown of it.
    pub fn version(&self) -> i64 {
        1 + i64::from(self.reversals)
    }
}

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

/// Which records, what status they were asked for by, and which page of them.
struct Asked {
    filter: RecordFilter,
    status: Option<String>,
    page: PageRequest,
}

impl Asked {
    /// Fails with [`Error::Invalid`] for an unknown status.
    fn new(q: AccountingQuery) -> Result<Self, Error> {
        if q.status.as_deref().is_some_and(|status| !STATUSES.contains(&status)) {
            let field = FieldError::new("status", format!("must be one of {}", STATUSES.join(", ")));
            return Err(Error::Invalid(vec![field]));
        }
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
            reversed: q.status.as_deref().map(|status| status == REVERSED),
            until: None,
            from: q.from,
            to: q.to,
            event_from: q.event_from,
            event_to: q.event_to,
        };
        Ok(Self { filter, status: q.status, page: q.page })
    }

    /// Whether no record can have the status.
    fn is_void(&self) -> bool {
        self.status.as_deref().is_some_and(|status| status != ACCOUNTED && status != REVERSED)
    }

    /// Bounds the list by the newest record that there is now, so that a walk through it, oldest first, ends.
    /// `None` if there is nothing to walk through.
    async fn bounded(mut self, store: &Store) -> Result<Option<RecordFilter>, Error> {
        if self.is_void() {
            return Ok(None);
        }
        self.filter.until = store.newest_record(self.filter.customer_id.as_ref()).await?;
        Ok(self.filter.until.is_some().then_some(self.filter))
    }

    /// Names every field, so that a new filter cannot be left out of the cursor.
    fn listing(&self, store: &Store) -> Listing {
        let RecordFilter { customer_id, equals, reversed: _, until: _, from, to, event_from, event_to } =
            &self.filter;
        let mut listing = Listing::new(store.keyring().cursor_key(), "accounting", self.page.ascending);
        listing.filter("customer_id", customer_id.as_ref().map(CustomerId::as_str));
        listing.filter("status", self.status.as_deref());
        for (column, value) in equals {
            listing.filter(column, Some(value));
        }
        listing.filter_time("from", *from).filter_time("to", *to);
        listing.filter_time("event_from", *event_from).filter_time("event_to", *event_to);
        listing
    }
}

/// A page of records: by `seq` within a customer, else by creation and id.
///
/// Fails with [`Error::InvalidCursor`] for a cursor of another list, with [`Error::Invalid`] for an
/// unknown status.
pub async fn query_accounting(store: &Store, q: AccountingQuery) -> Result<ListPage<RecordView>, Error> {
    let asked = Asked::new(q)?;
    let listing = asked.listing(store);
    let (filter, page) = (&asked.filter, &asked.page);
    let cursor = page.cursor.as_deref();
    let order = if filter.customer_id.is_some() {
        RecordOrder::Seq(cursor.map(|c| listing.decode(c)).transpose()?)
    } else {
        RecordOrder::Created(cursor.map(|c| listing.decode(c)).transpose()?)
    };
    if asked.is_void() {
        return Ok(ListPage::empty(page));
    }
    let total = if page.count { Some(store.count_records(filter, TOTAL_CAP).await?) } else { None };
    let rows = store.records(filter, &order, page.ascending, page.read_limit()).await?;
    let ListPage { rows, next_cursor, total } = ListPage::cut(rows, total, page, |last| match order {
        RecordOrder::Seq(_) => listing.encode(&last.seq),
        RecordOrder::Created(_) => listing.encode(&(last.created_at, last.id)),
    });
    Ok(ListPage { rows: views(store, rows).await?, next_cursor, total })
}

/// A record by its id. One out of reach is [`Error::NotFound`], as if it did not exist.
pub async fn get_accounting(store: &Store, reach: &Reach, id: RecordId) -> Result<RecordView, Error> {
    let record = store.record(id).await?;
    let record = record.filter(|record| reach.includes(&record.customer_id));
    views(store, record.into_iter().collect()).await?.pop().ok_or(Error::NotFound("accounting record"))
}

/// Records with what was taken back of them.
async fn views(store: &Store, records: Vec<Record>) -> Result<Vec<RecordView>, Error> {
    let ids: Vec<_> = records.iter().map(|record| record.id).collect();
    let mut taken: HashMap<RecordId, (i128, u32)> = HashMap::new();
    for reversal in store.reversals(&ids).await? {
        let (amount, count) = taken.entry(reversal.original).or_default();
        *amount += reversal.amount.wide();
        *count += 1;
    }
    let view = |record: Record| {
        let (amount, reversals) = taken.get(&record.id).copied().unwrap_or_default();
        let reversed = Money::from_wide(amount)
            .ok_or_else(|| Error::Internal(format!("the reversals of {} are out of range", record.id)))?;
        Ok(RecordView { record, reversed, reversals })
    };
    records.into_iter().map(view).collect()
}

/// Where the list stands after a record that was walked through.
fn place_after(filter: &RecordFilter, seq: i64, created_at: Timestamp, id: RecordId) -> RecordOrder {
    if filter.customer_id.is_some() {
        RecordOrder::Seq(Some(seq))
    } else {
        RecordOrder::Created(Some((created_at, id)))
    }
}

/// Where a walk through the whole list starts.
fn start_of(filter: &RecordFilter) -> RecordOrder {
    if filter.customer_id.is_some() { RecordOrder::Seq(None) } else { RecordOrder::Created(None) }
}

/// The record that a booking made, by the caller's name for it.
pub async fn by_transno(
    store: &Store,
    customer: &CustomerId,
    transno: &Transno,
) -> Result<Option<Record>, Error> {
    let filter = RecordFilter {
        customer_id: Some(customer.clone()),
        equals: vec![("transno", transno.to_string())],
        ..RecordFilter::default()
    };
    Ok(store.records(&filter, &RecordOrder::Seq(None), false, 1).await?.into_iter().next())
}
