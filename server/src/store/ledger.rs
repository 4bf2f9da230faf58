//! The statements of one booking transaction, and the connection of a writer. What is decided
//! between them is `domain::booking`'s.

use super::conn::{Conn, Tx};
use super::customers::{self, CUSTOMER_COLUMNS};
use super::dialect::Dialect;
use super::error::Error;
use super::records::{RECORD_COLUMNS, bind_record, read_record};
use super::sql::{Row, Sql};
use super::{NonceUse, Store, cache_events, replay};
use crate::model::{Customer, CustomerId, Record, RecordId, Timestamp, Transno};

/// Rows of one INSERT statement; more are sent in several.
pub(super) const ROWS_PER_STATEMENT: usize = 64;

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
}

impl Store {
    /// A way to the database for one writer task.
    pub fn writer(&self) -> Writer {
        Writer { store: self.clone(), kept: None }
    }
}

impl Writer {
    /// Starts a transaction. A kept connection that the server closed meanwhile is replaced.
    pub async fn begin(&mut self) -> Result<Tx, Error> {
        if let Some(conn) = self.kept.take()
            && let Ok(tx) = Tx::begin(conn).await
        {
            return Ok(tx);
        }
        Tx::begin(self.store.writing().await?).await
    }

    /// Commits. An error leaves open whether it took effect, unless [`Error::is_contended`].
    pub async fn commit(&mut self, tx: Tx) -> Result<(), Error> {
        match tx.commit().await {
            Ok(conn) => {
                self.keep(conn);
                Ok(())
            }
            Err((error, conn)) => {
                // A connection whose COMMIT failed is not trusted again, unless the server itself
                // said that the transaction lost.
                match conn {
                    Some(conn) if error.is_contended() => self.keep(conn),
                    Some(conn) if conn.dialect() == Dialect::MySql => conn.discard(),
                    _ => {}
                }
                Err(error)
            }
        }
    }

    /// Undoes everything since [`Writer::begin`].
    pub async fn rollback(&mut self, tx: Tx) {
        if let Some(conn) = tx.rollback().await {
            self.keep(conn);
        }
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

fn read_ledger_row(row: &Row) -> Result<LedgerRow, Error> {
    Ok(LedgerRow { customer: customers::read_customer(row)?, now: row.time(customers::CUSTOMER_WIDTH)? })
}

impl Tx {
    /// Locks the customers that exist, in the order of their ids, and reads the database's clock.
    pub async fn lock_customers(&mut self, ids: &[CustomerId]) -> Result<Vec<LedgerRow>, Error> {
        let dialect = self.dialect();
        let mut sql = Sql::new(format!(
            "SELECT {CUSTOMER_COLUMNS}, {now} FROM customer_balance WHERE customer_id IN ",
            now = dialect.now()
        ));
        sql.push_in(ids.iter().map(CustomerId::as_str))
            .push(" ORDER BY customer_id")
            .push(dialect.for_update());
        self.conn.fetch_all(sql).await?.iter().map(read_ledger_row).collect()
    }

    /// The records that some of these bookings made before.
    pub async fn find_records<'a>(
        &mut self,
        bookings: impl ExactSizeIterator<Item = (&'a CustomerId, &'a Transno)>,
    ) -> Result<Vec<Record>, Error> {
        let index = self.dialect().by_index("accounting_records_transno");
        let select = Sql::new(format!("SELECT {RECORD_COLUMNS} FROM accounting_records{index} WHERE "));
        let Some(sql) = with_pairs(select, bookings) else { return Ok(Vec::new()) };
        self.conn.fetch_all(sql).await?.iter().map(read_record).collect()
    }

    /// Records by their ids.
    pub async fn records_by_id(&mut self, ids: &[RecordId]) -> Result<Vec<Record>, Error> {
        let mut sql = Sql::new(format!("SELECT {RECORD_COLUMNS} FROM accounting_records WHERE id IN "));
        sql.push_in(ids.iter().map(RecordId::as_bytes));
        self.conn.fetch_all(sql).await?.iter().map(read_record).collect()
    }

    /// Records the nonces; for each, whether it was new.
    pub async fn insert_nonces(&mut self, nonces: &[NonceUse]) -> Result<Vec<bool>, Error> {
        replay::insert(&mut self.conn, replay::ReplayTable::Nonces, nonces).await
    }

    /// Inserts records.
    pub async fn insert_records(&mut self, records: &[Record]) -> Result<(), Error> {
        for chunk in records.chunks(ROWS_PER_STATEMENT) {
            let columns = super::records::RECORD_WIDTH + 1;
            let mut sql =
                Sql::new(format!("INSERT INTO accounting_records ({RECORD_COLUMNS}, total_tokens) VALUES "));
            sql.push_rows(chunk.len(), columns);
            for record in chunk {
                bind_record(&mut sql, record);
                sql.add(record.total_tokens());
            }
            self.conn.execute(sql).await?;
        }
        Ok(())
    }

    /// Writes customers back that this transaction has locked.
    pub async fn update_customers(&mut self, rows: &[Customer]) -> Result<(), Error> {
        for chunk in rows.chunks(ROWS_PER_STATEMENT) {
            let dialect = self.dialect();
            let mut sql = Sql::new(format!("INSERT INTO customer_balance ({CUSTOMER_COLUMNS}) VALUES "));
            sql.push_rows(chunk.len(), customers::CUSTOMER_WIDTH);
            for customer in chunk {
                customers::bind_customer(&mut sql, customer);
            }
            sql.push(&dialect.on_conflict("customer_id"));
            for (i, column) in customers::BOOKED_COLUMNS.iter().enumerate() {
                let comma = if i == 0 { "" } else { ", " };
                sql.push(&format!("{comma}{column} = {}", dialect.incoming(column)));
            }
            self.conn.execute(sql).await?;
        }
        Ok(())
    }
}

/// Appends `(customer_id = ? AND transno = ?) OR ...`, filled up to a power of two so that few different
/// statements have to be prepared; `None` for no pair. Pairs joined by OR, because MariaDB uses no
/// index for a row value in an IN list.
pub(super) fn with_pairs<'a>(
    mut sql: Sql<'a>,
    pairs: impl ExactSizeIterator<Item = (&'a CustomerId, &'a Transno)>,
) -> Option<Sql<'a>> {
    let wanted = pairs.len().next_power_of_two();
    let mut last = None;
    for (count, (customer, transno)) in pairs.enumerate() {
        push_pair(&mut sql, count, customer, transno);
        last = Some((count, customer, transno));
    }
    let (count, customer, transno) = last?;
    for count in count + 1..wanted {
        push_pair(&mut sql, count, customer, transno);
    }
    Some(sql)
}

fn push_pair<'a>(sql: &mut Sql<'a>, count: usize, customer: &'a CustomerId, transno: &'a Transno) {
    sql.push(if count == 0 {
        "(customer_id = ? AND transno = ?)"
    } else {
        " OR (customer_id = ? AND transno = ?)"
    });
    sql.add(customer.as_str()).add(transno.as_str());
}

impl Store {
    /// A customer as it stands, not locked, and the database's clock.
    pub async fn ledger_row(&self, id: &CustomerId) -> Result<Option<LedgerRow>, Error> {
        let now = self.dialect().now();
        let sql =
            Sql::new(format!("SELECT {CUSTOMER_COLUMNS}, {now} FROM customer_balance WHERE customer_id = ?"));
        self.fetch_optional(sql.bind(id.as_str())).await?.as_ref().map(read_ledger_row).transpose()
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
        let mut tx = Tx::begin(self.writing().await?).await?;
        let locked = tx.lock_customers(std::slice::from_ref(id)).await;
        tx.rollback().await;
        locked.map(drop)
    }

    /// Tells other instances what a transaction changed, within that transaction. `true` if a row was
    /// written.
    pub async fn announce(&self, tx: &mut Tx, changed: &cache_events::Changed) -> Result<bool, Error> {
        if !self.inner.announces || changed.is_empty() {
            return Ok(false);
        }
        cache_events::insert(&mut tx.conn, self.uuid(), self.inner.instance, changed).await?;
        Ok(true)
    }
}
