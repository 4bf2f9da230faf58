//! The plain SQL that the server is compared with: sqlx connections, the project's own tables, nothing around it.

pub mod booking;
pub mod go_writer;
pub mod mirror;
pub mod rotation;
pub mod usage;

use std::time::{Duration, Instant};

use sageapi_server::config::DatabaseTarget;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Row as _};

use crate::Failure;
use crate::database::Database;
use crate::outcome::{Done, Outcome};

/// The integers of a statement's first row.
pub fn row(database: &Database, sql: &'static str) -> Result<Vec<i64>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let ints: Result<Vec<i64>, sqlx::Error> = match Conn::open(database).await? {
            Conn::Sqlite(mut conn) => {
                let row = sqlx::query(sql).fetch_one(&mut conn).await?;
                (0..row.len()).map(|i| row.try_get_unchecked(i)).collect()
            }
            Conn::MySql(mut conn) => {
                let row = sqlx::query(sql).fetch_one(&mut conn).await?;
                (0..row.len()).map(|i| row.try_get_unchecked(i)).collect()
            }
        };
        Ok(ints?)
    })
}

/// Reads a statement's rows again and again, for so long, over one connection.
pub fn read_again(database: &Database, sql: &'static str, limit: Duration) -> Result<Outcome, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut conn = Conn::open(database).await?;
        let (started, mut times) = (Instant::now(), Vec::new());
        while started.elapsed() < limit {
            let begun = Instant::now();
            let rows = match &mut conn {
                Conn::Sqlite(conn) => sqlx::query(sql).fetch_all(conn).await?.len(),
                Conn::MySql(conn) => sqlx::query(sql).fetch_all(conn).await?.len(),
            };
            if rows == 0 {
                return Err(format!("no rows: {sql}").into());
            }
            let at = Instant::now();
            times.push(Done { took: u64::try_from((at - begun).as_nanos())?, at });
        }
        Ok(Outcome::of(started.elapsed(), times))
    })
}

/// Runs a statement; how many rows it changed.
pub fn execute(database: &Database, sql: &'static str) -> Result<usize, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let changed = runtime.block_on(async {
        Ok::<_, Failure>(match Conn::open(database).await? {
            Conn::Sqlite(mut conn) => sqlx::query(sql).execute(&mut conn).await?.rows_affected(),
            Conn::MySql(mut conn) => sqlx::query(sql).execute(&mut conn).await?.rows_affected(),
        })
    })?;
    Ok(usize::try_from(changed)?)
}

/// Fails unless the ledger has as many records as were counted, by whom.
pub fn check_records(database: &Database, counted: usize, by: &str) -> Result<(), Failure> {
    check_count(database, "SELECT COUNT(*) FROM accounting_records", counted, by)
}

/// The same of usage records.
pub fn check_usage(database: &Database, counted: usize, by: &str) -> Result<(), Failure> {
    check_count(database, "SELECT COUNT(*) FROM usage_logs", counted, by)
}

fn check_count(database: &Database, sql: &'static str, counted: usize, by: &str) -> Result<(), Failure> {
    let row = row(database, sql)?;
    let there = usize::try_from(row.first().copied().ok_or("a count gave nothing")?)?;
    if there == counted {
        Ok(())
    } else {
        Err(format!("{by}: {counted} records were acknowledged, {there} are there").into())
    }
}

/// A connection to either kind of database.
enum Conn {
    Sqlite(SqliteConnection),
    MySql(MySqlConnection),
}

impl Conn {
    async fn open(database: &Database) -> Result<Self, Failure> {
        Ok(match database.target() {
            DatabaseTarget::Sqlite { path } => Self::Sqlite(
                SqliteConnectOptions::new()
                    .filename(path)
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(Duration::from_secs(5))
                    .disable_statement_logging()
                    .connect()
                    .await?,
            ),
            DatabaseTarget::Mysql { hosts, user, password, name, .. } => {
                let host = hosts.first().ok_or("the database has no host")?;
                let options = MySqlConnectOptions::new()
                    .host(&host.name)
                    .port(host.port)
                    .username(&user)
                    .database(&name)
                    .disable_statement_logging();
                let password = password.expose();
                let options = if password.is_empty() { options } else { options.password(password) };
                Self::MySql(options.connect().await?)
            }
        })
    }

    /// To write much at once: as fast as it goes, since nothing is measured and a crash ends the measure anyway.
    async fn open_to_fill(database: &Database) -> Result<Self, Failure> {
        let mut conn = Self::open(database).await?;
        if let Self::Sqlite(conn) = &mut conn {
            sqlx::query("PRAGMA synchronous = OFF").execute(&mut *conn).await?;
            sqlx::query("PRAGMA cache_size = -262144").execute(&mut *conn).await?;
        }
        Ok(conn)
    }
}
