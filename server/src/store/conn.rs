//! Connections and transactions over either kind of database.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use sqlx::mysql::MySqlConnection;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Either, MySql, Sqlite};
use tokio::sync::OwnedMutexGuard;

use super::dialect::Dialect;
use super::error::Error;
use super::sql::{Form, Row, Sql};
use crate::model::Timestamp;

/// Bytes of statements that travel together, about, and how many of them where the wire is encrypted. TLS cuts what it
/// carries into records of 16 KiB, and sqlx leaves Nagle's algorithm on: a second record would wait until the
/// database has acknowledged the first, which takes it 40 ms.
pub(super) const TRIP: usize = 1024 * 1024;
const ENCRYPTED_TRIP: usize = 16_000;

/// Several statements as one text.
#[derive(Default)]
struct Trip {
    text: String,
    statements: usize,
}

fn trips(statements: Vec<Sql<'_>>, bytes: usize) -> Vec<Trip> {
    let mut trips: Vec<Trip> = Vec::new();
    for statement in statements {
        let text = statement.into_mysql_text();
        match trips.last_mut() {
            Some(trip) if trip.text.len() + text.len() < bytes => {
                trip.text.push(';');
                trip.text.push_str(&text);
                trip.statements += 1;
            }
            _ => trips.push(Trip { text, statements: 1 }),
        }
    }
    trips
}

/// Why the last of several statements did not come to its end.
pub(super) struct Stopped {
    pub error: Error,
    /// Whether the last statement may have been run.
    pub open: bool,
}

/// A connection in use.
pub(super) enum Conn {
    MySql(PoolConnection<MySql>),
    Sqlite(PoolConnection<Sqlite>),
    /// SQLite's one writing connection. `None` until it is opened.
    SqliteWriter(OwnedMutexGuard<Option<SqliteConnection>>),
    /// None any more: what an ended transaction has.
    Gone,
}

enum Target<'c> {
    MySql(&'c mut MySqlConnection),
    Sqlite(&'c mut SqliteConnection),
}

impl Conn {
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::MySql(_) => Dialect::MySql,
            Self::Sqlite(_) | Self::SqliteWriter(_) | Self::Gone => Dialect::Sqlite,
        }
    }

    fn target(&mut self) -> Result<Target<'_>, Error> {
        Ok(match self {
            Self::MySql(c) => Target::MySql(c),
            Self::Sqlite(c) => Target::Sqlite(c),
            Self::SqliteWriter(c) => Target::Sqlite(c.as_mut().ok_or(sqlx::Error::PoolClosed)?),
            Self::Gone => return Err(sqlx::Error::PoolClosed.into()),
        })
    }

    /// Runs a statement; the number of rows that it touched (on MySQL: matched).
    pub async fn execute(&mut self, sql: Sql<'_>) -> Result<u64, Error> {
        #[cfg(test)]
        super::plans::note(&sql);
        Ok(match self.target()? {
            Target::MySql(conn) => {
                let (text, args) = sql.into_mysql()?;
                sqlx::query_with(AssertSqlSafe(text.into_owned()), args).execute(conn).await?.rows_affected()
            }
            Target::Sqlite(conn) => {
                let (text, args) = sql.into_sqlite()?;
                sqlx::query_with(AssertSqlSafe(text.into_owned()), args).execute(conn).await?.rows_affected()
            }
        })
    }

    pub async fn fetch_all(&mut self, sql: Sql<'_>) -> Result<Vec<Row>, Error> {
        #[cfg(test)]
        super::plans::note(&sql);
        Ok(match self.target()? {
            Target::MySql(conn) => {
                let (text, args) = sql.into_mysql()?;
                let rows = sqlx::query_with(AssertSqlSafe(text.into_owned()), args).fetch_all(conn).await?;
                rows.into_iter().map(Row::MySql).collect()
            }
            Target::Sqlite(conn) => {
                let (text, args) = sql.into_sqlite()?;
                let rows = sqlx::query_with(AssertSqlSafe(text.into_owned()), args).fetch_all(conn).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
        })
    }

    pub async fn fetch_optional(&mut self, sql: Sql<'_>) -> Result<Option<Row>, Error> {
        Ok(self.fetch_all(sql).await?.into_iter().next())
    }

    pub async fn fetch_one(&mut self, sql: Sql<'_>) -> Result<Row, Error> {
        self.fetch_optional(sql).await?.ok_or(Error::Refused(sqlx::Error::RowNotFound))
    }

    /// Runs text without arguments, possibly several statements, outside the prepared protocol.
    pub async fn run(&mut self, text: &str) -> Result<(), Error> {
        match self.target()? {
            Target::MySql(conn) => {
                sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(conn).await.map(drop)?;
            }
            Target::Sqlite(conn) => {
                sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(conn).await.map(drop)?;
            }
        }
        Ok(())
    }

    /// Runs statements one after another and stops at the first that fails. On MySQL first those that are prepared; the
    /// others travel together, `trip` bytes of them at a time, for each way there and back costs more than most of them.
    pub async fn run_all(&mut self, statements: Vec<Sql<'_>>, trip: usize) -> Result<(), Stopped> {
        #[cfg(test)]
        statements.iter().for_each(super::plans::note);
        if self.dialect() == Dialect::MySql {
            let (prepared, text): (Vec<_>, _) =
                statements.into_iter().partition(|statement| statement.form() == Form::Prepared);
            for statement in prepared {
                self.execute(statement).await.map_err(|error| Stopped { error, open: false })?;
            }
            let mut trips = trips(text, trip).into_iter().peekable();
            while let Some(trip) = trips.next() {
                let last = trips.peek().is_none();
                self.travel(trip)
                    .await
                    .map_err(|stopped| Stopped { open: stopped.open && last, ..stopped })?;
            }
            return Ok(());
        }
        let mut statements = statements.into_iter().peekable();
        while let Some(statement) = statements.next() {
            let open = statements.peek().is_none();
            self.execute(statement).await.map_err(|error| Stopped { error, open })?;
        }
        Ok(())
    }

    async fn travel(&mut self, trip: Trip) -> Result<(), Stopped> {
        let conn = match self.target() {
            Ok(Target::MySql(conn)) => conn,
            Ok(Target::Sqlite(_)) => {
                return Err(Stopped { error: sqlx::Error::PoolClosed.into(), open: false });
            }
            Err(error) => return Err(Stopped { error, open: false }),
        };
        let mut results = sqlx::raw_sql(AssertSqlSafe(trip.text)).fetch_many(conn);
        let mut done = 0;
        loop {
            match results.next().await {
                None => return Ok(()),
                Some(Ok(Either::Left(_))) => done += 1,
                Some(Ok(Either::Right(_))) => {}
                Some(Err(error)) => {
                    // The server answers each statement that it runs, and runs none after one that failed.
                    let answered = matches!(error, sqlx::Error::Database(_));
                    return Err(Stopped {
                        error: error.into(),
                        open: !answered || done + 1 == trip.statements,
                    });
                }
            }
        }
    }

    /// How many bytes of statements travel together well.
    pub async fn trip(&mut self) -> Result<usize, Error> {
        if self.dialect() == Dialect::Sqlite {
            return Ok(TRIP);
        }
        let cipher = self.fetch_optional(Sql::new("SHOW SESSION STATUS LIKE 'Ssl_cipher'")).await?;
        let encrypted = cipher.map(|row| row.text(1)).transpose()?.is_some_and(|cipher| !cipher.is_empty());
        Ok(if encrypted { ENCRYPTED_TRIP } else { TRIP })
    }

    /// Runs a statement without arguments and then one that gives rows; on MySQL both at once.
    pub async fn run_and_fetch(&mut self, first: &'static str, sql: Sql<'_>) -> Result<Vec<Row>, Error> {
        if self.dialect() == Dialect::Sqlite {
            self.run(first).await?;
            return self.fetch_all(sql).await;
        }
        #[cfg(test)]
        super::plans::note(&sql);
        let Target::MySql(conn) = self.target()? else { return Err(sqlx::Error::PoolClosed.into()) };
        let text = format!("{first};{}", sql.into_mysql_text());
        let rows = sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(conn).await?;
        Ok(rows.into_iter().map(Row::MySql).collect())
    }

    /// The database's clock.
    pub async fn now(&mut self) -> Result<Timestamp, Error> {
        let text = self.dialect().now();
        self.fetch_one(Sql::new(format!("SELECT {text}"))).await?.time(0)
    }
}

/// A transaction: statements run through it, and it ends with the closure that got it. Where it is
/// dropped without an end (a panic, a future given up), its connection is closed: the next user would
/// go on within it, or commit it unknowingly.
pub struct Tx {
    pub(super) conn: Conn,
}

impl Drop for Tx {
    fn drop(&mut self) {
        self.conn.take().discard();
    }
}

/// What a transaction's closure gives.
pub type TxFuture<'t, T> = BoxFuture<'t, Result<T, Error>>;

impl Tx {
    pub(super) async fn begin(conn: Conn) -> Result<Self, Error> {
        let begin = conn.dialect().begin();
        Self::begin_with(conn, &[begin]).await
    }

    pub(super) async fn begin_snapshot(conn: Conn) -> Result<Self, Error> {
        let begin = conn.dialect().begin_snapshot();
        Self::begin_with(conn, begin).await
    }

    /// Begins and reads, on MySQL at once.
    pub(super) async fn begin_reading(conn: Conn, sql: Sql<'_>) -> Result<(Self, Vec<Row>), (Error, Self)> {
        let mut tx = Self { conn };
        let begin = tx.dialect().begin();
        match tx.conn.run_and_fetch(begin, sql).await {
            Ok(rows) => Ok((tx, rows)),
            Err(error) => Err((error, tx)),
        }
    }

    /// Begins by other statements than usual.
    pub(super) async fn begin_with(conn: Conn, begin: &[&str]) -> Result<Self, Error> {
        let mut tx = Self { conn };
        for statement in begin {
            tx.conn.run(statement).await?;
        }
        Ok(tx)
    }

    pub(super) async fn commit(mut self) -> Result<Conn, (Error, Option<Conn>)> {
        match self.conn.run("COMMIT").await {
            Ok(()) => Ok(self.conn.take()),
            Err(error) => Err((error, self.rollback().await)),
        }
    }

    /// Runs statements and commits, on MySQL all at once.
    pub(super) async fn commit_after(
        mut self,
        mut statements: Vec<Sql<'_>>,
        trip: usize,
    ) -> Result<Conn, (Stopped, Option<Conn>)> {
        statements.push(Sql::new("COMMIT"));
        match self.conn.run_all(statements, trip).await {
            Ok(()) => Ok(self.conn.take()),
            Err(stopped) => Err((stopped, self.rollback().await)),
        }
    }

    /// Gives the connection back only if it is known to be clean.
    pub(super) async fn rollback(mut self) -> Option<Conn> {
        match self.conn.run("ROLLBACK").await {
            Ok(()) => Some(self.conn.take()),
            // SQLite may have rolled back by itself (disk full, I/O error); then there is nothing to undo.
            Err(_) if self.conn.dialect() == Dialect::Sqlite => Some(self.conn.take()),
            Err(_) => None,
        }
    }

    /// The database's clock.
    pub async fn now(&mut self) -> Result<Timestamp, Error> {
        self.conn.now().await
    }

    /// Which kind of database this is.
    pub fn dialect(&self) -> Dialect {
        self.conn.dialect()
    }
}

/// SQLite's one writing connection, shared by all who write.
pub(super) type SqliteWriterSlot = Arc<tokio::sync::Mutex<Option<SqliteConnection>>>;

impl Conn {
    fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Gone)
    }

    /// Closes the connection instead of returning it to the pool: its state is unknown.
    pub(super) fn discard(self) {
        match self {
            Self::MySql(conn) => drop(conn.detach()),
            Self::Sqlite(conn) => drop(conn.detach()),
            Self::SqliteWriter(mut guard) => drop(guard.take()),
            Self::Gone => {}
        }
    }
}
