//! `INSERT; UPDATE ... WHERE balance >= ?; COMMIT`, by connections that know nothing of each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sqlx::{Connection as _, MySql, MySqlConnection, QueryBuilder, Sqlite, SqliteConnection};

use super::Conn;
use crate::Failure;
use crate::database::Database;
use crate::outcome::{Done, Outcome};

const INSERT: &str = "INSERT INTO accounting_records (customer_id, seq, id, transno, kind, amount, delta, currency, \
     user_id, model_name, input_tokens, output_tokens, total_tokens, request_id, balance_after, held_after, \
     available_after, body_hash, prev_hash, hash, event_time, created_at) ";
const UPDATE: &str = "UPDATE customer_balance SET balance = balance - ?, last_seq = last_seq + 1, \
     version = version + 1, last_consumption = ?, updated_at = ? WHERE customer_id = ? AND balance >= ?";
/// A thousandth of a thousandth, in the database's 10^-9 units.
const AMOUNT: i64 = 1000;
/// SQLite's code for a writer that waited in vain for the others.
const SQLITE_BUSY: &str = "5";

/// What one transaction writes.
struct Charge<'a> {
    customer: &'a str,
    seq: i64,
    now: i64,
}

impl Charge<'_> {
    /// Rises with time, as the ids of the server do.
    fn id(&self) -> [u8; 16] {
        (u128::from(self.now.unsigned_abs()) << 64 | u128::from(self.seq.unsigned_abs())).to_be_bytes()
    }
}

macro_rules! insert {
    ($name:ident, $db:ty) => {
        fn $name(charges: &[Charge<'_>]) -> QueryBuilder<$db> {
            let mut insert = QueryBuilder::new(INSERT);
            insert.push_values(charges, |mut row, charge| {
                let (seq, hash) = (charge.seq, vec![7u8; 32]);
                row.push_bind(charge.customer.to_owned())
                    .push_bind(seq)
                    .push_bind(charge.id().to_vec())
                    .push_bind(format!("bench-1234567890123456-{seq}"))
                    .push("'charge'")
                    .push_bind(AMOUNT)
                    .push_bind(-AMOUNT)
                    .push("'CNY'")
                    .push_bind(format!("user_{}", seq % 1000))
                    .push("'model-1'")
                    .push("812, 164, 976")
                    .push_bind(format!("request-1234567890123456-{seq}"))
                    .push("0, 0, 0")
                    .push_bind(hash.clone())
                    .push_bind(hash.clone())
                    .push_bind(hash)
                    .push_bind(charge.now)
                    .push_bind(charge.now);
            });
            insert
        }
    };
}

insert!(sqlite_insert, Sqlite);
insert!(mysql_insert, MySql);

macro_rules! transactions {
    ($one:ident, $many:ident, $insert:ident, $conn:ty, $begin:literal) => {
        async fn $one(conn: &mut $conn, charge: &Charge<'_>) -> Result<bool, sqlx::Error> {
            let mut tx = conn.begin_with($begin).await?;
            $insert(std::slice::from_ref(charge)).build().execute(&mut *tx).await?;
            let Charge { customer, now, .. } = *charge;
            let update = sqlx::query(UPDATE).bind(AMOUNT).bind(now).bind(now).bind(customer).bind(AMOUNT);
            let changed = update.execute(&mut *tx).await?.rows_affected();
            tx.commit().await?;
            Ok(changed == 1)
        }

        async fn $many(conn: &mut $conn, charges: &[Charge<'_>]) -> Result<bool, sqlx::Error> {
            let mut tx = conn.begin_with($begin).await?;
            $insert(charges).build().execute(&mut *tx).await?;
            tx.commit().await?;
            Ok(true)
        }
    };
}

transactions!(in_sqlite, many_in_sqlite, sqlite_insert, SqliteConnection, "BEGIN IMMEDIATE");
transactions!(in_mysql, many_in_mysql, mysql_insert, MySqlConnection, "BEGIN");

/// What a connection does, again and again.
#[derive(Clone, Copy)]
pub enum Work {
    /// One charge a transaction, with its customer's balance.
    Charges,
    /// So many records a transaction, in one statement, and no balance.
    Records(usize),
}

impl Work {
    /// Records of a transaction.
    fn records(self) -> usize {
        match self {
            Self::Charges => 1,
            Self::Records(count) => count,
        }
    }
}

/// A database that is written to plainly, and what came of that.
pub struct Plain<'a> {
    database: &'a Database,
    /// Numbers the records, over several runs.
    seq: Arc<AtomicI64>,
    /// Records that were committed.
    pub records: usize,
}

impl<'a> Plain<'a> {
    /// Its records are numbered from here.
    pub fn new(database: &'a Database, first: i64) -> Self {
        Self { database, seq: Arc::new(AtomicI64::new(first)), records: 0 }
    }

    /// Writes for these customers in turn, over so many connections for so long. Counts and times are those of
    /// transactions.
    pub fn run(
        &mut self,
        customers: &Arc<[String]>,
        work: Work,
        connections: usize,
        limit: Duration,
    ) -> Result<Outcome, Failure> {
        let outcome = run(self.database, customers, work, connections, limit, &self.seq)?;
        self.records += outcome.count * work.records();
        Ok(outcome)
    }
}

fn run(
    database: &Database,
    customers: &Arc<[String]>,
    work: Work,
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
            .map(|conn| tokio::spawn(connection(conn, customers.clone(), work, seq.clone(), until)))
            .collect();
        let mut times = Vec::new();
        for task in tasks {
            times.append(&mut task.await??);
        }
        Ok(Outcome::of(started.elapsed(), times))
    })
}

async fn connection(
    mut conn: Conn,
    customers: Arc<[String]>,
    work: Work,
    seq: Arc<AtomicI64>,
    until: Instant,
) -> Result<Vec<Done>, Failure> {
    let count = work.records();
    let mut times = Vec::new();
    let mut begun = Instant::now();
    while Instant::now() < until {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?;
        let first = seq.fetch_add(i64::try_from(count)?, Ordering::Relaxed);
        let charges: Vec<_> = (first..)
            .take(count)
            .map(|seq| {
                let customer = usize::try_from(seq).unwrap_or_default() % customers.len();
                Charge { customer: &customers[customer], seq, now }
            })
            .collect();
        let done = match (&mut conn, work) {
            (Conn::Sqlite(conn), Work::Charges) => in_sqlite(conn, &charges[0]).await,
            (Conn::MySql(conn), Work::Charges) => in_mysql(conn, &charges[0]).await,
            (Conn::Sqlite(conn), Work::Records(_)) => many_in_sqlite(conn, &charges).await,
            (Conn::MySql(conn), Work::Records(_)) => many_in_mysql(conn, &charges).await,
        };
        match done {
            Ok(true) => {
                let at = Instant::now();
                times.push(Done { took: u64::try_from((at - begun).as_nanos())?, at });
                begun = at;
            }
            Ok(false) => return Err("a customer of the plain transactions has no funds".into()),
            // It lost its turn, and its time; the next attempt takes another number.
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(SQLITE_BUSY) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(times)
}
