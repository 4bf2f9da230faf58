//! What a comparable gateway written in Go does: it buffers usage, and one goroutine inserts the buffer in one transaction,
//! a hundred rows a statement, into a table with six indexes besides its key.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use sqlx::{Connection as _, MySql, MySqlConnection, QueryBuilder, Sqlite, SqliteConnection};

use super::{Conn, execute};
use crate::database::{Database, Kind};
use crate::outcome::{Done, Outcome};
use crate::request::UPSTREAM;
use crate::{Failure, ids};

/// Rows of its buffer, and of a statement.
pub const BUFFER: usize = 1000;
const ROWS: usize = 100;
/// Rows of a transaction that fills the table.
const FILLING: usize = 20_000;
/// Its users.
const USERS: u128 = 500;

/// Columns and types are those that GORM makes of its model.
const SQLITE_TABLE: &str = "CREATE TABLE usage_logs (id INTEGER PRIMARY KEY AUTOINCREMENT, request_id TEXT NOT NULL, \
     user_id TEXT NOT NULL, model TEXT, actual_model TEXT, input_tokens INTEGER DEFAULT 0, output_tokens INTEGER DEFAULT 0, \
     total_tokens INTEGER DEFAULT 0, is_streaming NUMERIC, upstream_url TEXT, status_code INTEGER, duration_ms INTEGER, \
     cost_usd REAL DEFAULT 0, source_node TEXT DEFAULT 'local', synced NUMERIC DEFAULT 0, created_at DATETIME)";
const MYSQL_TABLE: &str = "CREATE TABLE usage_logs (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, \
     request_id VARCHAR(191) NOT NULL, user_id VARCHAR(191) NOT NULL, model LONGTEXT, actual_model LONGTEXT, \
     input_tokens BIGINT DEFAULT 0, output_tokens BIGINT DEFAULT 0, total_tokens BIGINT DEFAULT 0, is_streaming BOOLEAN, \
     upstream_url LONGTEXT, status_code BIGINT, duration_ms BIGINT, cost_usd DOUBLE DEFAULT 0, \
     source_node VARCHAR(191) DEFAULT 'local', synced BOOLEAN DEFAULT FALSE, created_at DATETIME(3) NULL) ENGINE = InnoDB";
/// There are two of user_id.
const INDEXES: [&str; 6] = [
    "CREATE UNIQUE INDEX idx_usage_logs_request_id ON usage_logs (request_id)",
    "CREATE INDEX idx_usage_logs_user_id ON usage_logs (user_id)",
    "CREATE INDEX idx_usage_logs_synced ON usage_logs (synced)",
    "CREATE INDEX idx_usage_logs_created_at ON usage_logs (created_at)",
    "CREATE INDEX idx_usage_user_created ON usage_logs (user_id, created_at)",
    "CREATE INDEX idx_usage_user_id ON usage_logs (user_id)",
];
const INSERT: &str = "INSERT INTO usage_logs (request_id, user_id, model, actual_model, input_tokens, output_tokens, \
     total_tokens, is_streaming, upstream_url, status_code, duration_ms, cost_usd, source_node, synced, created_at) ";

macro_rules! transactions {
    ($insert:ident, $buffer:ident, $db:ty, $conn:ty, $conflict:literal, $time:literal) => {
        fn $insert(numbers: impl IntoIterator<Item = usize>, now: Timestamp) -> QueryBuilder<$db> {
            let mut insert = QueryBuilder::new(INSERT);
            insert.push_values(numbers, |mut row, n| {
                row.push_bind(ids::uuid(n as u128))
                    .push_bind(format!("user_{}", ids::random(n as u128) % USERS))
                    .push_bind("model-1")
                    .push_bind("model-1")
                    .push("812, 164, 976, 1")
                    .push_bind(UPSTREAM)
                    .push("200, 1840")
                    .push_bind(0.001_468)
                    .push("'local', 0")
                    .push_bind(now.strftime($time).to_string());
            });
            insert.push($conflict);
            insert
        }

        /// Writes these rows in one transaction.
        async fn $buffer(
            conn: &mut $conn,
            first: usize,
            count: usize,
            now: Timestamp,
        ) -> Result<(), Failure> {
            let mut tx = conn.begin().await?;
            for from in (first..first + count).step_by(ROWS) {
                let numbers = from..(from + ROWS).min(first + count);
                $insert(numbers, now).build().execute(&mut *tx).await?;
            }
            Ok(tx.commit().await?)
        }
    };
}

transactions!(
    sqlite_insert,
    in_sqlite,
    Sqlite,
    SqliteConnection,
    " ON CONFLICT DO NOTHING",
    "%Y-%m-%d %H:%M:%S%.9f+00:00"
);
transactions!(
    mysql_insert,
    in_mysql,
    MySql,
    MySqlConnection,
    " ON DUPLICATE KEY UPDATE id = id",
    "%Y-%m-%d %H:%M:%S%.3f"
);

/// Such a writer, with a database of its own.
pub struct GoWriter<'a> {
    database: &'a Database,
    /// Rows that were committed.
    pub records: usize,
}

impl<'a> GoWriter<'a> {
    /// With so many rows of the last weeks in its table, which gets its indexes after that: a random key would take long.
    pub fn filled(
        database: &'a Database,
        kind: Kind,
        records: usize,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        execute(database, if kind == Kind::Sqlite { SQLITE_TABLE } else { MYSQL_TABLE })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut conn = Conn::open_to_fill(database).await?;
            for first in (0..records).step_by(FILLING) {
                let count = FILLING.min(records - first);
                // Some seconds apart.
                let before = Duration::from_millis(2600) * u32::try_from(records - first)?;
                conn.buffer(first, count, now - before).await?;
            }
            Ok::<_, Failure>(())
        })?;
        for index in INDEXES {
            execute(database, index)?;
        }
        Ok(Self { database, records })
    }

    /// Writes one buffer after another for so long. Counts and times are those of transactions.
    pub fn run(&mut self, limit: Duration) -> Result<Outcome, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut conn = Conn::open(self.database).await?;
            let (started, mut times) = (Instant::now(), Vec::new());
            while started.elapsed() < limit {
                let begun = Instant::now();
                conn.buffer(self.records, BUFFER, Timestamp::now()).await?;
                self.records += BUFFER;
                let at = Instant::now();
                times.push(Done { took: u64::try_from((at - begun).as_nanos())?, at });
            }
            Ok(Outcome::of(started.elapsed(), times))
        })
    }
}

impl Conn {
    async fn buffer(&mut self, first: usize, count: usize, now: Timestamp) -> Result<(), Failure> {
        match self {
            Self::Sqlite(conn) => in_sqlite(conn, first, count, now).await,
            Self::MySql(conn) => in_mysql(conn, first, count, now).await,
        }
    }
}
