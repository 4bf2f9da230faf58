//! The end of reservations that were closed, and of counters whose windows have ended.

use super::super::Store;
use super::super::columns::first;
use super::super::error::Error;
use super::super::sql::Sql;
use crate::model::{CustomerId, ReservationState, Timestamp};

/// Everything but open.
const CLOSED: [ReservationState; 3] =
    [ReservationState::Settled, ReservationState::Released, ReservationState::Expired];

impl Store {
    /// Deletes up to `slice` reservations of each state that were closed before a time; how many.
    pub async fn purge_reservations(&self, closed_before: Timestamp, slice: i64) -> Result<u64, Error> {
        self.write("quota.purge", move |tx| {
            Box::pin(async move {
                let mut deleted = 0;
                let index = tx.dialect().walking("quota_reservations_closed");
                for state in CLOSED {
                    let sql = Sql::new(format!(
                        "SELECT id FROM quota_reservations{index} WHERE state = ? AND updated_at < ? LIMIT ?"
                    ));
                    let sql = sql.bind(state.as_str()).bind(closed_before).bind(slice);
                    let rows = tx.conn.fetch_all(sql).await?;
                    if rows.is_empty() {
                        continue;
                    }
                    let ids = rows.iter().map(|row| row.bytes(0).map(<[u8]>::to_vec));
                    let ids = ids.collect::<Result<Vec<_>, _>>()?;
                    // A closed one stays closed.
                    let mut sql = Sql::new("DELETE FROM quota_reservations WHERE id IN ");
                    sql.push_in(ids);
                    deleted += tx.conn.execute(sql).await?;
                }
                Ok(deleted)
            })
        })
        .await
    }

    /// Deletes up to `slice` counters whose windows ended before a time; how many. What counts always (kind live) stays: its
    /// window never ends.
    pub async fn purge_counters(&self, ended_before: Timestamp, slice: i64) -> Result<u64, Error> {
        self.write("quota.purge", move |tx| {
            Box::pin(async move {
                let index = tx.dialect().walking("quota_counters_ended");
                let sql = Sql::new(format!(
                    "SELECT customer_id, user_id, kind, window_start FROM quota_counters{index} \
                     WHERE window_end < ? LIMIT ?"
                ));
                let rows = tx.conn.fetch_all(sql.bind(ended_before).bind(slice)).await?;
                let mut deleted = 0;
                for row in &rows {
                    let customer: CustomerId = first("quota_counters", row)?;
                    let sql = Sql::new(
                        "DELETE FROM quota_counters \
                         WHERE customer_id = ? AND user_id = ? AND kind = ? AND window_start = ?",
                    );
                    let sql = sql.bind(customer.to_string()).bind(row.text(1)?).bind(row.text(2)?);
                    deleted += tx.conn.execute(sql.bind(row.int(3)?)).await?;
                }
                Ok(deleted)
            })
        })
        .await
    }
}
