//! Reading the ledger.

mod export;
mod past;
mod summary;

use std::collections::HashMap;

use super::page::{ListPage, PageRequest};
use super::{Error, FieldError, list};
use crate::model::{CustomerId, Kind, Money, Reach, Record, RecordId, RecordStatus, Timestamp, Transno};
use crate::store::{RecordFilter, Store, Window};

pub use export::{EXPORT_PAGE, Export};
pub use past::{PastBalance, balance_at};
pub use summary::{GroupBy, SummaryRow, summarize};

#[cfg(test)]
mod tests;

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
        let status = if whole { RecordStatus::Reversed } else { RecordStatus::Accounted };
        status.as_str()
    }

    /// Rises with everything that changes what is shown of it.
    pub fn version(&self) -> i64 {
        1 + i64::from(self.reversals)
    }
}

/// Which records to list. An absent filter lets everything pass.
#[derive(Debug, Clone, Default)]
pub struct AccountingQuery {
    /// The customer that the caller names; `None`: all that it reaches.
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

impl AccountingQuery {
    /// Fails with [`Error::Invalid`] for an unknown status, and for a customer out of reach.
    fn split(self, reach: &Reach) -> Result<(RecordFilter, PageRequest), Error> {
        let reach = reach.narrowed_to(self.customer_id.as_ref())?;
        let status =
            self.status.map(|status| RecordStatus::parse(&status).ok_or_else(unknown_status)).transpose()?;
        let filter = RecordFilter {
            customer_id: reach.customer().cloned(),
            user_id: self.user_id,
            model_name: self.model,
            llmid: self.llmid,
            transno: self.transno,
            request_id: self.request_id,
            kind: self.kind,
            status,
            from: self.from,
            to: self.to,
            event_from: self.event_from,
            event_to: self.event_to,
            ..RecordFilter::default()
        };
        Ok((filter, self.page))
    }

    /// The filter, bounded by the newest record that there is now, so that a walk through the list, oldest first, ends.
    /// `None` if there is no record.
    async fn bounded(self, store: &Store, reach: &Reach) -> Result<Option<RecordFilter>, Error> {
        let (mut filter, _) = self.split(reach)?;
        filter.until = store.newest_record(filter.customer_id.as_ref()).await?;
        Ok(filter.until.is_some().then_some(filter))
    }
}

fn unknown_status() -> Error {
    let known: Vec<_> = RecordStatus::ALL.iter().map(|status| status.as_str()).collect();
    Error::Invalid(vec![FieldError::new("status", format!("must be one of {}", known.join(", ")))])
}

/// A page of the records within reach: by `seq` within a customer, else by creation and id.
///
/// Fails with [`Error::InvalidCursor`] for a cursor of another list, with [`Error::Invalid`] for an
/// unknown status.
pub async fn query_accounting(
    store: &Store,
    reach: &Reach,
    q: AccountingQuery,
) -> Result<ListPage<RecordView>, Error> {
    let (filter, page) = q.split(reach)?;
    let ListPage { rows, next_cursor, total } = list::page(store, &filter, &page).await?;
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

/// The record that a booking made, by the caller's name for it.
pub async fn by_transno(
    store: &Store,
    customer: &CustomerId,
    transno: &Transno,
) -> Result<Option<Record>, Error> {
    let filter = RecordFilter {
        customer_id: Some(customer.clone()),
        transno: Some(transno.to_string()),
        ..RecordFilter::default()
    };
    Ok(store.list(&filter, &Window::newest(1)).await?.pop())
}
