//! Work that one instance does at a time: a row with an owner, an expiry on the database's clock,
//! and a fencing token that rises with every change of hands.

use std::time::Duration;

use super::error::Error;
use super::sql::Sql;
use super::{Store, Tx};
use crate::model::Entity;

/// A lease as taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What is leased.
    pub name: String,
    /// Every write under the lease proves by it that nobody has taken over.
    pub token: i64,
}

/// The lease of an entity's sync lies on its `sync_state` row, so that saving the cursor and proving
/// the lease are one statement; all others lie in `leases`.
fn table_of(name: &str) -> (&'static str, &'static str) {
    if Entity::parse(name).is_some() { ("sync_state", "entity_type") } else { ("leases", "name") }
}

impl Store {
    fn owner(&self) -> String {
        self.inner.instance.hyphenated().to_string()
    }

    /// Takes the lease if it is free, expired or already ours; `None` if another instance holds it.
    pub async fn acquire_lease(&self, name: &str, ttl: Duration) -> Result<Option<Lease>, Error> {
        let (name, owner) = (name.to_owned(), self.owner());
        let ttl = i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX / 4);
        self.write("lease.acquire", move |tx| {
            let (name, owner) = (name.clone(), owner.clone());
            Box::pin(async move {
                let (table, key) = table_of(&name);
                ensure_row(tx, &name).await?;
                let now = tx.dialect().now();
                let sql = Sql::new(format!(
                    "UPDATE {table} SET lease_owner = ?, lease_until = {now} + ?, fencing_token = fencing_token + 1 \
                     WHERE {key} = ? AND (lease_owner IS NULL OR lease_owner = ? OR lease_until < {now})"
                ));
                let sql = sql.bind(owner.as_str()).bind(ttl).bind(name.as_str()).bind(owner.as_str());
                if tx.conn.execute(sql).await? == 0 {
                    return Ok(None);
                }
                let sql = Sql::new(format!("SELECT fencing_token FROM {table} WHERE {key} = ?"));
                let token = tx.conn.fetch_one(sql.bind(name.as_str())).await?.int(0)?;
                Ok(Some(Lease { name, token }))
            })
        })
        .await
    }

    /// Gives the lease back, if it is still ours.
    pub async fn release_lease(&self, lease: Lease) -> Result<(), Error> {
        self.write("lease.release", move |tx| {
            let lease = lease.clone();
            Box::pin(async move {
                let (table, key) = table_of(&lease.name);
                let sql = Sql::new(format!(
                    "UPDATE {table} SET lease_owner = NULL, lease_until = 0 WHERE {key} = ? AND fencing_token = ?"
                ));
                tx.conn.execute(sql.bind(lease.name.as_str()).bind(lease.token)).await.map(drop)
            })
        })
        .await
    }
}

/// Both tables get their rows on first use; an existing row is not touched (and not locked).
async fn ensure_row(tx: &mut Tx, name: &str) -> Result<(), Error> {
    let (table, key) = table_of(name);
    let found = tx.conn.fetch_optional(Sql::new(format!("SELECT 1 FROM {table} WHERE {key} = ?")).bind(name));
    if found.await?.is_some() {
        return Ok(());
    }
    let insert = tx.dialect().insert_ignore();
    let sql = if table == "sync_state" {
        Sql::new(format!(
            "{insert} sync_state (entity_type, entity_id, generation, snapshot, sync_version, sync_status, \
             retry_count, rows_applied, lease_until, fencing_token, updated_at) \
             VALUES (?, '', 1, 1, 0, 'pending', 0, 0, 0, 0, 0)"
        ))
    } else {
        Sql::new(format!("{insert} leases (name, lease_until, fencing_token) VALUES (?, 0, 0)"))
    };
    tx.conn.execute(sql.bind(name)).await.map(drop)
}
