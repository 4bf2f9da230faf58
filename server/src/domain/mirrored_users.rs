//! Mirrored users, read one by one at high rate.

use std::sync::Arc;

use super::Error;
use super::caches::{CacheSpec, Caches, Invalidated, STALE_LIMIT, Versioned};
use crate::model::{Entity, MirrorRow, Reach, TextId};
use crate::store::Store;

/// Mirrored users by id, cached.
pub struct MirroredUsers {
    store: Store,
    cache: Arc<Versioned<String, MirrorRow>>,
}

impl MirroredUsers {
    /// Makes the cache `users`.
    pub fn new(store: Store, caches: &Caches) -> Self {
        let cache = caches.make(&CacheSpec {
            name: "users",
            share: 3,
            stale_limit: STALE_LIMIT,
            weigh: MirrorRow::size,
            invalidated: |changed| match changed.rows_of(Entity::Users) {
                None => Invalidated::Nothing,
                Some([]) => Invalidated::All,
                Some(ids) => Invalidated::Keys(ids.to_vec()),
            },
        });
        Self { store, cache }
    }

    /// One user.
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a user, and for one out of reach.
    pub async fn get(&self, reach: &Reach, id: &str) -> Result<Arc<MirrorRow>, Error> {
        // A malformed id names nobody, and a database may compare it loosely.
        if TextId::parse(id).is_err() {
            return Err(Error::NotFound("user"));
        }
        let load = || async {
            let row = self.store.mirror_row(Entity::Users, id).await?;
            Ok(row.map(|row| (row.version, row)).map(|(version, row)| (row, version)))
        };
        let user = self.cache.get(&id.to_owned(), load).await?.value;
        user.filter(|row| reach.includes_owner(row.text(Entity::Users, "orgid")))
            .ok_or(Error::NotFound("user"))
    }
}
