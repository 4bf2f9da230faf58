//! The plain SQL that the server is compared with: sqlx connections, the project's own tables, nothing around it.

pub mod booking;
pub mod mirror;

use std::time::Duration;

use sageapi_server::config::DatabaseTarget;
use sqlx::ConnectOptions as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};

use crate::Failure;
use crate::database::Database;

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
            DatabaseTarget::Mysql { host, port, user, password, name, .. } => {
                let options = MySqlConnectOptions::new()
                    .host(&host)
                    .port(port)
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
