//! The ledger's records: reading them.

use super::Store;
use super::columns::{TableRow, columns, select};
use super::dialect::Dialect;
use super::error::Error;
use super::sql::Sql;
use crate::model::{Currency, CustomerId, Kind, Money, Record, RecordId, Timestamp};

const TABLE: &str = Record::TABLE;

columns!(Record in "accounting_records":
    customer_id, seq; id, transno, kind, amount, delta, currency, user_id, llmid, model_name, pricing_id,
    pricing_version, input_tokens, output_tokens, usage = "quantity", unrounded, request_id, reverses, hold_id, note,
    balance_after, held_after, available_after, body_hash, prev_hash, hash, event_time, created_at, arithmetic,
);

/// Inserts records. On MySQL it names no column that is NULL in all of them: there a third of a transaction's time
/// goes into reading its text.
pub(super) fn insertion(rows: &[Record], dialect: Dialect) -> Sql<'_> {
    let mut sql = Sql::new(format!("INSERT INTO {TABLE} ("));
    for record in rows {
        sql.add(record.total_tokens());
        record.bind(&mut sql);
    }
    let used = match dialect {
        Dialect::MySql => sql.drop_null_columns(Record::WIDTH + 1),
        // It keeps statements prepared: the fewer different ones, the better.
        Dialect::Sqlite => vec![true; Record::WIDTH + 1],
    };
    let columns = std::iter::once("total_tokens").chain(Record::COLUMNS.split(", "));
    let mut width = 0;
    for (column, _) in columns.zip(used).filter(|(_, used)| *used) {
        sql.push(if width == 0 { "" } else { ", " }).push(column);
        width += 1;
    }
    sql.push(") VALUES ").push_rows(rows.len(), width);
    sql
}

/// Where a list of records stands, and in which order it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordOrder {
    /// Within a customer, by `seq`; after this one.
    Seq(Option<i64>),
    /// Over all customers, by creation; after this time and id.
    Created(Option<(Timestamp, RecordId)>),
}

/// The place of a record in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordPosition {
    /// Within a customer.
    Seq(i64),
    /// Among all customers.
    Created(Timestamp, RecordId),
}

/// Which records to list.
#[derive(Debug, Clone, Default)]
pub struct RecordFilter {
    /// Whose.
    pub customer_id: Option<CustomerId>,
    /// Columns that must equal a text.
    pub equals: Vec<(&'static str, String)>,
    /// Whether reversals have taken back all of it.
    pub reversed: Option<bool>,
    /// No later place in the list than this one.
    pub until: Option<RecordPosition>,
    /// Booked at or after.
    pub from: Option<Timestamp>,
    /// Booked before.
    pub to: Option<Timestamp>,
    /// Happened at or after.
    pub event_from: Option<Timestamp>,
    /// Happened before.
    pub event_to: Option<Timestamp>,
}

impl Store {
    /// A record by its id.
    pub async fn record(&self, id: RecordId) -> Result<Option<Record>, Error> {
        self.row(select::<Record>(" WHERE id = ?").bind(id.as_bytes())).await
    }

    /// Records, newest first unless `ascending`.
    pub async fn records(
        &self,
        filter: &RecordFilter,
        order: &RecordOrder,
        ascending: bool,
        limit: i64,
    ) -> Result<Vec<Record>, Error> {
        self.listed(filter, order, ascending, limit).await
    }

    /// What sums are made of, oldest first.
    pub async fn record_figures(
        &self,
        filter: &RecordFilter,
        order: &RecordOrder,
        limit: i64,
    ) -> Result<Vec<RecordFigures>, Error> {
        self.listed(filter, order, true, limit).await
    }

    /// How many records a filter finds, counting no further than `cap`.
    pub async fn count_records(&self, filter: &RecordFilter, cap: i64) -> Result<i64, Error> {
        let Some(span) = self.span(filter).await? else { return Ok(0) };
        let table = table_by(filter, self.dialect());
        let mut sql = Sql::new(format!("SELECT COUNT(*) FROM (SELECT 1 FROM {table} WHERE 1 = 1"));
        push_conditions(&mut sql, filter, span, TIMES, self.dialect());
        sql.push(" LIMIT ?) counted").add(cap);
        self.fetch_one(sql).await?.int(0)
    }

    /// The last place in the list of a customer, or of all; `None` while there is no record.
    pub async fn newest_record(
        &self,
        customer: Option<&CustomerId>,
    ) -> Result<Option<RecordPosition>, Error> {
        let filter = RecordFilter { customer_id: customer.cloned(), ..RecordFilter::default() };
        let order = match customer {
            Some(_) => RecordOrder::Seq(None),
            None => RecordOrder::Created(None),
        };
        let newest: Vec<RecordFigures> = self.listed(&filter, &order, false, 1).await?;
        Ok(newest.first().map(|newest| match customer {
            Some(_) => RecordPosition::Seq(newest.seq),
            None => RecordPosition::Created(newest.created_at, newest.id),
        }))
    }

    /// A customer's last record that was booked no later than `at`.
    pub async fn record_at(&self, customer: &CustomerId, at: Timestamp) -> Result<Option<Record>, Error> {
        let sql = select::<Record>(
            " WHERE customer_id = ? AND created_at <= ? ORDER BY created_at DESC, seq DESC LIMIT 1",
        );
        self.row(sql.bind(customer.as_str()).bind(at)).await
    }

    async fn listed<R: TableRow>(
        &self,
        filter: &RecordFilter,
        order: &RecordOrder,
        ascending: bool,
        limit: i64,
    ) -> Result<Vec<R>, Error> {
        match self.span(filter).await? {
            Some(span) => self.rows(list::<R>(filter, span, order, ascending, limit, self.dialect())).await,
            None => Ok(Vec::new()),
        }
    }

    /// The places that the filter's times leave; `None` if they leave none. Within a customer time never
    /// goes back, so that two look-ups turn times into places, and the list walks nothing outside them.
    async fn span(&self, filter: &RecordFilter) -> Result<Option<Span>, Error> {
        let Some(customer) = &filter.customer_id else {
            return Ok(Some(Span { from: filter.from, to: filter.to, ..Span::default() }));
        };
        let mut span = Span::default();
        let select = format!("SELECT seq FROM {TABLE} WHERE customer_id = ? AND created_at ");
        if let Some(from) = filter.from {
            let sql = Sql::new(format!("{select}>= ? ORDER BY created_at, seq LIMIT 1"));
            let Some(row) = self.fetch_optional(sql.bind(customer.as_str()).bind(from)).await? else {
                return Ok(None);
            };
            span.first = Some(row.int(0)?);
        }
        if let Some(to) = filter.to {
            let sql = Sql::new(format!("{select}< ? ORDER BY created_at DESC, seq DESC LIMIT 1"));
            let Some(row) = self.fetch_optional(sql.bind(customer.as_str()).bind(to)).await? else {
                return Ok(None);
            };
            span.last = Some(row.int(0)?);
        }
        let empty = span.first.zip(span.last).is_some_and(|(first, last)| first > last);
        Ok((!empty).then_some(span))
    }
}

/// The part of a list that its times leave: places within a customer, else times.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    first: Option<i64>,
    last: Option<i64>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
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

/// Filters that have an index within a customer, and over all: the most selective first.
const INDEXED: [(&str, &str, Option<&str>); 4] = [
    ("transno", "accounting_records_transno", Some("accounting_records_transno")),
    ("request_id", "accounting_records_request", Some("accounting_records_request")),
    ("user_id", "accounting_records_user", None),
    ("model_name", "accounting_records_model", None),
];

/// The table, with the index to read a list by. Left to themselves, databases sort a table that has just grown rather
/// than walk its index, or walk a customer's whole list in hope of a full page soon.
fn table_by(filter: &RecordFilter, dialect: Dialect) -> String {
    let named = |column: &str| filter.equals.iter().any(|(name, _)| *name == column);
    let mut indexes = INDEXED.iter().filter(|(column, ..)| named(column));
    let index = if filter.customer_id.is_some() {
        indexes.next().map_or("PRIMARY", |(_, within, _)| within)
    } else {
        indexes.find_map(|(_, _, over_all)| *over_all).unwrap_or("accounting_records_created")
    };
    format!("{TABLE}{}", dialect.walking(index))
}

fn list<'a, R: TableRow>(
    filter: &'a RecordFilter,
    span: Span,
    order: &'a RecordOrder,
    ascending: bool,
    limit: i64,
    dialect: Dialect,
) -> Sql<'a> {
    let table = table_by(filter, dialect);
    let (compare, direction) = if ascending { (">", "ASC") } else { ("<", "DESC") };
    let mut sql = Sql::new(format!("SELECT {} FROM {table} WHERE 1 = 1", R::COLUMNS));
    // Where a list goes on from a place, the plus keeps SQLite from beginning at the bound on that side instead, which
    // would read every page before this one again.
    let times = match order {
        RecordOrder::Created(Some(_)) if ascending => [" AND +created_at >= ?", TIMES[1]],
        RecordOrder::Created(Some(_)) => [TIMES[0], " AND +created_at < ?"],
        RecordOrder::Created(None) | RecordOrder::Seq(_) => TIMES,
    };
    push_conditions(&mut sql, filter, span, times, dialect);
    match order {
        RecordOrder::Seq(after) => {
            if let Some(seq) = after {
                sql.push(&format!(" AND seq {compare} ?")).add(*seq);
            }
            sql.push(&format!(" ORDER BY seq {direction}"));
        }
        RecordOrder::Created(after) => {
            if let Some((time, id)) = after {
                dialect.push_place(&mut sql, compare, *time, id.as_bytes());
            }
            sql.push(&format!(" ORDER BY created_at {direction}, id {direction}"));
        }
    }
    sql.push(" LIMIT ?").add(limit);
    sql
}

/// What reversals took back of the row at hand; NULL for nothing. Never more than the row's own amount, so
/// that the database's sum stays within 64 bits.
const TAKEN_BACK: &str =
    "(SELECT SUM(r.amount) FROM record_reversals r WHERE r.original_id = accounting_records.id)";

/// Bounds of the time of booking.
const TIMES: [&str; 2] = [" AND created_at >= ?", " AND created_at < ?"];

fn push_conditions<'a>(
    sql: &mut Sql<'a>,
    filter: &'a RecordFilter,
    span: Span,
    [from, to]: [&str; 2],
    dialect: Dialect,
) {
    let RecordFilter { customer_id, equals, reversed, until, from: _, to: _, event_from, event_to } = filter;
    if let Some(customer) = customer_id {
        sql.push(" AND customer_id = ?").add(customer.as_str());
    }
    for (column, value) in equals {
        sql.push(&format!(" AND {column} = ?")).add(value.as_str());
    }
    for (condition, bound) in [(" AND seq >= ?", span.first), (" AND seq <= ?", span.last)] {
        if let Some(bound) = bound {
            sql.push(condition).add(bound);
        }
    }
    let bounds = [
        (from, span.from),
        (to, span.to),
        (" AND event_time >= ?", *event_from),
        (" AND event_time < ?", *event_to),
    ];
    for (condition, bound) in bounds {
        if let Some(bound) = bound {
            sql.push(condition).add(bound);
        }
    }
    match until {
        Some(RecordPosition::Seq(seq)) => drop(sql.push(" AND seq <= ?").add(*seq)),
        Some(RecordPosition::Created(time, id)) => {
            dialect.push_place(sql, "<=", *time, id.as_bytes());
        }
        None => {}
    }
    match reversed {
        Some(true) => drop(sql.push(&format!(" AND {TAKEN_BACK} >= ABS(delta)"))),
        Some(false) => drop(sql.push(&format!(" AND COALESCE({TAKEN_BACK}, -1) < ABS(delta)"))),
        None => {}
    }
}
