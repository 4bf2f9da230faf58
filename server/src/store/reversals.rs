//! How much of a record was taken back: an index over the ledger's reversal records, kept in the same
//! transaction.

use super::error::Error;
use super::sql::{Row, Sql};
use super::{Store, Tx};
use crate::model::{Money, RecordId};

/// One reversal: which record takes back how much of which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reversal {
    /// The record that is taken back.
    pub original: RecordId,
    /// The record that does it.
    pub reversal: RecordId,
    /// How much, positive.
    pub amount: Money,
}

const SELECT: &str = "SELECT original_id, reversal_id, amount FROM record_reversals WHERE original_id IN ";

pub(super) fn read(row: &Row) -> Result<Reversal, Error> {
    let id = |i: usize| -> Result<RecordId, Error> {
        let id = uuid::Uuid::from_slice(row.bytes(i)?);
        id.map(RecordId).map_err(|e| Error::inconsistent("record_reversals", "?", e))
    };
    let original = id(0)?;
    let amount = Money::from_nanos(row.int(2)?)
        .ok_or_else(|| Error::inconsistent("record_reversals", original, "amount out of range"))?;
    Ok(Reversal { original, reversal: id(1)?, amount })
}

pub(super) fn of(ids: &[RecordId]) -> Sql<'_> {
    let mut sql = Sql::new(SELECT);
    sql.push_in(ids.iter().map(RecordId::as_bytes));
    sql
}

impl Store {
    /// The reversals of these records.
    pub async fn reversals(&self, ids: &[RecordId]) -> Result<Vec<Reversal>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.fetch_all(of(ids)).await?.iter().map(read).collect()
    }
}

impl Tx {
    /// The reversals of these records, within the transaction.
    pub async fn reversals(&mut self, ids: &[RecordId]) -> Result<Vec<Reversal>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.conn.fetch_all(of(ids)).await?.iter().map(read).collect()
    }
}

/// Writes new reversals down.
pub(super) fn insertion(rows: &[Reversal]) -> Sql<'_> {
    let mut sql = Sql::new("INSERT INTO record_reversals (original_id, reversal_id, amount) VALUES ");
    sql.push_rows(rows.len(), 3);
    for row in rows {
        sql.add(row.original.as_bytes()).add(row.reversal.as_bytes()).add(row.amount);
    }
    sql
}
