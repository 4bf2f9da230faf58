//! Usage records and the sums over them, as the booking engine writes them.

mod list;
mod platform;
mod proof;
mod purge;
mod sums;
pub(super) mod unsynced;

use super::columns::{self, TableRow as _, columns, select};
use super::dialect::Dialect;
use super::error::Error;
use super::pairs::with_pairs;
use super::sql::{Row, Sql};
use super::{Store, Tx};
pub use list::{UsageFilter, UsagePosition};
pub use purge::UsageAge;
pub use sums::{SumsBy, SumsFilter, SumsOrder, SumsRow};

use crate::model::{
    CustomerId, RecordId, Timestamp, Transno, UsageDay, UsageDetails, UsageRecord, UsageSums, UsageTotal,
};

columns!(UsageRecord in "usage_logs":
    customer_id, useq; id, request_id,
    details: UsageDetails {
        user_id, model, actual_model, llmid, pricing_id, input_tokens, output_tokens, usage = "quantity", is_streaming,
        upstream_url, status_code, duration_ms
    },
    total_tokens, group_id, source_node, cost, currency, pricing_version, unrounded, arithmetic, unpriced, billing, uncharged,
    record_id, hold_id, hold_use, reservation_id, reservation_use, body_hash, event_time, received_at,
);

columns!(UsageDay in "usage_daily":
    customer_id, day; user_id, group_id, model, currency,
    sums: UsageSums { requests, errors, input_tokens, output_tokens, cost, unpriced },
);

columns!(UsageTotal in "usage_totals":
    customer_id, day; currency,
    sums: UsageSums { requests, errors, input_tokens, output_tokens, cost, unpriced },
);

/// The columns that rows of one day add up in.
const SUMS: [&str; 6] = ["requests", "errors", "input_tokens", "output_tokens", "cost", "unpriced"];

/// Inserts usage records. On MySQL it names no column that is NULL in all of them.
pub(super) fn insertion(rows: &[UsageRecord], dialect: Dialect) -> Sql<'_> {
    let mut values = Sql::new("");
    for record in rows {
        record.bind(&mut values);
    }
    let columns: Vec<_> = UsageRecord::COLUMNS.split(", ").collect();
    columns::sparse_insert(UsageRecord::TABLE, &columns, values, rows.len(), dialect)
}

/// Adds sums by day, user, group and model.
pub(super) fn add_days(rows: &[UsageDay], dialect: Dialect) -> Sql<'_> {
    add(rows, dialect, "customer_id, day, user_id, group_id, model, currency")
}

/// Adds sums by day.
pub(super) fn add_totals(rows: &[UsageTotal], dialect: Dialect) -> Sql<'_> {
    add(rows, dialect, "customer_id, day, currency")
}

/// A sum beyond 64 bits is an error of the database: MySQL computes no such number, and SQLite's would be a fraction, which
/// the column does not take.
fn add<'a, R: columns::TableRow>(rows: &'a [R], dialect: Dialect, key: &str) -> Sql<'a> {
    let mut sql = columns::insert("INSERT INTO", rows);
    sql.push(&dialect.on_conflict(key));
    for (i, column) in SUMS.iter().enumerate() {
        sql.push(if i == 0 { "" } else { ", " });
        sql.push(&format!("{column} = {}.{column} + {}", R::TABLE, dialect.incoming(column)));
    }
    sql
}

/// The place of a customer's newest usage record, where nothing else of the customer changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsagePlace {
    /// The customer.
    pub customer_id: CustomerId,
    /// Its newest record.
    pub last_useq: i64,
    /// When that was stored.
    pub last_usage_at: Timestamp,
}

/// Writes the places of customers that are locked. The customer's version stays: nothing that is cached changes.
pub(super) fn move_places(places: &[UsagePlace]) -> Sql<'_> {
    let mut sql = Sql::new("UPDATE customer_balance SET last_useq = CASE customer_id");
    for place in places {
        sql.push(" WHEN ? THEN ?").add(place.customer_id.as_str()).add(place.last_useq);
    }
    sql.push(" ELSE last_useq END, last_usage_at = CASE customer_id");
    for place in places {
        sql.push(" WHEN ? THEN ?").add(place.customer_id.as_str()).add(place.last_usage_at);
    }
    sql.push(" ELSE last_usage_at END WHERE customer_id IN ");
    sql.push_in(places.iter().map(|place| place.customer_id.as_str()));
    sql
}

/// Finds a usage record: whether the transaction that wrote it was committed.
pub(super) fn existence(id: RecordId) -> Sql<'static> {
    Sql::new("SELECT 1 FROM usage_logs WHERE id = ?").bind(id.as_bytes().to_vec())
}

impl Tx {
    /// The usage records of these requests.
    pub async fn find_usage<'a>(
        &mut self,
        requests: impl ExactSizeIterator<Item = (&'a CustomerId, &'a Transno)>,
    ) -> Result<Vec<UsageRecord>, Error> {
        let index = self.dialect().by_index("usage_logs_request");
        let select = select::<UsageRecord>(format_args!("{index} WHERE "));
        let named = requests.map(|(customer, request)| (customer, request.as_str()));
        let Some(sql) = with_pairs(select, "customer_id = ? AND request_id = ?", named) else {
            return Ok(Vec::new());
        };
        self.conn.rows(sql).await
    }
}

/// What is known of usage as a whole: the row of `usage_state`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageState {
    /// Records before it may have been deleted. It never falls.
    pub floor: Timestamp,
    /// The time zone of the days in the sums.
    pub time_zone: String,
}

impl Store {
    /// A usage record by its id.
    pub async fn usage(&self, id: RecordId) -> Result<Option<UsageRecord>, Error> {
        self.row(select::<UsageRecord>(" WHERE id = ?").bind(id.as_bytes())).await
    }

    /// What is known of usage as a whole. `time_zone` becomes the time zone of its days while there are none.
    pub async fn usage_state(&self, time_zone: &str) -> Result<UsageState, Error> {
        if let Some(found) = self.stored_usage_state().await?
            && found.time_zone == time_zone
        {
            return Ok(found);
        }
        let time_zone = time_zone.to_owned();
        self.write("usage.state", move |tx| {
            let time_zone = time_zone.clone();
            Box::pin(async move {
                let insert = tx.dialect().insert_ignore();
                let insert = format!("{insert} usage_state (id, floor, time_zone) VALUES (1, 0, ?)");
                tx.conn.execute(Sql::new(insert).bind(time_zone.as_str())).await?;
                let unused = "UPDATE usage_state SET time_zone = ? WHERE id = 1 \
                              AND NOT EXISTS (SELECT 1 FROM usage_totals)";
                tx.conn.execute(Sql::new(unused).bind(time_zone.as_str())).await?;
                let state = tx.usage_state().await?;
                state.ok_or_else(|| Error::inconsistent("usage_state", "1", "is missing"))
            })
        })
        .await
    }
}

fn read_state(row: &Row) -> Result<UsageState, Error> {
    Ok(UsageState { floor: row.time(0)?, time_zone: row.text(1)? })
}
