//! What `verify` reads: every row in the order of its key, and all that it takes to hold the tables against each
//! other. A row that cannot be read as one is a finding, so that it is told apart from a database that fails.

use super::columns::{FromRow, TableRow as _, columns, select, select_with};
use super::error::Error;
use super::reversals::Reversal;
use super::sql::Sql;
use super::{Store, Tx};
use crate::model::{Customer, CustomerId, Hold, Kind, Money, Record, RecordId, Timestamp};

/// A row as `verify` reads it: what it says, or why it cannot be read.
pub type VerifyRow<T> = Result<T, String>;

/// What other tables must know of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The record.
    pub id: RecordId,
    /// Whose money moved.
    pub customer_id: CustomerId,
    /// What it is.
    pub kind: Kind,
    /// The amount as asked.
    pub amount: Money,
    /// What was added to the balance.
    pub delta: Money,
    /// The record that it takes back.
    pub reverses: Option<RecordId>,
    /// The hold that it settles.
    pub hold_id: Option<RecordId>,
}

columns!(Moved in "accounting_records": id; customer_id, kind, amount, delta, reverses, hold_id);

/// A record whose total is the sum of its tokens: the total is in no hash.
fn with_total((record, total_tokens): (Record, Option<i64>)) -> VerifyRow<Record> {
    if total_tokens == record.total_tokens() {
        return Ok(record);
    }
    let which = format!("{}/{}", record.customer_id, record.seq);
    let what = "total_tokens is not the sum of its tokens";
    Err(Error::inconsistent(Record::TABLE, which, what).to_string())
}

impl Store {
    /// How many records there are.
    pub async fn number_of_records(&self) -> Result<u64, Error> {
        let count = self.fetch_one(Sql::new("SELECT COUNT(*) FROM accounting_records")).await?.int(0)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

impl Tx {
    /// Every customer after `after`, by id.
    pub async fn customers_after(
        &mut self,
        after: &str,
        limit: i64,
    ) -> Result<Vec<VerifyRow<Customer>>, Error> {
        let sql = select::<Customer>(" WHERE customer_id > ? ORDER BY customer_id LIMIT ?");
        self.readable(sql.bind(after).bind(limit)).await
    }

    /// The first customer after `after` that has records or holds.
    pub async fn next_customer_with_rows(&mut self, after: &str) -> Result<Option<String>, Error> {
        let mut first: Option<String> = None;
        for table in ["accounting_records", "holds"] {
            let sql = Sql::new(format!(
                "SELECT customer_id FROM {table} WHERE customer_id > ? ORDER BY customer_id LIMIT 1"
            ));
            if let Some(row) = self.conn.fetch_optional(sql.bind(after)).await? {
                let id = row.text(0)?;
                first = Some(first.map_or_else(|| id.clone(), |first| first.min(id.clone())));
            }
        }
        Ok(first)
    }

    /// A customer's records after `seq`, oldest first.
    pub async fn records_after(
        &mut self,
        customer: &CustomerId,
        seq: i64,
        limit: i64,
    ) -> Result<Vec<VerifyRow<Record>>, Error> {
        let rest = " WHERE customer_id = ? AND seq > ? ORDER BY seq LIMIT ?";
        let sql = select_with::<Record>("total_tokens", rest).bind(customer.as_str()).bind(seq).bind(limit);
        Ok(self.readable(sql).await?.into_iter().map(|row| row.and_then(with_total)).collect())
    }

    /// A customer's holds after a place, in the order of creation and id.
    pub async fn holds_after(
        &mut self,
        customer: &CustomerId,
        after: (Timestamp, RecordId),
        limit: i64,
    ) -> Result<Vec<VerifyRow<Hold>>, Error> {
        let index = self.dialect().walking("holds_customer");
        let mut sql = select::<Hold>(format_args!("{index} WHERE customer_id = ?"));
        sql.add(customer.as_str());
        self.dialect().push_place(&mut sql, ">", (after.0, "id"), after.1.as_bytes());
        sql.push(" ORDER BY created_at, id LIMIT ?").add(limit);
        self.readable(sql).await
    }

    /// A transno of these holds of a customer that one of its records has too.
    pub async fn namesake_of(
        &mut self,
        customer: &CustomerId,
        holds: &[Hold],
    ) -> Result<Option<String>, Error> {
        let index = self.dialect().by_index("accounting_records_transno");
        let mut sql =
            Sql::new(format!("SELECT transno FROM accounting_records{index} WHERE customer_id = ?"));
        sql.add(customer.as_str())
            .push(" AND transno IN ")
            .push_in(holds.iter().map(|hold| hold.transno.as_str()));
        self.conn.fetch_optional(sql).await?.map(|row| row.text(0)).transpose()
    }

    /// Holds by their ids.
    pub async fn holds_named(&mut self, ids: &[RecordId]) -> Result<Vec<VerifyRow<Hold>>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut sql = select::<Hold>(" WHERE id IN ");
        sql.push_in(ids.iter().map(RecordId::as_bytes));
        self.readable(sql).await
    }

    /// The records that settle these holds, which closed when their record was booked: there is an index by that
    /// time, and none by hold.
    pub async fn captures_of(
        &mut self,
        customer: &CustomerId,
        captured: &[&Hold],
    ) -> Result<Vec<VerifyRow<Moved>>, Error> {
        if captured.is_empty() {
            return Ok(Vec::new());
        }
        // Left to themselves, both kinds of database read all records of the customer.
        let index = self.dialect().walking("accounting_records_time");
        let mut sql = select::<Moved>(format_args!("{index} WHERE customer_id = ?")).bind(customer.as_str());
        sql.push(" AND created_at IN ").push_in(captured.iter().map(|hold| hold.updated_at));
        sql.push(" AND hold_id IN ").push_in(captured.iter().map(|hold| hold.id.as_bytes()));
        self.readable(sql).await
    }

    /// Records by their ids.
    pub async fn moved(&mut self, ids: &[RecordId]) -> Result<Vec<VerifyRow<Moved>>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut sql = select::<Moved>(" WHERE id IN ");
        sql.push_in(ids.iter().map(RecordId::as_bytes));
        self.readable(sql).await
    }

    /// What is noted of these originals by these records, a pair each.
    pub async fn reversals_noted(
        &mut self,
        pairs: &[(RecordId, RecordId)],
    ) -> Result<Vec<VerifyRow<Reversal>>, Error> {
        let mut sql = select::<Reversal>(" WHERE ");
        for (i, (original, reversal)) in pairs.iter().enumerate() {
            sql.push(if i == 0 { "" } else { " OR " }).push("(original_id = ? AND reversal_id = ?)");
            sql.add(original.as_bytes()).add(reversal.as_bytes());
        }
        if pairs.is_empty() { Ok(Vec::new()) } else { self.readable(sql).await }
    }

    /// Every reversal noted, after this pair of original and reversal.
    pub async fn reversals_after(
        &mut self,
        (original, reversal): (RecordId, RecordId),
        limit: i64,
    ) -> Result<Vec<VerifyRow<Reversal>>, Error> {
        let sql = select::<Reversal>(
            " WHERE original_id >= ? AND (original_id > ? OR reversal_id > ?) \
             ORDER BY original_id, reversal_id LIMIT ?",
        );
        let sql = sql.bind(original.as_bytes()).bind(original.as_bytes()).bind(reversal.as_bytes());
        self.readable(sql.bind(limit)).await
    }

    pub(super) async fn readable<T: FromRow>(&mut self, sql: Sql<'_>) -> Result<Vec<VerifyRow<T>>, Error> {
        let rows = self.conn.fetch_all(sql).await?;
        Ok(rows.iter().map(|row| T::from_row(row).map_err(|e| e.to_string())).collect())
    }
}

impl Store {
    /// Starts a transaction whose reads all see one state, beside a live server too.
    pub async fn snapshot(&self) -> Result<Tx, Error> {
        Tx::begin_snapshot(self.reader().await?).await
    }

    /// Ends a transaction that only read.
    pub async fn end_snapshot(&self, tx: Tx) {
        tx.rollback().await;
    }
}
