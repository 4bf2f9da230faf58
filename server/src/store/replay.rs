//! What may be used once: nonces of signed writes, ids of events.

use sha2::{Digest as _, Sha256};

use super::Store;
use super::conn::Conn;
use super::error::Error;
use super::sql::Sql;
use crate::model::Timestamp;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayTable {
    /// Nonces of signed writes.
    Nonces,
    /// Ids of events.
    WebhookIds,
}

impl ReplayTable {
    const fn table(self) -> &'static str {
        match self {
            Self::Nonces => "nonces",
            Self::WebhookIds => "webhook_ids",
        }
    }

    const fn column(self) -> &'static str {
        match self {
            Self::Nonces => "nonce_hash",
            Self::WebhookIds => "id_hash",
        }
    }
}

/// One use of a value that may be used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NonceUse {
    /// The first 16 bytes of a hash over the key's id and the value.
    pub hash: [u8; 16],
    /// Until when a second use must be refused.
    pub expires_at: Timestamp,
}

impl NonceUse {
    /// The use of `value` under `scope` (a key id, or the name of the events' source).
    pub fn new(scope: &str, value: &str, expires_at: Timestamp) -> Self {
        let mut hash = [0; 16];
        let digest = Sha256::new().chain_update(scope).chain_update([0u8]).chain_update(value).finalize();
        hash.copy_from_slice(&digest[..16]);
        Self { hash, expires_at }
    }
}

/// Inserts uses; for each, whether it was new. The usual case, all of them new, is one statement. Never fails with a
/// duplicate: if others keep inserting the same ones, that is contention.
pub(super) async fn insert(
    conn: &mut Conn,
    table: ReplayTable,
    uses: &[NonceUse],
) -> Result<Vec<bool>, Error> {
    if uses.is_empty() {
        return Ok(Vec::new());
    }
    let mut fresh = vec![true; uses.len()];
    for i in 1..uses.len() {
        fresh[i] = uses[..i].iter().all(|earlier| earlier.hash != uses[i].hash);
    }
    let (name, column) = (table.table(), table.column());
    let mut attempt = 0;
    loop {
        let new = || uses.iter().zip(&fresh).filter(|(_, fresh)| **fresh).map(|(entry, _)| entry);
        if new().next().is_none() {
            return Ok(fresh);
        }
        match conn.execute(insertion(table, new())).await {
            // Others may commit more of these between our SELECT and our INSERT.
            Err(Error::Duplicate(_)) if attempt < uses.len() => attempt += 1,
            Err(Error::Duplicate(error)) => return Err(Error::Contended(error)),
            result => return result.map(|_| fresh),
        }
        let mut sql = Sql::new(format!("SELECT {column} FROM {name} WHERE {column} IN "));
        sql.push_in(uses.iter().map(|u| &u.hash));
        let rows = conn.fetch_all(sql).await?;
        let known = rows.iter().map(|row| row.bytes(0)).collect::<Result<Vec<_>, _>>()?;
        for (fresh, entry) in fresh.iter_mut().zip(uses) {
            *fresh = *fresh && !known.contains(&entry.hash.as_slice());
        }
    }
}

/// Inserts uses, all of which must be new.
pub(super) fn insertion<'a>(table: ReplayTable, uses: impl IntoIterator<Item = &'a NonceUse>) -> Sql<'a> {
    let mut sql = Sql::new(format!("INSERT INTO {} ({}, expires_at) VALUES ", table.table(), table.column()));
    let mut count = 0;
    for entry in uses {
        sql.add(&entry.hash).add(entry.expires_at);
        count += 1;
    }
    sql.push_rows(count, 2);
    sql
}

impl Store {
    /// Records one use on its own; whether it was the first.
    pub async fn first_use(&self, table: ReplayTable, entry: NonceUse) -> Result<bool, Error> {
        self.write("replay.first_use", move |tx| {
            Box::pin(async move { Ok(insert(&mut tx.conn, table, &[entry]).await?.first() == Some(&true)) })
        })
        .await
    }

    /// Forgets up to `slice` uses that have expired; how many.
    pub async fn purge_uses(&self, table: ReplayTable, slice: i64) -> Result<u64, Error> {
        self.write("replay.purge", move |tx| {
            Box::pin(async move {
                let now = tx.now().await?;
                let (name, column) = (table.table(), table.column());
                let sql = Sql::new(format!("SELECT {column} FROM {name} WHERE expires_at < ? LIMIT ?"));
                let rows = tx.conn.fetch_all(sql.bind(now).bind(slice)).await?;
                if rows.is_empty() {
                    return Ok(0);
                }
                let keys =
                    rows.iter().map(|r| r.bytes(0).map(<[u8]>::to_vec)).collect::<Result<Vec<_>, _>>()?;
                let mut sql = Sql::new(format!("DELETE FROM {name} WHERE {column} IN "));
                sql.push_in(keys);
                tx.conn.execute(sql).await
            })
        })
        .await
    }
}
