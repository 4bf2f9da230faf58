//! `INSERT; UPDATE ... WHERE balance >= ?; COMMIT`, by connections that know nothing of each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sqlx::{Connection as _, MySqlConnection, SqliteConnection};

use super::Conn;
use crate::Failure;
use crate::database::Database;

const INSERT: &str = "INSERT INTO accounting_records (customer_id, seq, id, transno, kind, amount, delta, currency, \
     user_id, model_name, input_tokens, output_tokens, total_tokens, request_id, balance_after, held_after, \
     available_after, body_hash, prev_hash, hash, event_time, created_at) \
     VALUES (?, ?, ?, ?, 'charge', ?, ?, 'CNY', ?, 'model-1', 812, 164, 976, ?, 0, 0, 0, ?, ?, ?, ?, ?)";
const UPDATE: &str = "UPDATE customer_balance SET balance = balance - ?, last_seq = last_seq + 1, \
     version = version + 1, last_consumption = ?, updated_at = ? WHERE customer_id = ? AND balance >= ?";
/// A thousandth of a thousandth, in the database's 10^-9 units.
const AMOUNT: i64 = 1000;
/// SQLite's code for a writer that waited in vain for the others.
const SQLITE_BUSY: &str = "5";

/// Transactions committed, and in what time.
pub struct Outcome {
    /// Transactions.
    pub commits: usize,
    /// How long it took.
    pub elapsed: Duration,
}

impl Outcome {
    /// Transactions a second.
    #[expect(clippy::cast_precision_loss, reason = "counts of transactions are far below 2^52")]
    pub fn rate(&self) -> f64 {
        self.commits as f64 / self.elapsed.as_secs_f64()
    }
}

/// What one transaction writes.
struct Charge<'a> {
    customer: &'a str,
    seq: i64,
    now: i64,
}

macro_rules! transaction {
    ($name:ident, $conn:ty, $begin:literal) => {
        async fn $name(conn: &mut $conn, charge: &Charge<'_>) -> Result<u64, sqlx::Error> {
            let Charge { customer, seq, now } = *charge;
            // Rises with time, as the ids of the server do.
            let id = (u128::from(now.unsigned_abs()) << 64 | u128::from(seq.unsigned_abs())).to_be_bytes();
            let hash = [7u8; 32];
            let mut tx = conn.begin_with($begin).await?;
            sqlx::query(INSERT)
                .bind(customer)
                .bind(seq)
                .bind(&id[..])
                .bind(format!("bench-1234567890123456-{seq}"))
                .bind(AMOUNT)
                .bind(-AMOUNT)
                .bind(format!("user_{}", seq % 1000))
                .bind(format!("request-1234567890123456-{seq}"))
                .bind(&hash[..])
                .bind(&hash[..])
                .bind(&hash[..])
                .bind(now)
                .bind(now)
                .execute(&mut *tx)
                .await?;
            let update = sqlx::query(UPDATE).bind(AMOUNT).bind(now).bind(now).bind(customer).bind(AMOUNT);
            let changed = update.execute(&mut *tx).await?.rows_affected();
            tx.commit().await?;
            Ok(changed)
        }
    };
}

transaction!(in_sqlite, SqliteConnection, "BEGIN IMMEDIATE");
transaction!(in_mysql, MySqlConnection, "BEGIN");

/// Charges one customer over so many connections for so long. `seq` numbers the records, over several runs.
pub fn run(
    database: &Database,
    customer: &str,
    connections: usize,
    limit: Duration,
    seq: &Arc<AtomicI64>,
) -> Result<Outcome, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut conns = Vec::with_capacity(connections);
        for _ in 0..connections {
            conns.push(Conn::open(database).await?);
        }
        let started = Instant::now();
        let until = started + limit;
        let tasks: Vec<_> = conns
            .into_iter()
            .map(|conn| tokio::spawn(connection(conn, customer.to_owned(), seq.clone(), until)))
            .collect();
        let mut commits = 0;
        for task in tasks {
            commits += task.await??;
        }
        Ok(Outcome { commits, elapsed: started.elapsed() })
    })
}

async fn connection(
    mut conn: Conn,
    customer: String,
    seq: Arc<AtomicI64>,
    until: Instant,
) -> Result<usize, Failure> {
    let mut commits = 0;
    while Instant::now() < until {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?;
        let charge = Charge { customer: &customer, seq: seq.fetch_add(1, Ordering::Relaxed), now };
        let changed = match &mut conn {
            Conn::Sqlite(conn) => in_sqlite(conn, &charge).await,
            Conn::MySql(conn) => in_mysql(conn, &charge).await,
        };
        match changed {
            Ok(1) => commits += 1,
            Ok(_) => return Err("the customer of the plain transactions has no funds".into()),
            // It lost its turn; the next attempt takes another number.
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(SQLITE_BUSY) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(commits)
}
