//! The statements of one booking transaction, and the connection of a writer. What is decided
//! between them is `domain::booking`'s.

use std::time::Duration;

use uuid::Uuid;

use super::columns::{FromRow, first, select, select_with};
use super::conn::{BATCH_BYTES, Conn, Stopped, Tx};
use super::dialect::Dialect;
use super::error::Error;
use super::sql::{Form, Row, Sql};
use super::{
    Changed, NonceUse, QuotaQuery, QuotaRows, ReplayTable, Reversal, Store, UsagePlace, audit, cache_events,
    customers, holds, quota, records, replay, reversals, usage,
};
use crate::model::{
    AuditEntry, Customer, CustomerId, Hold, QuotaCounter, QuotaReservation, Record, RecordId, Timestamp,
    Transno, UsageDay, UsageRecord, UsageTotal,
};

/// How long the database may be silent in the middle of a booking: longer than it waits for locks. Without a timeout a
/// connection that broke silently would hold up the writer, and everything behind it, for good.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// Rows of one INSERT statement where it must be small: that many records of the usual size make 13 KB.
const FEW_ROWS: usize = 24;
/// Rows of one INSERT statement elsewhere. MySQL answers each statement on its own, and each answer wakes the writer.
const MANY_ROWS: usize = 128;
/// Rows of the smallest INSERT statement that MySQL keeps prepared. Parsing a row's text costs it half as much as
/// inserting the row, and a round trip as much as parsing a few rows: fewer go as text with the COMMIT.
const PREPARED_ROWS: usize = 4;

/// A customer locked for a booking, and the database's clock at that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    /// The customer as it stands.
    pub customer: Customer,
    /// The database's clock when it was locked.
    pub now: Timestamp,
}

/// A writer's way to the database. On MySQL it keeps one connection for itself; SQLite has one
/// writing connection, which it shares fairly with everything else that writes.
pub struct Writer {
    store: Store,
    kept: Option<Conn>,
    /// Bytes of statements that are sent together.
    batch_bytes: usize,
}

impl Store {
    /// A way to the database for one writer task.
    pub fn writer(&self) -> Writer {
        Writer { store: self.clone(), kept: None, batch_bytes: BATCH_BYTES }
    }
}

/// What a booking transaction writes, in this order.
#[derive(Debug, Clone, Default)]
pub struct LedgerChanges {
    /// Nonces to insert, which are taken to be new.
    pub nonces: Vec<NonceUse>,
    /// Records to insert, in order.
    pub records: Vec<Record>,
    /// Reversals to insert.
    pub reversals: Vec<Reversal>,
    /// Holds to write: new ones, and what became of known ones.
    pub holds: Vec<Hold>,
    /// Customers to write back that the transaction has locked.
    pub customers: Vec<Customer>,
    /// Usage records to insert, in order.
    pub usage: Vec<UsageRecord>,
    /// Whether the primary is to be told of them: this is an edge.
    pub forward_usage: bool,
    /// Sums over them to add, by day, user, group and model.
    pub usage_days: Vec<UsageDay>,
    /// Sums over them to add, by day.
    pub usage_totals: Vec<UsageTotal>,
    /// Where customers' usage records end, of those that are not among `customers`.
    pub usage_places: Vec<UsagePlace>,
    /// Counters of users to write back.
    pub quota_counters: Vec<QuotaCounter>,
    /// Reservations of users' requests to write: new ones, and what became of known ones.
    pub quota_reservations: Vec<QuotaReservation>,
    /// What of it administrators did.
    pub audit: Vec<AuditEntry>,
}

impl LedgerChanges {
    /// The statements that write them, of which about `batch_bytes` bytes are sent together.
    fn statements(&self, dialect: Dialect, batch_bytes: usize) -> Vec<Sql<'_>> {
        let most = match dialect {
            Dialect::MySql if batch_bytes == BATCH_BYTES => MANY_ROWS,
            // SQLite keeps statements prepared, one for each number of rows.
            Dialect::MySql | Dialect::Sqlite => FEW_ROWS,
        };
        let mut statements = Vec::new();
        statements.extend(self.nonces.chunks(most).map(|rows| replay::insertion(ReplayTable::Nonces, rows)));
        for (rows, form) in pieces(&self.records, dialect, most) {
            statements.push(records::insertion(rows, dialect).sent_as(form));
        }
        statements.extend(self.reversals.chunks(most).map(reversals::insertion));
        statements.extend(self.holds.chunks(most).map(|rows| holds::upsert(rows, dialect)));
        for (rows, form) in pieces(&self.customers, dialect, most) {
            statements.push(customers::upsert(rows, dialect).sent_as(form));
        }
        for (rows, form) in pieces(&self.usage, dialect, most) {
            statements.push(usage::insertion(rows, dialect).sent_as(form));
        }
        if self.forward_usage {
            statements.extend(self.usage.chunks(most).map(usage::unsynced::insertion));
        }
        statements.extend(self.usage_days.chunks(most).map(|rows| usage::add_days(rows, dialect)));
        statements.extend(self.usage_totals.chunks(most).map(|rows| usage::add_totals(rows, dialect)));
        statements.extend(self.usage_places.chunks(most).map(usage::move_places));
        statements.extend(self.quota_counters.chunks(most).map(|rows| quota::upsert_counters(rows, dialect)));
        statements.extend(
            self.quota_reservations.chunks(most).map(|rows| quota::upsert_reservations(rows, dialect)),
        );
        statements.extend(self.audit.chunks(most).map(audit::insertion));
        statements
    }
}

/// Rows in pieces of so many at most: on MySQL in sizes that it keeps prepared, the largest first, and what is left as
/// text.
fn pieces<T>(mut rows: &[T], dialect: Dialect, most: usize) -> Vec<(&[T], Form)> {
    let mut pieces = Vec::new();
    while dialect == Dialect::MySql && rows.len() >= PREPARED_ROWS {
        let (piece, rest) = rows.split_at(prepared_rows(rows.len()).min(most));
        pieces.push((piece, Form::Prepared));
        rows = rest;
    }
    pieces.extend(rows.chunks(most).map(|rows| (rows, Form::Text)));
    pieces
}

/// The largest size that is kept prepared among those of so many rows at most. There are two dozen sizes, and any
/// number of rows is one or two of them and a few rows.
fn prepared_rows(rows: usize) -> usize {
    match rows {
        0..=16 => rows,
        17..=32 => rows / 4 * 4,
        33..=64 => rows / 8 * 8,
        65.. => 64,
    }
}

/// A transaction that has locked customers.
pub struct Begun {
    /// The transaction.
    pub tx: Tx,
    /// Those of the customers that exist.
    pub customers: Vec<LedgerRow>,
    /// What is counted of users.
    pub quotas: QuotaRows,
}

/// Why a transaction was not committed.
#[derive(Debug)]
pub enum NotCommitted {
    /// Nothing was committed.
    Undone(Error),
    /// Whether it was committed is not known.
    Unknown(Error),
}

impl Writer {
    /// The same without quotas.
    pub async fn begin(&mut self, ids: &[CustomerId]) -> Result<(Tx, Vec<LedgerRow>), Error> {
        let Begun { tx, customers, .. } = self.begin_with_quotas(ids, &QuotaQuery::default()).await?;
        Ok((tx, customers))
    }

    /// Starts a transaction by locking those of the customers that exist, in the order of their ids; they come with
    /// the database's clock at that moment, and with what is counted of users. A kept connection that the server closed
    /// meanwhile is replaced.
    pub async fn begin_with_quotas(
        &mut self,
        ids: &[CustomerId],
        quotas: &QuotaQuery,
    ) -> Result<Begun, Error> {
        if let Some(conn) = self.kept.take_if(|conn| conn.is_left()) {
            conn.discard();
        }
        if let Some(conn) = self.kept.take() {
            match self.begin_on(conn, ids, quotas).await {
                Err(error) if error.is_unavailable() => {}
                begun => return begun,
            }
        }
        let mut conn = self.store.writing_for_long().await?;
        self.batch_bytes = match with_timeout(self.store.dialect(), conn.batch_bytes()).await {
            Ok(batch_bytes) => batch_bytes,
            Err(error) => {
                conn.discard();
                return Err(error);
            }
        };
        self.begin_on(conn, ids, quotas).await
    }

    async fn begin_on(
        &mut self,
        conn: Conn,
        ids: &[CustomerId],
        quotas: &QuotaQuery,
    ) -> Result<Begun, Error> {
        let dialect = self.store.dialect();
        let begin = async {
            let mut queries = vec![locking(ids, dialect)];
            queries.extend(quotas.statements(dialect));
            let (error, tx) = match Tx::begin_reading(conn, queries).await {
                Ok((tx, fetched)) => match read_begun(&fetched, quotas) {
                    Ok((customers, quotas)) => return Ok(Begun { tx, customers, quotas }),
                    Err(error) => (error, tx),
                },
                Err(failed) => failed,
            };
            self.abort(tx, &error).await;
            Err(error)
        };
        with_timeout(dialect, begin).await
    }

    /// Writes the changes, announces the balances to other instances and commits; on MySQL all of it at once.
    pub async fn commit(&mut self, tx: Tx, changes: &LedgerChanges) -> Result<(), NotCommitted> {
        let mut statements = changes.statements(tx.dialect(), self.batch_bytes);
        let balances = changes.customers.iter().map(|customer| customer.id.to_string()).collect();
        let event = self.store.uuid();
        match self.store.announcement(event, &Changed { balances, ..Changed::default() }) {
            Ok(announcement) => statements.extend(announcement),
            Err(error) => {
                self.rollback(tx).await;
                return Err(NotCommitted::Undone(error));
            }
        }
        let proof = match (changes.customers.first(), changes.usage.last(), changes.quota_reservations.last())
        {
            (Some(_), ..) => Some(cache_events::existence(event)),
            (None, Some(record), _) => Some(usage::existence(record.id)),
            (None, None, Some(reservation)) => Some(quota::existence(reservation)),
            (None, None, None) => None,
        };
        let Some(ended) =
            within_timeout(tx.dialect(), tx.commit_after(statements, proof, self.batch_bytes)).await
        else {
            let silent = Error::silent(WRITE_TIMEOUT);
            self.store.note_failure(&silent);
            return Err(NotCommitted::Unknown(silent));
        };
        match ended {
            Ok(conn) => {
                self.store.note_write(None);
                self.keep(conn);
                Ok(())
            }
            Err((Stopped { error, unknown }, conn)) => {
                self.store.note_failure(&error);
                self.store.note_write(Some(&error));
                // A connection whose COMMIT failed is not trusted again, unless the server itself
                // said that the transaction lost; nor one whose server cannot serve now.
                match conn {
                    Some(conn) if !unknown && !error.is_unavailable() => self.keep(conn),
                    Some(conn) if conn.dialect() == Dialect::MySql => conn.discard(),
                    _ => {}
                }
                Err(if unknown { NotCommitted::Unknown(error) } else { NotCommitted::Undone(error) })
            }
        }
    }

    /// Undoes everything since [`Writer::begin`] because of an error. The connection to a server that cannot serve now
    /// (read-only, silent, without a quorum) is dropped instead, so that another one is used next.
    pub async fn abort(&mut self, tx: Tx, error: &Error) {
        self.store.note_failure(error);
        self.store.note_write(Some(error));
        match tx.dialect() {
            Dialect::MySql if error.is_unavailable() => drop(tx),
            Dialect::MySql | Dialect::Sqlite => self.rollback(tx).await,
        }
    }

    /// Undoes everything since [`Writer::begin`].
    pub async fn rollback(&mut self, tx: Tx) {
        if let Some(Some(conn)) = within_timeout(tx.dialect(), tx.rollback()).await {
            self.keep(conn);
        }
    }

    /// Runs another query of a booking under the timeout of the booking itself.
    pub async fn with_timeout<T>(&self, query: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        with_timeout(self.store.dialect(), query).await
    }

    fn keep(&mut self, conn: Conn) {
        if conn.dialect() == Dialect::MySql {
            self.kept = Some(conn);
        }
    }

    /// Waits a random moment before the `attempt`th repetition.
    pub async fn back_off(&self, attempt: u32) {
        self.store.back_off(attempt).await;
    }
}

/// Waits as long as the database may be silent, then drops the work, and with it its connection. SQLite is in this
/// process and cannot go away.
async fn within_timeout<T>(dialect: Dialect, work: impl Future<Output = T>) -> Option<T> {
    match dialect {
        Dialect::MySql => tokio::time::timeout(WRITE_TIMEOUT, work).await.ok(),
        Dialect::Sqlite => Some(work.await),
    }
}

async fn with_timeout<T>(dialect: Dialect, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    within_timeout(dialect, work).await.unwrap_or_else(|| Err(Error::silent(WRITE_TIMEOUT)))
}

/// Locks the customers that exist, in the order of their ids, and reads the database's clock.
fn locking(ids: &[CustomerId], dialect: Dialect) -> Sql<'_> {
    let mut sql = select_with::<Customer>(dialect.now(), " WHERE customer_id IN ");
    sql.push_in(ids.iter().map(CustomerId::as_str)).push(" ORDER BY customer_id").push(dialect.for_update());
    sql
}

fn read_begun(fetched: &[Vec<Row>], quotas: &QuotaQuery) -> Result<(Vec<LedgerRow>, QuotaRows), Error> {
    let Some((locked, rest)) = fetched.split_first() else { return Ok(<_>::default()) };
    let customers = locked.iter().map(read_ledger_row).collect::<Result<_, _>>()?;
    Ok((customers, quotas.read(rest)?))
}

fn read_ledger_row(row: &Row) -> Result<LedgerRow, Error> {
    let (customer, now) = FromRow::from_row(row)?;
    Ok(LedgerRow { customer, now })
}

impl Tx {
    /// Writes changes of the ledger.
    pub async fn write(&mut self, changes: &LedgerChanges) -> Result<(), Error> {
        let statements = changes.statements(self.dialect(), BATCH_BYTES);
        self.conn.run_all(statements).await
    }

    /// The records that some of these bookings made before.
    pub async fn find_records<'a>(
        &mut self,
        bookings: impl ExactSizeIterator<Item = (&'a CustomerId, &'a Transno)>,
    ) -> Result<Vec<Record>, Error> {
        let index = self.dialect().by_index("accounting_records_transno");
        let select = select::<Record>(format_args!("{index} WHERE "));
        let named = bookings.map(|(customer, transno)| (customer, transno.as_str()));
        let Some(sql) = super::pairs::with_pairs(select, "customer_id = ? AND transno = ?", named) else {
            return Ok(Vec::new());
        };
        self.conn.rows(sql).await
    }

    /// Records by their ids.
    pub async fn records_by_id(&mut self, ids: &[RecordId]) -> Result<Vec<Record>, Error> {
        let mut sql = select::<Record>(" WHERE id IN ");
        sql.push_in(ids.iter().map(RecordId::as_bytes));
        self.conn.rows(sql).await
    }

    /// Records the nonces; for each, whether it was new.
    pub async fn insert_nonces(&mut self, nonces: &[NonceUse]) -> Result<Vec<bool>, Error> {
        replay::insert(&mut self.conn, replay::ReplayTable::Nonces, nonces).await
    }
}

impl Store {
    /// A customer as it stands, not locked, and the database's clock.
    pub async fn ledger_row(&self, id: &CustomerId) -> Result<Option<LedgerRow>, Error> {
        let sql = select_with::<Customer>(self.dialect().now(), " WHERE customer_id = ?");
        self.fetch_optional(sql.bind(id.as_str())).await?.as_ref().map(read_ledger_row).transpose()
    }

    /// Whose record it is. The index of ids says so; the row itself is not read.
    pub async fn customer_of_record(&self, id: RecordId) -> Result<Option<CustomerId>, Error> {
        self.customer_of("accounting_records", id).await
    }

    /// Whose hold it is.
    pub async fn customer_of_hold(&self, id: RecordId) -> Result<Option<CustomerId>, Error> {
        self.customer_of("holds", id).await
    }

    async fn customer_of(&self, table: &'static str, id: RecordId) -> Result<Option<CustomerId>, Error> {
        let sql = Sql::new(format!("SELECT customer_id FROM {table} WHERE id = ?")).bind(id.as_bytes());
        self.fetch_optional(sql).await?.map(|row| first(table, &row)).transpose()
    }

    /// Which of these customers another transaction keeps locked at this moment.
    pub async fn locked_customers(&self, ids: &[CustomerId]) -> Result<Vec<CustomerId>, Error> {
        let mut tx = Tx::begin(self.writing().await?).await?;
        let mut locked = Vec::new();
        for id in ids {
            let sql = Sql::new(format!(
                "SELECT customer_id FROM customer_balance WHERE customer_id = ?{}",
                tx.dialect().for_update_nowait()
            ));
            match tx.conn.fetch_all(sql.bind(id.as_str())).await {
                Ok(_) => {}
                Err(error) if error.is_locked() => locked.push(id.clone()),
                Err(error) => {
                    tx.rollback().await;
                    return Err(error);
                }
            }
        }
        tx.rollback().await;
        Ok(locked)
    }

    /// Waits until a customer can be locked, no longer than a transaction does.
    pub async fn await_customer(&self, id: &CustomerId) -> Result<(), Error> {
        let mut writer = self.writer();
        let ids = std::slice::from_ref(id);
        let Begun { tx, .. } = writer.begin_on(self.writing().await?, ids, &QuotaQuery::default()).await?;
        writer.rollback(tx).await;
        Ok(())
    }

    /// Tells other instances what a transaction changed, within that transaction, and this one once it is committed. `true`
    /// if a row was written.
    pub async fn announce(&self, tx: &mut Tx, changed: &Changed) -> Result<bool, Error> {
        // The mirror tells this instance of its pages itself, and does not wait for it.
        if changed.mirror.is_none() {
            tx.announced.push(changed.clone());
        }
        let Some(announcement) = self.announcement(self.uuid(), changed)? else { return Ok(false) };
        tx.conn.execute(announcement).await?;
        Ok(true)
    }

    fn announcement(&self, event: Uuid, changed: &Changed) -> Result<Option<Sql<'static>>, Error> {
        if !self.inner.announces || changed.is_empty() {
            return Ok(None);
        }
        cache_events::insertion(event, self.inner.instance, changed, self.dialect()).map(Some)
    }
}

#[cfg(test)]
mod tests;
