//! Members of groups: users who sign in here, and mirrored ones.

use super::ATTEMPTS;
use super::groups::Groups;
use super::users::Users;
use crate::domain::Error;
use crate::domain::principal::Principal;
use crate::model::{Actor, CustomerId, Entity, Group, GroupId, Owner, Scope, UserId};
use crate::store::{NotChanged, Store};

/// Administers who belongs to which group.
#[derive(Clone)]
pub struct Members {
    store: Store,
    users: Users,
    groups: Groups,
}

/// Who is to be a member, or none any more.
enum Candidate {
    /// A user who signs in here.
    Local,
    /// A mirrored user of this customer.
    Mirrored(CustomerId),
}

impl Members {
    /// The members of groups of this store.
    pub fn new(store: Store, users: Users) -> Self {
        Self { users, groups: Groups::new(store.clone()), store }
    }

    /// Makes a user a member of this group, and of no other.
    pub async fn add(
        &self,
        principal: &Principal,
        by: &Actor,
        group: &GroupId,
        user: &UserId,
    ) -> Result<(), Error> {
        let group = self.groups.get(principal, group).await?;
        match self.candidate(principal, &group, user).await? {
            Candidate::Local => {
                let change = self.users.update(principal, by, user, None, move |settings| {
                    settings.group_id = Some(group.id.clone());
                });
                change.await.map(drop)
            }
            Candidate::Mirrored(customer) => {
                self.set_mirrored(principal, by, &customer, user, |_| Ok(Some(group.id.clone()))).await
            }
        }
    }

    /// Takes a user out of this group.
    pub async fn remove(
        &self,
        principal: &Principal,
        by: &Actor,
        group: &GroupId,
        user: &UserId,
    ) -> Result<(), Error> {
        principal.require(Scope::Manage)?;
        let reach = &principal.reach;
        let visible = |group: &Group| group.owner == Owner::Platform || reach.includes_owned_by(&group.owner);
        let group = self.store.group(group).await?.filter(visible).ok_or(Error::NotFound("group"))?;
        let not_a_member = || Error::NotFound("member");
        let candidate = match self.candidate(principal, &group, user).await {
            // A mirrored user may be gone, or another customer's now.
            Err(Error::NotFound(_)) => {
                let owners = self.store.owners_of_member(&group.id, user).await?;
                let owner = owners.into_iter().find(|owner| reach.includes_owned_by(owner));
                match owner {
                    Some(Owner::Customer(customer)) => Candidate::Mirrored(customer),
                    Some(Owner::Platform) | None => return Err(not_a_member()),
                }
            }
            candidate => candidate?,
        };
        match candidate {
            Candidate::Local => {
                let member = self.users.get(principal, user).await?;
                if member.group_id.as_ref() != Some(&group.id) {
                    return Err(not_a_member());
                }
                let change = self.users.update(principal, by, user, None, move |settings| {
                    settings.group_id.take_if(|id| *id == group.id);
                });
                change.await.map(drop)
            }
            Candidate::Mirrored(customer) => {
                let leave = |seen: Option<&GroupId>| {
                    if seen == Some(&group.id) { Ok(None) } else { Err(not_a_member()) }
                };
                self.set_mirrored(principal, by, &customer, user, leave).await
            }
        }
    }

    /// Who a user id stands for, of those within reach who can be members of the group.
    async fn candidate(&self, principal: &Principal, group: &Group, id: &UserId) -> Result<Candidate, Error> {
        let fits = |owner: &Owner| principal.reach.includes_owned_by(owner) && group.is_open_to(owner);
        if self.store.user(id).await?.is_some_and(|user| fits(&user.owner)) {
            return Ok(Candidate::Local);
        }
        let mirrored = self.store.mirror_row(Entity::Users, id.as_str()).await?;
        let customer = mirrored.and_then(|row| CustomerId::parse(row.text(Entity::Users, "orgid")?).ok());
        let fitting = customer.filter(|customer| fits(&Owner::Customer(customer.clone())));
        fitting.map(Candidate::Mirrored).ok_or(Error::NotFound("user"))
    }

    /// Gives a mirrored user the group that `choose` finds, given the present one.
    async fn set_mirrored(
        &self,
        principal: &Principal,
        by: &Actor,
        customer: &CustomerId,
        user: &UserId,
        choose: impl Fn(Option<&GroupId>) -> Result<Option<GroupId>, Error>,
    ) -> Result<(), Error> {
        let owner = Owner::Customer(customer.clone());
        for _ in 0..ATTEMPTS {
            let seen = self.store.membership(&owner, user).await?;
            let group = choose(seen.as_ref())?;
            if seen != group {
                self.users.check_leavable(&principal.reach, seen.as_ref()).await?;
            }
            match self.store.set_mirrored_group(customer, user, seen, group, by).await {
                Ok(()) => return Ok(()),
                Err(NotChanged::Stale | NotChanged::NotFound) => {}
                Err(NotChanged::Store(error)) => return Err(error.into()),
                Err(NotChanged::Refused(never)) => match never {},
            }
        }
        Err(Error::Conflict("the member is being changed by others; try again"))
    }
}
