//! Connections and transactions over either kind of database.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use sqlx::mysql::MySqlConnection;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Either, MySql, Sqlite};
use tokio::sync::OwnedMutexGuard;
use tracing::Instrument as _;

use super::cache_events::Changed;
use super::dialect::Dialect;
use super::error::Error;
use super::hosts::Node;
use super::sql::{Form, Row, Sql};
use super::traced;
use crate::model::Timestamp;

/// Bytes of statements that are sent together, about, and how many of them where the wire is encrypted. TLS cuts what it
/// carries into records of 16 KiB, and sqlx leaves Nagle's algorithm on: a second record would wait until the
/// database has acknowledged the first, which takes it 40 ms.
pub(super) const BATCH_BYTES: usize = 1024 * 1024;
const ENCRYPTED_BATCH_BYTES: usize = 16_000;

/// Several statements as one text.
#[derive(Default)]
struct StatementBatch {
    text: String,
    statements: usize,
}

impl StatementBatch {
    fn push(&mut self, statement: &str) {
        self.text.push(';');
        self.text.push_str(statement);
        self.statements += 1;
    }
}

fn batches(statements: Vec<Sql<'_>>, bytes: usize) -> Vec<StatementBatch> {
    let mut batches: Vec<StatementBatch> = Vec::new();
    for statement in statements {
        let text = statement.into_mysql_text();
        match batches.last_mut() {
            Some(batch) if batch.text.len() + text.len() < bytes => batch.push(&text),
            _ => batches.push(StatementBatch { text, statements: 1 }),
        }
    }
    batches
}

/// Ends a text before its COMMIT where the transaction is no longer the one that began: a savepoint goes with its
/// transaction, and to release one that is not there is an error (1305), after which a server runs nothing more of a text.
const RELEASE: &str = "RELEASE SAVEPOINT booking";

/// Why statements that end in a COMMIT did not come to their end.
pub(super) struct Stopped {
    pub error: Error,
    /// Whether the transaction may have been committed.
    pub unknown: bool,
}

impl Stopped {
    /// At the COMMIT itself: a transaction that lost against another one is rolled back, all else is open.
    fn at_commit(error: Error) -> Self {
        Self { unknown: !error.is_contended(), error }
    }

    fn before_commit(error: Error) -> Self {
        Self { error, unknown: false }
    }

    fn after_commit(error: Error) -> Self {
        Self { error, unknown: true }
    }
}

/// Why a text was not answered to its end.
struct Unanswered {
    error: Error,
    /// The statement that failed, counted from 0; `None` where the connection did, somewhere.
    statement: Option<usize>,
}

/// A connection in use.
pub(super) enum Conn {
    MySql(PoolConnection<MySql>, Arc<Node>),
    Sqlite(PoolConnection<Sqlite>),
    /// SQLite's one writing connection. `None` until it is opened.
    SqliteWriter(OwnedMutexGuard<Option<SqliteConnection>>),
    /// None any more: what an ended transaction has.
    Gone,
}

enum Target<'c> {
    MySql(&'c mut MySqlConnection, &'c Node),
    Sqlite(&'c mut SqliteConnection),
}

impl Conn {
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::MySql(..) => Dialect::MySql,
            Self::Sqlite(_) | Self::SqliteWriter(_) | Self::Gone => Dialect::Sqlite,
        }
    }

    fn target(&mut self) -> Result<Target<'_>, Error> {
        Ok(match self {
            Self::MySql(c, node) => Target::MySql(c, node),
            Self::Sqlite(c) => Target::Sqlite(c),
            Self::SqliteWriter(c) => Target::Sqlite(c.as_mut().ok_or(sqlx::Error::PoolClosed)?),
            Self::Gone => return Err(sqlx::Error::PoolClosed.into()),
        })
    }

    /// Runs a statement; the number of rows that it touched (on MySQL: matched).
    pub async fn execute(&mut self, sql: Sql<'_>) -> Result<u64, Error> {
        #[cfg(test)]
        super::plans::note(&sql);
        let span = traced::statement(self.dialect(), sql.text());
        traced::run(span, Box::pin(self.execute_untraced(sql))).await
    }

    async fn execute_untraced(&mut self, sql: Sql<'_>) -> Result<u64, Error> {
        Ok(match self.target()? {
            Target::MySql(conn, node) => {
                let (text, args) = sql.into_mysql()?;
                let query = sqlx::query_with(AssertSqlSafe(text.into_owned()), args);
                node.answer(query.execute(conn)).await??.rows_affected()
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
        let span = traced::statement(self.dialect(), sql.text());
        traced::run(span, Box::pin(self.fetch_all_untraced(sql))).await
    }

    async fn fetch_all_untraced(&mut self, sql: Sql<'_>) -> Result<Vec<Row>, Error> {
        Ok(match self.target()? {
            Target::MySql(conn, node) => {
                let (text, args) = sql.into_mysql()?;
                let query = sqlx::query_with(AssertSqlSafe(text.into_owned()), args);
                let rows = node.answer(query.fetch_all(conn)).await??;
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
        traced::run(traced::statement(self.dialect(), text), Box::pin(self.run_untraced(text))).await
    }

    async fn run_untraced(&mut self, text: &str) -> Result<(), Error> {
        match self.target()? {
            Target::MySql(conn, node) => {
                node.answer(sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(conn)).await??;
            }
            Target::Sqlite(conn) => {
                sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(conn).await.map(drop)?;
            }
        }
        Ok(())
    }

    /// Runs statements one after another, each on its own, and stops at the first that fails.
    pub async fn run_all(&mut self, statements: Vec<Sql<'_>>) -> Result<(), Error> {
        for statement in statements {
            self.execute(statement).await?;
        }
        Ok(())
    }

    /// Runs statements and commits, on SQLite one after another.
    async fn run_and_commit(&mut self, statements: Vec<Sql<'_>>) -> Result<(), Stopped> {
        self.run_all(statements).await.map_err(Stopped::before_commit)?;
        self.run("COMMIT").await.map_err(Stopped::at_commit)
    }

    /// Runs statements and commits, on MySQL. First those that are prepared; the others are sent together with the
    /// COMMIT, `batch_bytes` bytes of them at a time, for each way there and back costs more than most of them.
    ///
    /// A text of several statements is safe on every engine, whatever rolls its transaction back half-way (Galera
    /// does so between two statements, and answers the next one as if nothing had happened):
    /// - Autocommit is off, so what runs after a rollback is in a transaction too, and [`RELEASE`] fails before its COMMIT.
    /// - `proof` reads a row of this transaction after the COMMIT, so an empty one is not taken for it.
    ///
    /// Where there is no proof, the COMMIT is sent alone: a server that rolled back between two texts says so.
    async fn send_and_commit(
        &mut self,
        statements: Vec<Sql<'_>>,
        proof: Option<Sql<'_>>,
        batch_bytes: usize,
    ) -> Result<(), Stopped> {
        let (prepared, text): (Vec<_>, Vec<_>) =
            statements.into_iter().partition(|statement| statement.form() == Form::Prepared);
        self.run_all(prepared).await.map_err(Stopped::before_commit)?;
        #[cfg(test)]
        text.iter().chain(&proof).for_each(super::plans::note);
        let mut texts = batches(text.into_iter().chain([Sql::new(RELEASE)]).collect(), batch_bytes);
        let Some(mut last) = texts.pop() else { return Ok(()) };
        for batch in texts {
            self.send(batch).await.map_err(|failed| Stopped::before_commit(failed.error))?;
        }
        let Some(proof) = proof else {
            self.send(last).await.map_err(|failed| Stopped::before_commit(failed.error))?;
            self.run("COMMIT").await.map_err(Stopped::at_commit)?;
            return self.run(Dialect::END_GUARDED).await.map_err(Stopped::after_commit);
        };
        let commit = last.statements;
        for statement in [Sql::new("COMMIT"), Sql::new(Dialect::END_GUARDED), proof] {
            last.push(&statement.into_mysql_text());
        }
        match self.send(last).await {
            Ok(0) => Err(Stopped::after_commit(Error::vanished())),
            Ok(_) => Ok(()),
            Err(Unanswered { error, statement: None }) => Err(Stopped::after_commit(error)),
            Err(Unanswered { error, statement: Some(n) }) => Err(match n.cmp(&commit) {
                std::cmp::Ordering::Less if n + 1 == commit => Stopped::before_commit(error.into_lost()),
                std::cmp::Ordering::Less => Stopped::before_commit(error),
                std::cmp::Ordering::Equal => Stopped::at_commit(error),
                std::cmp::Ordering::Greater => Stopped::after_commit(error),
            }),
        }
    }

    /// Sends a text; how many rows its statements gave.
    async fn send(&mut self, batch: StatementBatch) -> Result<usize, Unanswered> {
        let span = traced::batch(self.dialect(), batch.statements);
        let sending: BoxFuture<'_, _> = Box::pin(self.send_untraced(batch));
        let sent = sending.instrument(span.clone()).await;
        sent.inspect_err(|failed| traced::note(&span, &failed.error))
    }

    async fn send_untraced(&mut self, batch: StatementBatch) -> Result<usize, Unanswered> {
        let whole = |error: Error| Unanswered { error, statement: None };
        let (conn, node) = match self.target().map_err(whole)? {
            Target::MySql(conn, node) => (conn, node),
            Target::Sqlite(_) => return Err(whole(sqlx::Error::PoolClosed.into())),
        };
        let mut results = sqlx::raw_sql(AssertSqlSafe(batch.text)).fetch_many(conn);
        let (mut done, mut rows) = (0, 0);
        loop {
            match node.answer(results.next()).await.map_err(whole)? {
                None => return Ok(rows),
                Some(Ok(Either::Left(_))) => done += 1,
                Some(Ok(Either::Right(_))) => rows += 1,
                // The server answers each statement that it runs, and runs none after one that failed; a proxy in between
                // may know less.
                Some(Err(error)) => {
                    let error = Error::from(error);
                    let statement = (!error.is_connection_lost()).then_some(done);
                    return Err(Unanswered { error, statement });
                }
            }
        }
    }

    /// How many bytes of statements are sent together well.
    pub async fn batch_bytes(&mut self) -> Result<usize, Error> {
        if self.dialect() == Dialect::Sqlite {
            return Ok(BATCH_BYTES);
        }
        let cipher = self.fetch_optional(Sql::new("SHOW SESSION STATUS LIKE 'Ssl_cipher'")).await?;
        let encrypted = cipher.map(|row| row.text(1)).transpose()?.is_some_and(|cipher| !cipher.is_empty());
        Ok(if encrypted { ENCRYPTED_BATCH_BYTES } else { BATCH_BYTES })
    }

    /// Runs statements without arguments and then some that give rows; on MySQL all at once. The rows of each.
    pub async fn run_and_fetch(
        &mut self,
        first: &'static str,
        queries: Vec<Sql<'_>>,
    ) -> Result<Vec<Vec<Row>>, Error> {
        if self.dialect() == Dialect::Sqlite {
            self.run(first).await?;
            let mut fetched = Vec::with_capacity(queries.len());
            for sql in queries {
                fetched.push(self.fetch_all(sql).await?);
            }
            return Ok(fetched);
        }
        let Some(sql) = queries.first() else { return self.run(first).await.map(|()| Vec::new()) };
        let span = traced::statement(self.dialect(), sql.text());
        let mut fetched: Vec<Vec<Row>> = queries.iter().map(|_| Vec::new()).collect();
        // Whatever stands before gives no rows.
        let mut left = first.split(';').count() + queries.len();
        let mut text = first.to_owned();
        for sql in queries {
            #[cfg(test)]
            super::plans::note(&sql);
            text.push(';');
            text.push_str(&sql.into_mysql_text());
        }
        let Target::MySql(conn, node) = self.target()? else { return Err(sqlx::Error::PoolClosed.into()) };
        let mut results = sqlx::raw_sql(AssertSqlSafe(text)).fetch_many(conn);
        let fetching = async {
            while let Some(result) = node.answer(results.next()).await? {
                match result? {
                    Either::Left(_) => left = left.saturating_sub(1),
                    Either::Right(row) => {
                        let place = fetched.len().checked_sub(left);
                        if let Some(rows) = place.and_then(|place| fetched.get_mut(place)) {
                            rows.push(Row::MySql(row));
                        }
                    }
                }
            }
            Ok(())
        };
        traced::run(span, Box::pin(fetching)).await?;
        Ok(fetched)
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
    /// What it changes of what this instance has cached.
    pub(super) announced: Vec<Changed>,
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

    /// Begins a transaction that ends with [`Tx::commit_after`], and reads, on MySQL at once.
    pub(super) async fn begin_reading(
        conn: Conn,
        queries: Vec<Sql<'_>>,
    ) -> Result<(Self, Vec<Vec<Row>>), (Error, Self)> {
        let mut tx = Self { conn, announced: Vec::new() };
        let begin = tx.dialect().begin_guarded();
        match tx.conn.run_and_fetch(begin, queries).await {
            Ok(rows) => Ok((tx, rows)),
            Err(error) => Err((error, tx)),
        }
    }

    /// Begins by other statements than usual.
    pub(super) async fn begin_with(conn: Conn, begin: &[&str]) -> Result<Self, Error> {
        let mut tx = Self { conn, announced: Vec::new() };
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

    /// Runs statements and commits, on MySQL all at once; `proof` finds a row that they wrote.
    pub(super) async fn commit_after(
        mut self,
        statements: Vec<Sql<'_>>,
        proof: Option<Sql<'_>>,
        batch_bytes: usize,
    ) -> Result<Conn, (Stopped, Option<Conn>)> {
        let ended = match self.dialect() {
            Dialect::MySql => self.conn.send_and_commit(statements, proof, batch_bytes).await,
            Dialect::Sqlite => self.conn.run_and_commit(statements).await,
        };
        match ended {
            Ok(()) => Ok(self.conn.take()),
            Err(mut stopped) => {
                if let (Dialect::MySql, false) = (self.dialect(), stopped.unknown) {
                    stopped.error = self.cause(stopped.error).await;
                }
                Err((stopped, self.rollback().await))
            }
        }
    }

    /// Why a statement failed: a guarded transaction that was rolled back before it holds no locks any more, so that
    /// others have changed what it read, and its rows may be there already. That is no fault of what it writes.
    async fn cause(&mut self, error: Error) -> Error {
        if error.is_contended() || error.is_unavailable() {
            return error;
        }
        match self.conn.run(RELEASE).await.map_err(Error::into_lost) {
            Err(lost) if lost.is_contended() => lost,
            _ => error,
        }
    }

    /// Gives the connection back only if it is known to be clean.
    pub(super) async fn rollback(mut self) -> Option<Conn> {
        match self.conn.run(self.dialect().rollback()).await {
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

    /// Whether it leads to a host that was left.
    pub(super) fn is_left(&self) -> bool {
        matches!(self, Self::MySql(_, node) if node.is_left())
    }

    /// Closes the connection instead of returning it to the pool: its state is unknown.
    pub(super) fn discard(self) {
        match self {
            Self::MySql(conn, _) => drop(conn.detach()),
            Self::Sqlite(conn) => drop(conn.detach()),
            Self::SqliteWriter(mut guard) => drop(guard.take()),
            Self::Gone => {}
        }
    }
}
