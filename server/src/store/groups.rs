//! Groups of users, and their limits.

use std::borrow::Cow;
use std::sync::Arc;

use super::administer::{Administered, NotChanged, lock};
use super::audit::Done;
use super::cache_events::Changed;
use super::columns::{Column as _, columns, select};
use super::error::Error;
use super::list::{Conditions, Filter};
use super::sql::{Arg, Sql};
use super::{Store, Tx};
use crate::model::{
    Actor, AuditFields, Group, GroupId, GroupLimits, GroupName, Member, ObjectKind, OnStoreFailure, Owner,
    Timestamp, ZoneName, audit_diff,
};

columns!(Group in "user_groups":
    id; owner = "customer_id", name,
    limits: GroupLimits {
        daily_tokens, monthly_tokens, requests_per_minute, max_tokens_per_request, concurrent_requests
    },
    default_reservation, time_zone, on_store_failure, default_of, version, created_at, updated_at,
);

/// Users touched by one statement, and ids that a cache event names.
const SLICE: usize = 500;

/// A group to be created.
#[derive(Debug, Clone)]
pub struct NewGroup {
    /// Its id; one is made if none is given.
    pub id: Option<GroupId>,
    /// Whose it is.
    pub owner: Owner,
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

impl Administered for Group {
    const KIND: ObjectKind = ObjectKind::Group;
    const KEY: &'static str = "id";
    const CHANGED: &'static [&'static str] = &[
        "name",
        "daily_tokens",
        "monthly_tokens",
        "requests_per_minute",
        "max_tokens_per_request",
        "concurrent_requests",
        "default_reservation",
        "time_zone",
        "on_store_failure",
        "default_of",
        "version",
        "updated_at",
    ];

    fn key(&self) -> &str {
        self.id.as_str()
    }

    fn owner(&self) -> Owner {
        self.owner.clone()
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn stamp(&mut self, now: Timestamp) {
        self.version += 1;
        self.updated_at = now;
    }

    fn fields(&self) -> AuditFields {
        let limits = &self.limits;
        AuditFields::from_iter([
            ("customer_id".to_owned(), serde_json::json!(self.owner)),
            ("name".to_owned(), serde_json::json!(self.name)),
            ("daily_tokens".to_owned(), limits.daily_tokens.into()),
            ("monthly_tokens".to_owned(), limits.monthly_tokens.into()),
            ("requests_per_minute".to_owned(), limits.requests_per_minute.into()),
            ("max_tokens_per_request".to_owned(), limits.max_tokens_per_request.into()),
            ("concurrent_requests".to_owned(), limits.concurrent_requests.into()),
            ("default_reservation".to_owned(), self.default_reservation.into()),
            ("time_zone".to_owned(), serde_json::json!(self.time_zone)),
            ("on_store_failure".to_owned(), serde_json::json!(self.on_store_failure)),
            ("is_default".to_owned(), self.is_default().into()),
        ])
    }

    fn changed(_before: Option<&Self>, _after: Option<&Self>) -> Changed {
        Changed { groups: true, ..Changed::default() }
    }

    fn value(&self, column: &str) -> Arg<'_> {
        match column {
            "name" => self.name.arg(),
            "daily_tokens" => self.limits.daily_tokens.arg(),
            "monthly_tokens" => self.limits.monthly_tokens.arg(),
            "requests_per_minute" => self.limits.requests_per_minute.arg(),
            "max_tokens_per_request" => self.limits.max_tokens_per_request.arg(),
            "concurrent_requests" => self.limits.concurrent_requests.arg(),
            "default_reservation" => self.default_reservation.arg(),
            "time_zone" => self.time_zone.arg(),
            "on_store_failure" => self.on_store_failure.arg(),
            "default_of" => self.default_of.arg(),
            "version" => self.version.arg(),
            "updated_at" => self.updated_at.arg(),
            _ => Arg::Null,
        }
    }
}

impl Store {
    /// A group by its id.
    pub async fn group(&self, id: &GroupId) -> Result<Option<Group>, Error> {
        self.row(select::<Group>(" WHERE id = ?").bind(id.as_str())).await
    }

    /// A group by its name.
    pub async fn group_by_name(&self, owner: &Owner, name: &GroupName) -> Result<Option<Group>, Error> {
        let sql = select::<Group>(" WHERE customer_id = ? AND name = ?");
        self.row(sql.bind(owner.as_str()).bind(name.as_str())).await
    }

    /// Creates a group, audited. [`Error::Duplicate`] where its id is taken, or its owner has a group of this name, or a
    /// default group and this is to be another one.
    pub async fn create_group(&self, new: NewGroup, by: &Actor) -> Result<Group, Error> {
        let id = match new.id.clone() {
            Some(id) => id,
            None => GroupId::parse(&self.uuid().to_string()).map_err(|e| Error::encode(e.into()))?,
        };
        self.create_row(by, move |now| {
            let new = new.clone();
            Group {
                id: id.clone(),
                default_of: new.is_default.then(|| new.owner.clone()),
                owner: new.owner,
                name: new.name,
                limits: new.limits,
                default_reservation: new.default_reservation,
                time_zone: new.time_zone,
                on_store_failure: new.on_store_failure,
                version: 1,
                created_at: now,
                updated_at: now,
            }
        })
        .await
    }

    /// Changes a group, audited. `change` alters it as it is then, or refuses.
    pub async fn change_group<E, F>(
        &self,
        id: &GroupId,
        expected: Option<i64>,
        by: &Actor,
        change: F,
    ) -> Result<Group, NotChanged<E>>
    where
        E: Send + 'static,
        F: Fn(&mut Group) -> Result<(), E> + Send + Sync + 'static,
    {
        self.change_row(id.as_str(), expected, "update", by, move |group, _| change(group)).await
    }

    /// Deletes a group and frees its members, audited with their ids. `check` refuses, given the group and how many members
    /// it has.
    pub async fn delete_group<E, F>(
        &self,
        id: &GroupId,
        expected: Option<i64>,
        by: &Actor,
        check: F,
    ) -> Result<(), NotChanged<E>>
    where
        E: Send + 'static,
        F: Fn(&Group, usize) -> Result<(), E> + Send + Sync + 'static,
    {
        let (store, id, by, check) = (self.clone(), id.clone(), by.clone(), Arc::new(check));
        let written = self.write("group.delete", move |tx| {
            let (store, id, by, check) = (store.clone(), id.clone(), by.clone(), check.clone());
            Box::pin(async move {
                let now = tx.now().await?;
                let Some(group) = lock::<Group>(tx, id.as_str()).await? else {
                    return Ok(Err(NotChanged::NotFound));
                };
                if expected.is_some_and(|expected| expected != group.version) {
                    return Ok(Err(NotChanged::Stale));
                }
                let members = lock_members(tx, &id).await?;
                if let Err(refusal) = check(&group, members.len()) {
                    return Ok(Err(NotChanged::Refused(refusal)));
                }
                free(tx, &id, &members, now).await?;
                tx.conn.execute(Sql::new("DELETE FROM user_groups WHERE id = ?").bind(id.as_str())).await?;
                let freed: Vec<_> = members.iter().map(|member| member.user_id.to_string()).collect();
                let mut before = group.fields();
                before.insert("members".to_owned(), freed.clone().into());
                let diff = audit_diff(Some(&before), None).unwrap_or_default();
                let object = (ObjectKind::Group, id.as_str());
                store
                    .audit(tx, &by, now, Done { action: "delete", object, owner: &group.owner, diff })
                    .await?;
                // Of users that are cached, nothing but their version changed.
                let users = if freed.len() > SLICE { Vec::new() } else { freed };
                store.announce(tx, &Changed { groups: true, users, ..Changed::default() }).await?;
                Ok(Ok(()))
            })
        });
        written.await?
    }
}

/// The members of a group. Its row is locked: there will be no others.
async fn lock_members(tx: &mut Tx, group: &GroupId) -> Result<Vec<Member>, Error> {
    let index = tx.dialect().walking("group_members_group");
    let for_update = tx.dialect().for_update();
    let sql = select::<Member>(format_args!(
        "{index} WHERE group_id = ? ORDER BY customer_id, user_id{for_update}"
    ));
    tx.conn.rows(sql.bind(group.as_str())).await
}

/// Takes the members out of a group. The group is a part of a user, who has another version then.
async fn free(tx: &mut Tx, group: &GroupId, members: &[Member], now: Timestamp) -> Result<(), Error> {
    for of_one_owner in members.chunk_by(|a, b| a.owner == b.owner) {
        for slice in of_one_owner.chunks(SLICE) {
            let mut sql = Sql::new(
                "UPDATE users SET version = version + 1, updated_at = ? WHERE customer_id = ? AND id IN ",
            );
            sql.add(now).add(slice[0].owner.as_str());
            sql.push_in(slice.iter().map(|member| member.user_id.as_str()));
            tx.conn.execute(sql).await?;
        }
    }
    let sql = Sql::new("DELETE FROM group_members WHERE group_id = ?");
    tx.conn.execute(sql.bind(group.as_str())).await.map(drop)
}

/// Which groups to list, by creation.
#[derive(Debug, Clone, Default)]
pub struct GroupFilter {
    /// Whose.
    pub owner: Option<Owner>,
    /// By name.
    pub name: Option<String>,
    /// Created at or after.
    pub from: Option<Timestamp>,
    /// Created before.
    pub to: Option<Timestamp>,
}

impl Filter for GroupFilter {
    type Row = Group;
    type Place = (Timestamp, GroupId);

    fn name(&self) -> &'static str {
        "groups"
    }

    fn place(&self, group: &Group) -> Self::Place {
        (group.created_at, group.id.clone())
    }

    fn declare<'a>(&'a self, conditions: &mut Conditions<'a>) {
        conditions.equal("customer_id", self.owner.as_ref().map(Owner::as_str));
        conditions.equal("name", self.name.as_deref());
        conditions.created(self.from, self.to);
    }

    fn index(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed(match (&self.name, &self.owner) {
            (Some(_), _) => "user_groups_name",
            (None, Some(_)) => "user_groups_customer",
            (None, None) => "user_groups_created",
        }))
    }
}
