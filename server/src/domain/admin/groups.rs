//! Groups of users.

use super::{listed_owner, owner_of_new};
use crate::domain::page::{ListPage, PageRequest};
use crate::domain::principal::Principal;
use crate::domain::{Error, list};
use crate::model::{
    Actor, CustomerId, Group, GroupId, GroupLimits, GroupName, OnStoreFailure, Owner, Reach, Scope,
    Timestamp, ZoneName,
};
use crate::store::{self, GroupFilter, NewGroup, NotChanged, Store};

/// A group to be created.
#[derive(Debug, Clone)]
pub struct GroupRequest {
    /// Its id; one is made if none is given.
    pub id: Option<GroupId>,
    /// Its customer; by default that of who creates it, or the platform.
    pub customer_id: Option<CustomerId>,
    /// What can be changed later.
    pub settings: GroupSettings,
}

/// What an administrator sets of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSettings {
    /// Its name.
    pub name: GroupName,
    /// The limits of each member.
    pub limits: GroupLimits,
    /// Tokens reserved for a request that does not say how many it may use.
    pub default_reservation: Option<i64>,
    /// Where its days and months begin.
    pub time_zone: Option<ZoneName>,
    /// What is decided while the database cannot be asked.
    pub on_store_failure: OnStoreFailure,
    /// Whether it counts for users of its owner who have no group.
    pub is_default: bool,
}

impl GroupSettings {
    /// A group without limits.
    pub fn named(name: GroupName) -> Self {
        Self {
            name,
            limits: GroupLimits::default(),
            default_reservation: None,
            time_zone: None,
            on_store_failure: OnStoreFailure::Deny,
            is_default: false,
        }
    }
}

/// Which groups to list. An absent filter lets everything pass.
#[derive(Debug, Clone, Default)]
pub struct GroupsQuery {
    /// Whose.
    pub customer_id: Option<CustomerId>,
    /// By name.
    pub name: Option<String>,
    /// Created at or after.
    pub from: Option<Timestamp>,
    /// Created before.
    pub to: Option<Timestamp>,
    /// Which page.
    pub page: PageRequest,
}

/// Administers groups.
#[derive(Debug, Clone)]
pub struct Groups {
    store: Store,
}

impl Groups {
    /// The groups of this store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// A page of groups by creation and id.
    pub async fn list(&self, principal: &Principal, query: GroupsQuery) -> Result<ListPage<Group>, Error> {
        principal.require(Scope::Manage)?;
        let GroupsQuery { customer_id, name, from, to, page } = query;
        let owner = listed_owner(&principal.reach, customer_id.as_ref())?;
        list::page(&self.store, &GroupFilter { owner, name, from, to }, &page).await
    }

    /// A group by its id.
    pub async fn get(&self, principal: &Principal, id: &GroupId) -> Result<Group, Error> {
        principal.require(Scope::Manage)?;
        let group = self.store.group(id).await?.ok_or(Error::NotFound("group"))?;
        reached(&principal.reach, &group)?;
        Ok(group)
    }

    /// A group by its owner and name.
    pub async fn get_by_name(
        &self,
        principal: &Principal,
        owner: &Owner,
        name: &GroupName,
    ) -> Result<Group, Error> {
        principal.require(Scope::Manage)?;
        let group = self.store.group_by_name(owner, name).await?.ok_or(Error::NotFound("group"))?;
        reached(&principal.reach, &group)?;
        Ok(group)
    }

    /// Creates a group. [`Error::Taken`] names the field that another group has already.
    pub async fn create(
        &self,
        principal: &Principal,
        by: &Actor,
        request: GroupRequest,
    ) -> Result<Group, Error> {
        principal.require(Scope::Manage)?;
        let GroupRequest { id, customer_id, settings } = request;
        let owner = owner_of_new(&self.store, &principal.reach, customer_id.as_ref()).await?;
        let GroupSettings { name, limits, default_reservation, time_zone, on_store_failure, is_default } =
            settings;
        let (named, of) = (name.clone(), owner.clone());
        let new = NewGroup {
            id: id.clone(),
            owner,
            name,
            limits,
            default_reservation,
            time_zone,
            on_store_failure,
            is_default,
        };
        match self.store.create_group(new, by).await {
            Err(store::Error::Duplicate(_)) => Err(match id {
                Some(id) if self.store.group(&id).await?.is_some() => Error::Taken("id"),
                _ => self.taken(&of, &named, None).await?,
            }),
            created => Ok(created?),
        }
    }

    /// Changes what an administrator sets of a group. `expected` is the version that the change is based on; without one
    /// `change` is made to the group as it is, and may be called several times.
    pub async fn update<F>(
        &self,
        principal: &Principal,
        by: &Actor,
        id: &GroupId,
        expected: Option<i64>,
        change: F,
    ) -> Result<Group, Error>
    where
        F: Fn(&mut GroupSettings) + Clone + Send + Sync + 'static,
    {
        let before = self.get(principal, id).await?;
        let (reach, applied) = (principal.reach.clone(), change.clone());
        let changed = self.store.change_group(id, expected, by, move |group| {
            reached(&reach, group)?;
            let settings = settings_after(group, &applied);
            group.set_default(settings.is_default);
            (group.name, group.limits) = (settings.name, settings.limits);
            (group.default_reservation, group.time_zone) = (settings.default_reservation, settings.time_zone);
            group.on_store_failure = settings.on_store_failure;
            Ok(())
        });
        match changed.await {
            Err(NotChanged::Store(store::Error::Duplicate(_))) => {
                Err(self.taken(&before.owner, &settings_after(&before, &change).name, Some(id)).await?)
            }
            changed => changed.map_err(refused),
        }
    }

    /// Deletes a group. One that has members is refused, unless `force` frees them.
    pub async fn delete(
        &self,
        principal: &Principal,
        by: &Actor,
        id: &GroupId,
        expected: Option<i64>,
        force: bool,
    ) -> Result<(), Error> {
        principal.require(Scope::Manage)?;
        let reach = principal.reach.clone();
        let deleted = self.store.delete_group(id, expected, by, move |group, members| {
            reached(&reach, group)?;
            if members > 0 && !force {
                return Err(Error::Conflict("the group has members; force=true takes them out of it"));
            }
            Ok(())
        });
        deleted.await.map_err(refused)
    }

    /// What of a group is taken already: its name by another one than `but`, or else being the default.
    async fn taken(&self, owner: &Owner, name: &GroupName, but: Option<&GroupId>) -> Result<Error, Error> {
        let other = self.store.group_by_name(owner, name).await?.filter(|group| Some(&group.id) != but);
        Ok(Error::Taken(if other.is_some() { "name" } else { "is_default" }))
    }
}

/// Why a group was not changed.
fn refused(refusal: NotChanged<Error>) -> Error {
    Error::not_changed(refusal, "group", "name")
}

fn settings_after(group: &Group, change: &impl Fn(&mut GroupSettings)) -> GroupSettings {
    let is_default = group.is_default();
    let Group { name, limits, default_reservation, time_zone, on_store_failure, .. } = group.clone();
    let mut settings =
        GroupSettings { name, limits, default_reservation, time_zone, on_store_failure, is_default };
    change(&mut settings);
    settings
}

/// A group out of reach does not exist.
fn reached(reach: &Reach, group: &Group) -> Result<(), Error> {
    if reach.includes_owned_by(&group.owner) { Ok(()) } else { Err(Error::NotFound("group")) }
}
