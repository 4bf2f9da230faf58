//! The plain SQL that the server is compared with: sqlx connections, the project's own tables, nothing around it.

pub mod booking;
pub mod mirror;
pub mod rotation;

use std::time::Duration;

use sageapi_server::config::DatabaseTarget;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Row as _};

use crate::Failure;
use crate::database::Database;

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
    let row = row(database, "SELECT COUNT(*) FROM accounting_records")?;
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
}
