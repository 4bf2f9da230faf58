//! Whose limits count for a user: cached, so that a check asks the database for the counters alone.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::Error;
use crate::domain::caches::{CacheSpec, Caches, Invalidated, Versioned};
use crate::model::{CustomerId, Entity, Group, Owner, UserId};
use crate::store::Store;

/// How long a cached group counts while the database is away; as for keys.
const STALE_LIMIT: Duration = Duration::from_secs(60);
/// What one takes in the cache, in bytes, rounded up.
const WEIGHT: usize = 500;
/// What the platform calls a mirrored user that may not be used.
const DISABLED: &str = "1";

/// What is known of a user as far as quotas go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The group whose limits count: its own, else the default one; `None` is without limits.
    pub group: Option<Group>,
    /// What it is to its customer.
    pub standing: Standing,
}

/// What a user is to its customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It signs in here, or is mirrored.
    Known,
    /// The same, but it is disabled.
    Disabled,
    /// The customer has no such user.
    Unknown,
}

/// The users that quotas are asked for. Clones share the cache.
#[derive(Clone)]
pub struct Subjects {
    store: Store,
    /// By customer and user.
    known: Arc<Versioned<(String, String), Subject>>,
}

impl Subjects {
    /// Makes the cache `quota_subjects`.
    pub fn new(store: Store, caches: &Caches) -> Self {
        let known = caches.make(&CacheSpec {
            name: "quota_subjects",
            share: 1,
            stale_limit: STALE_LIMIT,
            weigh: |_| WEIGHT,
            // A changed group may be anybody's, and so may a default.
            invalidated: |changed| {
                let users = !changed.users.is_empty() || changed.rows_of(Entity::Users).is_some();
                if changed.groups || users { Invalidated::All } else { Invalidated::Nothing }
            },
        });
        Self { store, known }
    }

    /// A user of a customer, local or mirrored.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`] if it is not cached and cannot be read.
    pub async fn of(&self, customer: &CustomerId, user: &UserId) -> Result<Arc<Subject>, Error> {
        let key = (customer.as_str().to_owned(), user.as_str().to_owned());
        let load = || async { Ok(Some((self.load(customer, user).await?, 0))) };
        let entry = self.known.get(&key, load).await?;
        entry.value.ok_or_else(|| Error::Internal("a user was not loaded".to_owned()))
    }

    async fn load(&self, customer: &CustomerId, user: &UserId) -> Result<Subject, Error> {
        let owner = Owner::Customer(customer.clone());
        let group = self.store.effective_group(&owner, user).await?;
        if let Some(local) = self.store.user(user).await?.filter(|local| local.owner == owner) {
            let standing = if local.is_active { Standing::Known } else { Standing::Disabled };
            return Ok(Subject { group, standing });
        }
        let cell = |row: &crate::model::MirrorRow, name| row.text(Entity::Users, name).map(str::to_owned);
        let mirrored = self.store.mirror_row(Entity::Users, user.as_str()).await?;
        let mirrored = mirrored.filter(|row| cell(row, "orgid").as_deref() == Some(customer.as_str()));
        let standing = match mirrored {
            Some(row) if cell(&row, "user_status").as_deref() == Some(DISABLED) => Standing::Disabled,
            Some(_) => Standing::Known,
            None => Standing::Unknown,
        };
        Ok(Subject { group, standing })
    }
}
