//! Users who sign in here.

use std::sync::Arc;

use super::{ATTEMPTS, listed_owner, owner_of_new};
use crate::domain::page::{ListPage, PageRequest};
use crate::domain::principal::Principal;
use crate::domain::sign_in::Passwords;
use crate::domain::{Error, FieldError, list};
use crate::model::{
    Actor, CustomerId, GroupId, Owner, Reach, Scope, Secret, Timestamp, User, UserId, UserRole, Username,
};
use crate::store::{self, ListedUser, NewUser, NotChanged, Store, UserFilter};

/// A user to be created.
#[derive(Debug, Clone)]
pub struct UserRequest {
    /// Its id; one is made if none is given.
    pub id: Option<UserId>,
    /// Its customer; by default that of who creates it, or the platform.
    pub customer_id: Option<CustomerId>,
    /// What can be changed later.
    pub settings: UserSettings,
    /// Its password; without one it cannot sign in.
    pub password: Option<Secret>,
}

/// What an administrator sets of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSettings {
    /// Its name.
    pub username: Username,
    /// What it may do.
    pub role: UserRole,
    /// Whether it may sign in.
    pub is_active: bool,
    /// Its group.
    pub group_id: Option<GroupId>,
}

/// Which users to list. An absent filter lets everything pass.
#[derive(Debug, Clone, Default)]
pub struct UsersQuery {
    /// Whose.
    pub customer_id: Option<CustomerId>,
    /// By name.
    pub username: Option<Username>,
    /// By role.
    pub role: Option<UserRole>,
    /// Whether they may sign in.
    pub is_active: Option<bool>,
    /// The members of a group.
    pub group_id: Option<GroupId>,
    /// Created at or after.
    pub from: Option<Timestamp>,
    /// Created before.
    pub to: Option<Timestamp>,
    /// Which page.
    pub page: PageRequest,
}

/// Administers users.
#[derive(Clone)]
pub struct Users {
    store: Store,
    passwords: Passwords,
}

impl Users {
    /// The users of this store.
    pub fn new(store: Store, passwords: Passwords) -> Self {
        Self { store, passwords }
    }

    /// A page of users by creation and id.
    pub async fn list(&self, principal: &Principal, query: UsersQuery) -> Result<ListPage<User>, Error> {
        principal.require(Scope::Manage)?;
        let UsersQuery { customer_id, username, role, is_active, group_id, from, to, page } = query;
        let owner = listed_owner(&principal.reach, customer_id.as_ref())?;
        let filter = UserFilter { owner, username, role, is_active, group_id, from, to, few_members: None };
        let page = list::page(&self.store, &filter, &page).await?;
        let rows = page.rows.into_iter().map(|ListedUser(user)| user).collect();
        Ok(ListPage { rows, next_cursor: page.next_cursor, total: page.total })
    }

    /// A user by its id.
    pub async fn get(&self, principal: &Principal, id: &UserId) -> Result<User, Error> {
        principal.require(Scope::Manage)?;
        let user = self.store.user(id).await?.ok_or(Error::NotFound("user"))?;
        reached(&principal.reach, &user)?;
        Ok(user)
    }

    /// A user by its owner and name.
    pub async fn get_by_name(
        &self,
        principal: &Principal,
        owner: &Owner,
        name: &Username,
    ) -> Result<User, Error> {
        principal.require(Scope::Manage)?;
        let user = self.store.user_by_name(owner, name).await?.ok_or(Error::NotFound("user"))?;
        reached(&principal.reach, &user)?;
        Ok(user)
    }

    /// Creates a user. [`Error::Taken`] names the field that another user has already.
    pub async fn create(
        &self,
        principal: &Principal,
        by: &Actor,
        request: UserRequest,
    ) -> Result<User, Error> {
        principal.require(Scope::Manage)?;
        let UserRequest { id, customer_id, settings, password } = request;
        let owner = owner_of_new(&self.store, &principal.reach, customer_id.as_ref()).await?;
        if let Some(group) = &settings.group_id {
            self.check_assignable(&principal.reach, group, &owner).await?;
        }
        let UserSettings { username, role, is_active, mut group_id } = settings;
        // A mirrored user with this id may be a member of a group already, perhaps of one that only the platform may take it
        // out of.
        let present = match &id {
            Some(id) => self.store.membership(&owner, id).await?,
            None => None,
        };
        if present.is_some() && group_id.is_some() && present != group_id {
            return Err(Error::Conflict("the id is in another group; leave group_id out and change it then"));
        }
        group_id = group_id.or(present);
        let password_hash = match password {
            Some(password) => Some(self.hashed(role, password).await?),
            None => None,
        };
        let (of, group_of) = (owner.clone(), group_id.clone());
        let new = NewUser { id: id.clone(), owner, username, role, password_hash, is_active, group_id };
        match self.store.create_user(new, by).await {
            Err(store::Error::Duplicate(_)) => Err(match id {
                Some(id) if self.store.user(&id).await?.is_some() => Error::Taken("id"),
                Some(id) if self.store.membership(&of, &id).await? != group_of => {
                    Error::Conflict("the user is being changed by others; try again")
                }
                _ => Error::Taken("username"),
            }),
            created => Ok(created?),
        }
    }

    /// Changes what an administrator sets of a user. `expected` is the version that the change is based on; without one
    /// `change` is made to the user as it is, and may be called several times.
    pub async fn update<F>(
        &self,
        principal: &Principal,
        by: &Actor,
        id: &UserId,
        expected: Option<i64>,
        change: F,
    ) -> Result<User, Error>
    where
        F: Fn(&mut UserSettings) + Send + Sync + 'static,
    {
        let change = Arc::new(change);
        for _ in 0..ATTEMPTS {
            let user = self.get(principal, id).await?;
            if expected.is_some_and(|expected| expected != user.version) {
                return Err(Error::PreconditionFailed);
            }
            let group_id = settings_after(&user, &*change).group_id;
            if group_id != user.group_id {
                self.check_leavable(&principal.reach, user.group_id.as_ref()).await?;
                if let Some(group) = &group_id {
                    self.check_assignable(&principal.reach, group, &user.owner).await?;
                }
            }
            // The version ties the change to the groups that were checked.
            let (reach, change) = (principal.reach.clone(), change.clone());
            let changed = self.store.change_user(id, Some(user.version), "update", by, move |user| {
                reached(&reach, user)?;
                let UserSettings { username, role, is_active, group_id } = settings_after(user, &*change);
                (user.username, user.role) = (username, role);
                (user.is_active, user.group_id) = (is_active, group_id);
                Ok(())
            });
            match changed.await {
                Err(NotChanged::Stale) if expected.is_none() => {}
                changed => return changed.map_err(refused),
            }
        }
        Err(Error::Conflict("the user is being changed by others; try again"))
    }

    /// Gives a user another password, which ends all its sessions.
    pub async fn set_password(
        &self,
        principal: &Principal,
        by: &Actor,
        id: &UserId,
        password: Secret,
    ) -> Result<User, Error> {
        let user = self.get(principal, id).await?;
        let hash = self.hashed(user.role, password).await?;
        let change = move |user: &mut User| user.password_hash = Some(hash.clone());
        self.change(principal, by, id, "set_password", change).await
    }

    /// Ends all sessions of a user.
    pub async fn revoke(&self, principal: &Principal, by: &Actor, id: &UserId) -> Result<User, Error> {
        self.change(principal, by, id, "revoke", |user| user.security_version += 1).await
    }

    /// Deletes a user with its membership and its sessions. Its usage stays, and so do entries of the audit log. Only the
    /// platform deletes a member of one of its groups.
    pub async fn delete(
        &self,
        principal: &Principal,
        by: &Actor,
        id: &UserId,
        expected: Option<i64>,
    ) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let user = self.get(principal, id).await?;
            if expected.is_some_and(|expected| expected != user.version) {
                return Err(Error::PreconditionFailed);
            }
            // Deleted and created again, a user would have left its group.
            self.check_leavable(&principal.reach, user.group_id.as_ref()).await?;
            // The version ties the deletion to the group that was checked.
            let reach = principal.reach.clone();
            let deleted =
                self.store.delete_user(id, Some(user.version), by, move |user| reached(&reach, user));
            match deleted.await {
                Err(NotChanged::Stale) if expected.is_none() => {}
                deleted => return deleted.map_err(refused),
            }
        }
        Err(Error::Conflict("the user is being changed by others; try again"))
    }

    async fn change(
        &self,
        principal: &Principal,
        by: &Actor,
        id: &UserId,
        action: &'static str,
        change: impl Fn(&mut User) + Send + Sync + 'static,
    ) -> Result<User, Error> {
        principal.require(Scope::Manage)?;
        let reach = principal.reach.clone();
        let changed = self.store.change_user(id, None, action, by, move |user| {
            reached(&reach, user)?;
            change(user);
            Ok(())
        });
        changed.await.map_err(refused)
    }

    /// A password that is good enough for the role, hashed.
    async fn hashed(&self, role: UserRole, password: Secret) -> Result<Secret, Error> {
        Passwords::check(role, &password)?;
        self.passwords.hash(password).await
    }

    /// Whether a user of this owner may be made a member of the group by who reaches this.
    async fn check_assignable(&self, reach: &Reach, group: &GroupId, owner: &Owner) -> Result<(), Error> {
        let group = self.store.group(group).await?.filter(|group| reach.includes_owned_by(&group.owner));
        if group.ok_or(Error::NotFound("group"))?.is_open_to(owner) {
            Ok(())
        } else {
            let error =
                FieldError::new("group_id", "must be a group of the user's customer or of the platform");
            Err(Error::Invalid(vec![error]))
        }
    }

    /// Whether a user may be taken out of its group by who reaches this: out of one of the platform only by the platform.
    pub(super) async fn check_leavable(&self, reach: &Reach, group: Option<&GroupId>) -> Result<(), Error> {
        let Some(group) = group else { return Ok(()) };
        let group = self.store.group(group).await?;
        if group.is_none_or(|group| reach.includes_owned_by(&group.owner)) {
            Ok(())
        } else {
            Err(Error::CustomerForbidden)
        }
    }
}

/// Why a user was not changed. Its name is what another user may have already.
fn refused(refusal: NotChanged<Error>) -> Error {
    Error::not_changed(refusal, "user", "username")
}

fn settings_after(user: &User, change: &impl Fn(&mut UserSettings)) -> UserSettings {
    let User { username, role, is_active, group_id, .. } = user.clone();
    let mut settings = UserSettings { username, role, is_active, group_id };
    change(&mut settings);
    settings
}

/// A user out of reach does not exist.
fn reached(reach: &Reach, user: &User) -> Result<(), Error> {
    if reach.includes_owned_by(&user.owner) { Ok(()) } else { Err(Error::NotFound("user")) }
}
