//! The end of usage records: the floor, and deletion from the oldest on.

use super::super::audit::Done;
use super::super::columns::{columns, select};
use super::super::error::Error;
use super::super::sql::Sql;
use super::super::{Store, Tx};
use super::{UsageState, read_state};
use crate::model::{Actor, CustomerId, ObjectKind, Owner, Timestamp};

/// Customers of whom records are deleted by one statement.
const CUSTOMERS: usize = 64;

/// Where a usage record stands, and how old it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageAge {
    /// Whose usage.
    pub customer_id: CustomerId,
    /// Its place among the records of the customer.
    pub useq: i64,
    /// When it was stored.
    pub received_at: Timestamp,
    /// When it happened.
    pub event_time: Timestamp,
}

columns!(UsageAge in "usage_logs": customer_id, useq; received_at, event_time);

impl Store {
    /// What is known of usage as a whole; `None` before an instance has served.
    pub async fn stored_usage_state(&self) -> Result<Option<UsageState>, Error> {
        self.fetch_optional(reading_state()).await?.as_ref().map(read_state).transpose()
    }

    /// Raises the floor, which never falls; what is known then. `None` before an instance has served.
    pub async fn raise_usage_floor(&self, to: Timestamp) -> Result<Option<UsageState>, Error> {
        match self.stored_usage_state().await? {
            Some(state) if state.floor < to => {}
            known => return Ok(known),
        }
        self.write("usage.floor", move |tx| {
            Box::pin(async move {
                let sql = Sql::new("UPDATE usage_state SET floor = ? WHERE id = 1 AND floor < ?");
                tx.conn.execute(sql.bind(to).bind(to)).await?;
                tx.usage_state().await
            })
        })
        .await
    }

    /// Records received before a time, the oldest first, after a place in that order. Those of a customer come in the order
    /// of their places.
    pub async fn usage_received_before(
        &self,
        before: Timestamp,
        after: Option<&UsageAge>,
        limit: i64,
    ) -> Result<Vec<UsageAge>, Error> {
        let index = self.dialect().walking("usage_logs_received");
        let mut sql = select::<UsageAge>(format_args!("{index} WHERE received_at < ?")).bind(before);
        if let Some(after) = after {
            let customer = after.customer_id.as_str();
            sql.push(
                " AND received_at >= ? AND (received_at > ? OR customer_id > ? OR (customer_id = ? AND useq > ?))",
            );
            sql.add(after.received_at).add(after.received_at).add(customer).add(customer).add(after.useq);
        }
        sql.push(" ORDER BY received_at, customer_id, useq LIMIT ?").add(limit);
        self.rows(sql).await
    }

    /// Deletes the records of these customers up to these places, but none from the first on that the primary does not have;
    /// how many.
    pub async fn delete_usage_through(&self, places: Vec<(CustomerId, i64)>) -> Result<u64, Error> {
        self.write("usage.purge", move |tx| {
            let places = places.clone();
            Box::pin(async move {
                let mut deleted = 0;
                for places in places.chunks(CUSTOMERS) {
                    let mut sql = Sql::new("DELETE FROM usage_logs WHERE ");
                    for (n, (customer, useq)) in places.iter().enumerate() {
                        sql.push(if n == 0 { "" } else { " OR " }).push(
                            "(customer_id = ? AND useq <= ? AND useq < COALESCE( \
                             (SELECT MIN(u.useq) FROM usage_unsynced u WHERE u.customer_id = ?), ?))",
                        );
                        sql.add(customer.as_str()).add(*useq).add(customer.as_str()).add(i64::MAX);
                    }
                    deleted += tx.conn.execute(sql).await?;
                }
                Ok(deleted)
            })
        })
        .await
    }

    /// Notes in the audit log that so many records before a time were deleted.
    pub async fn note_usage_purge(&self, by: &Actor, before: Timestamp, rows: u64) -> Result<(), Error> {
        let (store, by) = (self.clone(), by.clone());
        self.write("usage.purge", move |tx| {
            let (store, by) = (store.clone(), by.clone());
            Box::pin(async move {
                let now = tx.now().await?;
                let diff = serde_json::json!({
                    "before": {}, "after": { "before": before.to_string(), "rows": rows },
                });
                let (object, owner) = ((ObjectKind::Usage, ""), &Owner::Platform);
                let done = Done { action: "purge", object, owner, diff: diff.to_string() };
                store.audit(tx, &by, now, done).await
            })
        })
        .await
    }
}

impl Tx {
    /// What is known of usage as a whole, as this transaction sees it.
    pub async fn usage_state(&mut self) -> Result<Option<UsageState>, Error> {
        self.conn.fetch_optional(reading_state()).await?.as_ref().map(read_state).transpose()
    }
}

fn reading_state() -> Sql<'static> {
    Sql::new("SELECT floor, time_zone FROM usage_state WHERE id = 1")
}
