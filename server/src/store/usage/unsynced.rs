//! Usage records of an edge that the primary does not have yet.

use super::super::Store;
use super::super::columns::select;
use super::super::error::Error;
use super::super::sql::Sql;
use crate::model::{RecordId, UsageRecord};

/// Records that one statement reads or marks.
const SLICE: usize = 500;

/// Notes that the primary does not have these records yet.
pub fn insertion(rows: &[UsageRecord]) -> Sql<'_> {
    let mut sql = Sql::new("INSERT INTO usage_unsynced (customer_id, useq, id, received_at) VALUES ");
    for (n, record) in rows.iter().enumerate() {
        sql.push(if n == 0 { "(?, ?, ?, ?)" } else { ", (?, ?, ?, ?)" });
        sql.add(record.customer_id.as_str())
            .add(record.useq)
            .add(record.id.as_bytes())
            .add(record.received_at);
    }
    sql
}

impl Store {
    /// Usage records that the primary does not have yet, the oldest first.
    pub async fn unsynced_usage(&self, limit: u16) -> Result<Vec<UsageRecord>, Error> {
        let index = self.dialect().walking("usage_unsynced_received");
        let sql = Sql::new(format!(
            "SELECT id FROM usage_unsynced{index} ORDER BY received_at, customer_id, useq LIMIT ?"
        ));
        let rows = self.fetch_all(sql.bind(i64::from(limit))).await?;
        let ids = rows.iter().map(|row| row.bytes(0).map(<[u8]>::to_vec)).collect::<Result<Vec<_>, _>>()?;
        let mut records: Vec<UsageRecord> = Vec::with_capacity(ids.len());
        for ids in ids.chunks(SLICE) {
            let mut sql = select::<UsageRecord>(" WHERE id IN ");
            sql.push_in(ids.iter().map(Vec::as_slice));
            records.extend(self.rows::<UsageRecord>(sql).await?);
        }
        records.sort_by(|a, b| {
            (a.received_at, &a.customer_id, a.useq).cmp(&(b.received_at, &b.customer_id, b.useq))
        });
        Ok(records)
    }

    /// Notes that the primary has these records; how many of them it was not known to have. Unknown ones change nothing.
    pub async fn mark_usage_synced(&self, ids: &[RecordId]) -> Result<u64, Error> {
        let mut marked = 0;
        for ids in ids.chunks(SLICE) {
            let ids = ids.to_vec();
            marked += self
                .write("usage.synced", move |tx| {
                    let ids = ids.clone();
                    Box::pin(async move {
                        let mut sql = Sql::new("DELETE FROM usage_unsynced WHERE id IN ");
                        sql.push_in(ids.iter().map(RecordId::as_bytes));
                        tx.conn.execute(sql).await
                    })
                })
                .await?;
        }
        Ok(marked)
    }
}
