//! What other instances must drop from their caches: one row a commit.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Store;
use super::dialect::Dialect;
use super::error::Error;
use super::sql::{Row, Sql};
use crate::model::{CustomerId, Entity, KeyId, Timestamp, UserId};

/// Beyond so many ids of one entity an event names none and means all of them.
const MAX_IDS: usize = 500;

/// Events read by one statement.
const READ_AT_ONCE: usize = 256;

/// What a commit changed, of what is cached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Balances, by customer.
    #[serde(rename = "b", default, skip_serializing_if = "Vec::is_empty")]
    pub balances: Vec<String>,
    /// Keys, by key id.
    #[serde(rename = "k", default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Users who can sign in, by id.
    #[serde(rename = "u", default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Sessions, by family id.
    #[serde(rename = "s", default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<String>,
    /// Groups changed, or who belongs to which.
    #[serde(rename = "g", default, skip_serializing_if = "std::ops::Not::not")]
    pub groups: bool,
    /// Mirrored rows: entity and ids; no ids means all.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<(String, Vec<String>)>,
}

impl Changed {
    /// One balance.
    pub fn balance(id: &CustomerId) -> Self {
        Self { balances: vec![id.to_string()], ..Self::default() }
    }

    /// One key.
    pub fn key(id: &KeyId) -> Self {
        Self { keys: vec![id.to_string()], ..Self::default() }
    }

    /// One user.
    pub fn user(id: &UserId) -> Self {
        Self { users: vec![id.to_string()], ..Self::default() }
    }

    /// Rows of a mirrored entity.
    pub fn mirrored(entity: Entity, ids: Vec<String>) -> Self {
        let ids = if ids.len() > MAX_IDS { Vec::new() } else { ids };
        Self { mirror: Some((entity.as_str().to_owned(), ids)), ..Self::default() }
    }

    /// Every row of a mirrored entity.
    pub fn whole(entity: Entity) -> Self {
        Self { mirror: Some((entity.as_str().to_owned(), Vec::new())), ..Self::default() }
    }

    /// The changed rows of a mirrored entity, if any: their ids, of which none means all.
    pub fn rows_of(&self, entity: Entity) -> Option<&[String]> {
        let (name, ids) = self.mirror.as_ref()?;
        (name == entity.as_str()).then_some(ids.as_slice())
    }

    /// Whether nothing cached changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A commit of another instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheEvent {
    /// Tells it from those seen before.
    pub id: Uuid,
    /// By the database's clock.
    pub created_at: Timestamp,
    /// What it changed.
    pub changed: Changed,
}

pub(super) fn insertion(
    id: Uuid,
    origin: Uuid,
    changed: &Changed,
    dialect: Dialect,
) -> Result<Sql<'static>, Error> {
    let text = serde_json::to_string(changed).map_err(|e| Error::encode(e.into()))?;
    let now = dialect.now();
    let sql = Sql::new(format!(
        "INSERT INTO cache_events (id, origin, keys_changed, created_at) VALUES (?, ?, ?, {now})"
    ));
    Ok(sql.bind(id.as_bytes().to_vec()).bind(origin.as_bytes().to_vec()).bind(text))
}

/// Finds an event: whether the transaction that wrote it was committed.
pub(super) fn existence(id: Uuid) -> Sql<'static> {
    Sql::new("SELECT 1 FROM cache_events WHERE id = ?").bind(id.as_bytes().to_vec())
}

fn read_id(row: &Row) -> Result<Uuid, Error> {
    Uuid::from_slice(row.bytes(0)?).map_err(|e| Error::inconsistent("cache_events", "?", e))
}

impl Store {
    /// Commits of other instances since `since` by the database's clock, without those that are known already. What
    /// a poll sees again it finds in the index alone.
    pub async fn cache_events(
        &self,
        since: Timestamp,
        known: impl Fn(&Uuid) -> bool,
    ) -> Result<Vec<CacheEvent>, Error> {
        let sql = Sql::new("SELECT id FROM cache_events WHERE created_at >= ? AND origin <> ?");
        let rows = self.fetch_all(sql.bind(since).bind(self.inner.instance.as_bytes())).await?;
        let ids = rows.iter().map(read_id).collect::<Result<Vec<_>, _>>()?;
        let unknown: Vec<_> = ids.iter().filter(|id| !known(id)).collect();
        let mut events = Vec::with_capacity(unknown.len());
        for ids in unknown.chunks(READ_AT_ONCE) {
            let mut sql = Sql::new("SELECT id, keys_changed, created_at FROM cache_events WHERE id IN ");
            sql.push_in(ids.iter().map(|id| &id.as_bytes()[..]));
            for row in self.fetch_all(sql).await? {
                let id = read_id(&row)?;
                let changed = serde_json::from_str(row.str(1)?)
                    .map_err(|e| Error::inconsistent("cache_events", id, e))?;
                events.push(CacheEvent { id, created_at: row.time(2)?, changed });
            }
        }
        Ok(events)
    }

    /// The database's clock.
    pub async fn now(&self) -> Result<Timestamp, Error> {
        self.fetch_one(Sql::new(format!("SELECT {}", self.dialect().now()))).await?.time(0)
    }

    /// Forgets up to `slice` commits older than `before`; how many.
    pub async fn purge_cache_events(&self, before: Timestamp, slice: i64) -> Result<u64, Error> {
        self.write("cache_events.purge", move |tx| {
            Box::pin(async move {
                let sql = Sql::new("SELECT id FROM cache_events WHERE created_at < ? LIMIT ?");
                let rows = tx.conn.fetch_all(sql.bind(before).bind(slice)).await?;
                if rows.is_empty() {
                    return Ok(0);
                }
                let ids =
                    rows.iter().map(|r| r.bytes(0).map(<[u8]>::to_vec)).collect::<Result<Vec<_>, _>>()?;
                let mut sql = Sql::new("DELETE FROM cache_events WHERE id IN ");
                sql.push_in(ids);
                tx.conn.execute(sql).await
            })
        })
        .await
    }
}
