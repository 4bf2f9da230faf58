//! How much of a record was reversed: an index over the ledger's reversal records, kept in the same
//! transaction.

use super::columns::{columns, insert, select};
use super::error::Error;
use super::sql::Sql;
use super::{Store, Tx};
use crate::model::{Money, RecordId};

/// One reversal: which record takes back how much of which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reversal {
    /// The record that is reversed.
    pub original: RecordId,
    /// The record that does it.
    pub reversal: RecordId,
    /// How much, positive.
    pub amount: Money,
}

columns!(Reversal in "record_reversals": original = "original_id", reversal = "reversal_id"; amount);

pub(super) fn of(ids: &[RecordId]) -> Sql<'_> {
    let mut sql = select::<Reversal>(" WHERE original_id IN ");
    sql.push_in(ids.iter().map(RecordId::as_bytes));
    sql
}

impl Store {
    /// The reversals of these records.
    pub async fn reversals(&self, ids: &[RecordId]) -> Result<Vec<Reversal>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.rows(of(ids)).await
    }
}

impl Tx {
    /// The reversals of these records, within the transaction.
    pub async fn reversals(&mut self, ids: &[RecordId]) -> Result<Vec<Reversal>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.conn.rows(of(ids)).await
    }
}

/// Inserts reversals.
pub(super) fn insertion(rows: &[Reversal]) -> Sql<'_> {
    insert("INSERT INTO", rows)
}
