//! The ledger's records: writing and reading them.

use std::borrow::Cow;

use super::Store;
use super::columns::{self, FromRow, TableRow, columns, select};
use super::dialect::Dialect;
use super::error::Error;
use super::list::{Conditions, Filter, Place, Window};
use super::sql::Sql;
use crate::model::{
    BookingDetails, Currency, CustomerId, Kind, Money, Record, RecordId, RecordStatus, Timestamp,
};

columns!(Record in "accounting_records":
    customer_id, seq; id, transno, kind, amount, delta, currency,
    details: BookingDetails {
        user_id, llmid, model_name, pricing_id, input_tokens, output_tokens, usage = "quantity", request_id, note
    },
    pricing_version, unrounded, reverses, hold_id, balance_after, held_after, available_after, body_hash, prev_hash, hash,
    event_time, created_at, arithmetic,
);

/// Inserts records.
pub(super) fn insertion(rows: &[Record], dialect: Dialect) -> Sql<'_> {
    let mut values = Sql::new("");
    for record in rows {
        values.add(record.total_tokens());
        record.bind(&mut values);
    }
    let columns = std::iter::once("total_tokens").chain(Record::COLUMNS.split(", "));
    columns::sparse_insert(Record::TABLE, &columns.collect::<Vec<_>>(), values, rows.len(), dialect)
}

/// The place of a record in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordPosition {
    /// Within a customer.
    Seq(i64),
    /// Among all customers.
    Created(Timestamp, RecordId),
}

impl Place for RecordPosition {
    fn push<'a>(&'a self, sql: &mut Sql<'a>, compare: &str, _order: &[&str], dialect: Dialect) {
        match self {
            Self::Seq(seq) => drop(sql.push(&format!(" AND seq {compare} ?")).add(*seq)),
            Self::Created(time, id) => dialect.push_place(sql, compare, (*time, "id"), id.as_bytes()),
        }
    }
}

/// Which records to list: within a customer by `seq`, else by creation.
#[derive(Debug, Clone, Default)]
pub struct RecordFilter {
    /// Whose.
    pub customer_id: Option<CustomerId>,
    /// The person who caused it.
    pub user_id: Option<String>,
    /// The model's name.
    pub model_name: Option<String>,
    /// The model's id.
    pub llmid: Option<String>,
    /// The caller's name for the booking.
    pub transno: Option<String>,
    /// The caller's request.
    pub request_id: Option<String>,
    /// What it is.
    pub kind: Option<Kind>,
    /// What became of it.
    pub status: Option<RecordStatus>,
    /// Booked at or after.
    pub from: Option<Timestamp>,
    /// Booked before.
    pub to: Option<Timestamp>,
    /// Happened at or after.
    pub event_from: Option<Timestamp>,
    /// Happened before.
    pub event_to: Option<Timestamp>,
    /// No earlier place in the list than this one.
    pub since: Option<RecordPosition>,
    /// No later place in the list than this one.
    pub until: Option<RecordPosition>,
}

/// What reversals took back of the row at hand; NULL for nothing. Never more than the row's own amount, so
/// that the database's sum stays within 64 bits.
const REVERSED_AMOUNT: &str =
    "(SELECT SUM(r.amount) FROM record_reversals r WHERE r.original_id = accounting_records.id)";

impl Filter for RecordFilter {
    type Row = Record;
    type Place = RecordPosition;

    fn name(&self) -> &'static str {
        "accounting"
    }

    fn place(&self, row: &Record) -> RecordPosition {
        self.position(row.seq, row.created_at, row.id)
    }

    fn declare<'a>(&'a self, conditions: &mut Conditions<'a>) {
        conditions.equal("customer_id", self.customer_id.as_ref().map(CustomerId::as_str));
        conditions.special("status", self.status.map(RecordStatus::as_str), || {
            Sql::new(match self.status {
                Some(RecordStatus::Reversed) => format!(" AND {REVERSED_AMOUNT} >= ABS(delta)"),
                _ => format!(" AND COALESCE({REVERSED_AMOUNT}, -1) < ABS(delta)"),
            })
        });
        conditions.equal("user_id", self.user_id.as_deref());
        conditions.equal("model_name", self.model_name.as_deref());
        conditions.equal("llmid", self.llmid.as_deref());
        conditions.equal("transno", self.transno.as_deref());
        conditions.equal("request_id", self.request_id.as_deref());
        conditions.equal("kind", self.kind.map(Kind::as_str));
        conditions.created(self.from, self.to);
        conditions.compare("event_from", "event_time", ">=", self.event_from);
        conditions.compare("event_to", "event_time", "<", self.event_to);
        conditions.place(">=", self.since.as_ref());
        conditions.place("<=", self.until.as_ref());
    }

    fn order(&self) -> &'static [&'static str] {
        if self.customer_id.is_some() { &["seq"] } else { &["created_at", "id"] }
    }

    /// The most selective filter first.
    fn index(&self) -> Option<Cow<'static, str>> {
        let within = self.customer_id.is_some();
        Some(Cow::Borrowed(match self {
            Self { transno: Some(_), .. } => "accounting_records_transno",
            Self { request_id: Some(_), .. } => "accounting_records_request",
            Self { user_id: Some(_), .. } if within => "accounting_records_user",
            Self { model_name: Some(_), .. } if within => "accounting_records_model",
            _ if within => "PRIMARY",
            _ => "accounting_records_created",
        }))
    }

    /// Turns times into places of a customer's list, of which a look-up finds each: within a customer time never goes
    /// back, and the list walks nothing outside them.
    async fn resolve(&self, store: &Store) -> Result<Option<Self>, Error> {
        // A ledger holds what was booked alone: nothing in it is pending or failed.
        if matches!(self.status, Some(RecordStatus::Pending | RecordStatus::Failed)) {
            return Ok(None);
        }
        let mut resolved = self.clone();
        let Some(customer) = &self.customer_id else { return Ok(Some(resolved)) };
        if let Some(from) = resolved.from.take() {
            let rest = " WHERE customer_id = ? AND created_at >= ? ORDER BY created_at, seq LIMIT 1";
            let Some(mut first) = store.seq_at(customer, from, rest).await? else { return Ok(None) };
            if let Some(RecordPosition::Seq(since)) = self.since {
                first = first.max(since);
            }
            resolved.since = Some(RecordPosition::Seq(first));
        }
        if let Some(to) = resolved.to.take() {
            let rest = " WHERE customer_id = ? AND created_at < ? ORDER BY created_at DESC, seq DESC LIMIT 1";
            let Some(mut last) = store.seq_at(customer, to, rest).await? else { return Ok(None) };
            if let Some(RecordPosition::Seq(until)) = self.until {
                last = last.min(until);
            }
            resolved.until = Some(RecordPosition::Seq(last));
        }
        let empty = matches!(
            (resolved.since, resolved.until),
            (Some(RecordPosition::Seq(first)), Some(RecordPosition::Seq(last))) if first > last
        );
        Ok((!empty).then_some(resolved))
    }
}

impl RecordFilter {
    /// The place of a record in the list of this filter.
    pub fn position(&self, seq: i64, created_at: Timestamp, id: RecordId) -> RecordPosition {
        match self.customer_id {
            Some(_) => RecordPosition::Seq(seq),
            None => RecordPosition::Created(created_at, id),
        }
    }
}

/// What sums are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordFigures {
    /// Its place within its customer.
    pub seq: i64,
    /// When it was booked.
    pub created_at: Timestamp,
    /// Its id.
    pub id: RecordId,
    /// The model's name.
    pub model_name: Option<String>,
    /// What it is.
    pub kind: Kind,
    /// The customer's currency.
    pub currency: Currency,
    /// What was added to the balance.
    pub delta: Money,
    /// Tokens in.
    pub input_tokens: Option<i64>,
    /// Tokens out.
    pub output_tokens: Option<i64>,
}

columns!(RecordFigures in "accounting_records":
    id; seq, created_at, model_name, kind, currency, delta, input_tokens, output_tokens,
);

impl Store {
    /// A record by its id.
    pub async fn record(&self, id: RecordId) -> Result<Option<Record>, Error> {
        self.row(select::<Record>(" WHERE id = ?").bind(id.as_bytes())).await
    }

    /// A customer's last record that was booked no later than `at`.
    pub async fn record_at(&self, customer: &CustomerId, at: Timestamp) -> Result<Option<Record>, Error> {
        let sql = select::<Record>(
            " WHERE customer_id = ? AND created_at <= ? ORDER BY created_at DESC, seq DESC LIMIT 1",
        );
        self.row(sql.bind(customer.as_str()).bind(at)).await
    }

    /// A list of records, of which sums are made.
    pub async fn record_figures(
        &self,
        filter: &RecordFilter,
        window: &Window<RecordPosition>,
    ) -> Result<Vec<RecordFigures>, Error> {
        let rows = self.select_list(filter, RecordFigures::COLUMNS, window).await?;
        rows.iter().map(RecordFigures::from_row).collect()
    }

    /// The last place in the list of a customer, or of all; `None` while there is no record.
    pub async fn newest_record(
        &self,
        customer: Option<&CustomerId>,
    ) -> Result<Option<RecordPosition>, Error> {
        let filter = RecordFilter { customer_id: customer.cloned(), ..RecordFilter::default() };
        let newest = self.record_figures(&filter, &Window::newest(1)).await?;
        Ok(newest.first().map(|record| filter.position(record.seq, record.created_at, record.id)))
    }

    /// The place in a customer's list that a condition on the time of booking finds.
    async fn seq_at(&self, customer: &CustomerId, at: Timestamp, rest: &str) -> Result<Option<i64>, Error> {
        let sql = Sql::new(format!("SELECT seq FROM {}{rest}", Record::TABLE));
        self.fetch_optional(sql.bind(customer.as_str()).bind(at)).await?.map(|row| row.int(0)).transpose()
    }
}
