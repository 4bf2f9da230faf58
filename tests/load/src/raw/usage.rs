//! Usage records of the last weeks, with the sums over them, as a server would have left them.

use std::time::Duration;

use sqlx::{Connection as _, MySql, MySqlConnection, QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::{Conn, execute};
use crate::database::{Database, Kind};
use crate::request::{Caller, UPSTREAM};
use crate::{Failure, ids};

/// Users of the first customer, which has every other record, and models of all.
pub const USERS: usize = 500;
pub const MODELS: usize = 5;
/// Users of each of the others.
const FEW_USERS: usize = 4;
/// The records are of so long, up to now: with today they lie on thirty days at most.
const SPAN: Duration = Duration::from_hours(29 * 24);
/// Rows of a statement, and of a transaction.
const ROWS: usize = 500;
const TRANSACTION: usize = 20_000;

const INSERT: &str = "INSERT INTO usage_logs (customer_id, useq, id, request_id, user_id, model, pricing_id, input_tokens, output_tokens, \
     total_tokens, is_streaming, upstream_url, status_code, duration_ms, cost, currency, pricing_version, unrounded, \
     arithmetic, billing, body_hash, event_time, received_at) ";
/// What a server keeps of how this usage was priced.
const ARITHMETIC: &str = r#"{"row":"prices-1","date":"2026-12-01","discount":null,"scale":6,"lines":[{"rule":0,"factor":"prompt_tokens","quantity":"812","unit_value":"1000","unit_price":"1","subtotal":"0.812"},{"rule":1,"factor":"completion_tokens","quantity":"164","unit_value":"1000","unit_price":"4","subtotal":"0.656"}]}"#;
/// In 10^-9 units.
const COST: i64 = 1_468_000_000;

macro_rules! sums {
    ($table:literal, $keys:literal, $from:literal, $day:literal) => {
        concat!(
            "INSERT INTO ", $table, " (", $keys, ", requests, errors, input_tokens, output_tokens, cost, unpriced) SELECT ",
            $from, ", COUNT(*), SUM(status_code >= 400), SUM(input_tokens), SUM(output_tokens), SUM(cost), 0 \
             FROM (SELECT customer_id, user_id, model, currency, status_code, input_tokens, output_tokens, cost, ", $day,
            " AS day FROM usage_logs) AS rows_with_days GROUP BY ", $from
        )
    };
}

macro_rules! of_day {
    ($day:literal) => {
        [
            sums!("usage_totals", "customer_id, day, currency", "customer_id, day, currency", $day),
            sums!(
                "usage_daily",
                "customer_id, day, user_id, model, currency, group_id",
                "customer_id, day, user_id, model, currency, ''",
                $day
            ),
        ]
    };
}

const SQLITE_SUMS: [&str; 2] = of_day!("date(event_time / 1000000, 'unixepoch')");
const MYSQL_SUMS: [&str; 2] =
    of_day!("CAST(DATE(TIMESTAMPADD(SECOND, event_time DIV 1000000, '1970-01-01')) AS CHAR)");
const PLACES: &str = "UPDATE customer_balance SET last_useq = (SELECT COALESCE(MAX(useq), 0) FROM usage_logs \
     WHERE usage_logs.customer_id = customer_balance.customer_id), last_usage_at = (SELECT COALESCE(MAX(received_at), 0) \
     FROM usage_logs WHERE usage_logs.customer_id = customer_balance.customer_id)";

/// One record.
struct Used<'a> {
    customer: &'a str,
    useq: usize,
    id: [u8; 16],
    request: String,
    user: String,
    model: String,
    at: i64,
}

impl<'a> Used<'a> {
    /// The records are numbered as they came.
    fn nth(n: usize, customers: &'a [String], at: i64) -> Self {
        let half = n / 2;
        let (customer, useq, user) = if n.is_multiple_of(2) {
            (0, half, half % USERS)
        } else {
            let others = customers.len() - 1;
            let useq = half / others;
            (1 + half % others, useq, useq % FEW_USERS)
        };
        // Each user has used each model.
        let model = if customer == 0 { half / USERS % MODELS } else { useq % MODELS };
        Self {
            customer: &customers[customer],
            useq: useq + 1,
            // Rises with time, as the ids of the server do.
            id: (u128::from(at.unsigned_abs()) << 64 | n as u128).to_be_bytes(),
            request: ids::uuid(n as u128),
            user: format!("user_{user}"),
            model: format!("model-{}", model + 1),
            at,
        }
    }
}

macro_rules! inserts {
    ($insert:ident, $all:ident, $db:ty, $conn:ty) => {
        fn $insert(rows: &[Used<'_>]) -> QueryBuilder<$db> {
            let mut insert = QueryBuilder::new(INSERT);
            insert.push_values(rows, |mut row, used| {
                row.push_bind(used.customer.to_owned())
                    .push_bind(i64::try_from(used.useq).unwrap_or(i64::MAX))
                    .push_bind(used.id.to_vec())
                    .push_bind(used.request.clone())
                    .push_bind(used.user.clone())
                    .push_bind(used.model.clone())
                    .push("'prices', 812, 164, 976, 1")
                    .push_bind(UPSTREAM)
                    .push("200, 1840")
                    .push_bind(COST)
                    .push("'CNY', 0, '1.468'")
                    .push_bind(ARITHMETIC)
                    .push("'log'")
                    .push_bind(vec![7u8; 32])
                    .push_bind(used.at)
                    .push_bind(used.at);
            });
            insert
        }

        async fn $all(
            conn: &mut $conn,
            customers: &[String],
            records: usize,
            now: i64,
        ) -> Result<(), Failure> {
            let span = i64::try_from(SPAN.as_micros())?;
            let step = span / i64::try_from(records)?;
            for first in (0..records).step_by(TRANSACTION) {
                let mut tx = conn.begin().await?;
                let end = records.min(first + TRANSACTION);
                for from in (first..end).step_by(ROWS) {
                    let rows = (from..end.min(from + ROWS)).map(|n| {
                        let before = i64::try_from(records - n)? * step;
                        Ok::<_, Failure>(Used::nth(n, customers, now - before))
                    });
                    let rows = rows.collect::<Result<Vec<_>, _>>()?;
                    $insert(&rows).build().execute(&mut *tx).await?;
                }
                tx.commit().await?;
            }
            Ok(())
        }
    };
}

inserts!(sqlite_insert, fill_sqlite, Sqlite, SqliteConnection);
inserts!(mysql_insert, fill_mysql, MySql, MySqlConnection);

/// Writes so many records, up to this time in microseconds: half of them the first customer's, the rest the others' in turn.
/// No server may be running.
pub fn fill(
    database: &Database,
    kind: Kind,
    customers: &[String],
    records: usize,
    now: i64,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match Conn::open_to_fill(database).await? {
            Conn::Sqlite(mut conn) => fill_sqlite(&mut conn, customers, records, now).await,
            Conn::MySql(mut conn) => fill_mysql(&mut conn, customers, records, now).await,
        }
    })?;
    let sums = if kind == Kind::Sqlite { SQLITE_SUMS } else { MYSQL_SUMS };
    for sql in sums.into_iter().chain([PLACES]) {
        execute(database, sql)?;
    }
    Ok(())
}

/// Who has open reservations: one for each.
pub fn reservations(database: &Database) -> Result<Vec<Caller>, Failure> {
    const OPEN: &str = "SELECT id, customer_id, user_id FROM quota_reservations WHERE state = 'open'";
    macro_rules! callers {
        ($conn:expr) => {
            sqlx::query(OPEN)
                .fetch_all(&mut $conn)
                .await?
                .iter()
                .map(|row| {
                    let id: Vec<u8> = row.try_get(0)?;
                    let id = u128::from_be_bytes(id.try_into().map_err(|_| "an id has another length")?);
                    let reservation = Some(ids::text(id));
                    Ok(Caller { customer: row.try_get(1)?, user: row.try_get(2)?, reservation })
                })
                .collect()
        };
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match Conn::open(database).await? {
            Conn::Sqlite(mut conn) => callers!(conn),
            Conn::MySql(mut conn) => callers!(conn),
        }
    })
}
