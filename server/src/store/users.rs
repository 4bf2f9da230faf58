//! People who can sign in.

use std::borrow::Cow;
use std::sync::Arc;

use super::administer::{Administered, NotChanged};
use super::cache_events::Changed;
use super::columns::{Column as _, FromRow as _, TableRow as _, columns, select_with};
use super::dialect::Dialect;
use super::error::Error;
use super::list::{Conditions, Filter, ListRow};
use super::members::{insert_membership, membership, set_membership};
use super::sessions::{delete_sessions_of, revoke_sessions_of};
use super::sql::{Arg, Row, Sql};
use super::{Store, Tx, TxFuture};
use crate::model::{
    Actor, AuditFields, GroupId, ObjectKind, Owner, Secret, Timestamp, User, UserId, UserRole, Username,
};

columns!(User in "users":
    id; owner = "customer_id", username, role, password_hash, is_active, security_version, last_login_at, version, created_at,
    updated_at;
    group_id: None
);

/// The group of a user, selected after its columns.
const GROUP: &str = "(SELECT m.group_id FROM group_members m \
                     WHERE m.customer_id = users.customer_id AND m.user_id = users.id)";
/// A list of the members of a group that has no more than so many begins with their ids. The members of a larger one are
/// met soon when the list is walked.
const SMALL_GROUP: i64 = 1000;

/// A user to be created.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Its id; one is made if none is given.
    pub id: Option<UserId>,
    /// Whose it is.
    pub owner: Owner,
    /// Its name.
    pub username: Username,
    /// What it may do.
    pub role: UserRole,
    /// Its password, hashed; `None` cannot sign in.
    pub password_hash: Option<Secret>,
    /// Whether it may sign in.
    pub is_active: bool,
    /// Its group.
    pub group_id: Option<GroupId>,
}

impl Administered for User {
    const KIND: ObjectKind = ObjectKind::User;
    const KEY: &'static str = "id";
    const CHANGED: &'static [&'static str] =
        &["username", "role", "password_hash", "is_active", "security_version", "version", "updated_at"];

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
        AuditFields::from_iter([
            ("customer_id".to_owned(), serde_json::json!(self.owner)),
            ("username".to_owned(), serde_json::json!(self.username)),
            ("role".to_owned(), serde_json::json!(self.role)),
            ("is_active".to_owned(), self.is_active.into()),
            ("group_id".to_owned(), serde_json::json!(self.group_id)),
            ("has_password".to_owned(), self.password_hash.is_some().into()),
            ("security_version".to_owned(), self.security_version.into()),
        ])
    }

    fn changed(before: Option<&Self>, after: Option<&Self>) -> Changed {
        let group = |user: Option<&Self>| user.and_then(|user| user.group_id.clone());
        let users = after.or(before).map(|user| user.id.to_string()).into_iter().collect();
        Changed { users, groups: group(before) != group(after), ..Changed::default() }
    }

    fn value(&self, column: &str) -> Arg<'_> {
        match column {
            "username" => self.username.arg(),
            "role" => self.role.arg(),
            "password_hash" => self.password_hash.arg(),
            "is_active" => self.is_active.arg(),
            "security_version" => self.security_version.arg(),
            "version" => self.version.arg(),
            "updated_at" => self.updated_at.arg(),
            _ => Arg::Null,
        }
    }

    fn complete<'t>(&'t mut self, tx: &'t mut Tx) -> TxFuture<'t, ()> {
        Box::pin(async move {
            self.group_id = membership(tx, &self.owner, &self.id).await?;
            Ok(())
        })
    }

    fn follow_up(
        tx: &mut Tx,
        now: Timestamp,
        before: Option<Arc<Self>>,
        after: Option<Arc<Self>>,
    ) -> TxFuture<'_, ()> {
        Box::pin(async move {
            let Some(user) = after.as_ref().or(before.as_ref()) else { return Ok(()) };
            let group = |user: &Option<Arc<Self>>| user.as_ref().and_then(|user| user.group_id.clone());
            let (was, is) = (group(&before), group(&after));
            match &before {
                None => insert_membership(tx, &user.owner, &user.id, is.as_ref()).await?,
                Some(_) if was != is => set_membership(tx, &user.owner, &user.id, is.as_ref()).await?,
                Some(_) => {}
            }
            match (&before, &after) {
                (Some(before), Some(after)) => match after.sessions_end(before) {
                    Some(reason) => revoke_sessions_of(tx, &user.id, reason, now, None).await,
                    None => Ok(()),
                },
                (Some(_), None) => delete_sessions_of(tx, &user.id).await,
                (None, _) => Ok(()),
            }
        })
    }
}

fn with_group((user, group_id): (User, Option<GroupId>)) -> User {
    User { group_id, ..user }
}

impl Store {
    /// A user by its id.
    pub async fn user(&self, id: &UserId) -> Result<Option<User>, Error> {
        let sql = select_with::<User>(GROUP, " WHERE id = ?");
        Ok(self.row(sql.bind(id.as_str())).await?.map(with_group))
    }

    /// A user by its name.
    pub async fn user_by_name(&self, owner: &Owner, name: &Username) -> Result<Option<User>, Error> {
        let sql = select_with::<User>(GROUP, " WHERE customer_id = ? AND username = ?");
        Ok(self.row(sql.bind(owner.as_str()).bind(name.as_str())).await?.map(with_group))
    }

    /// Creates a user, audited. [`Error::Duplicate`] where its id is taken, or its name by another user of its owner, or where
    /// its id is a member of another group; [`Error::Missing`] without its group.
    pub async fn create_user(&self, new: NewUser, by: &Actor) -> Result<User, Error> {
        let id = match new.id.clone() {
            Some(id) => id,
            None => UserId::parse(&self.uuid().to_string()).map_err(|e| Error::encode(e.into()))?,
        };
        self.create_row(by, move |now| {
            let NewUser { id: _, owner, username, role, password_hash, is_active, group_id } = new.clone();
            User {
                id: id.clone(),
                owner,
                username,
                role,
                password_hash,
                is_active,
                // No version of a user who had the id before: tokens of that one stay void.
                security_version: now.micros(),
                last_login_at: None,
                version: 1,
                created_at: now,
                updated_at: now,
                group_id,
            }
        })
        .await
    }

    /// Changes a user, audited as `action`. `change` alters it as it is then, or refuses. What ends access raises the
    /// security version and ends its sessions, in the same transaction. The group is a part of it: [`Error::Missing`]
    /// without the new one.
    pub async fn change_user<E, F>(
        &self,
        id: &UserId,
        expected: Option<i64>,
        action: &'static str,
        by: &Actor,
        change: F,
    ) -> Result<User, NotChanged<E>>
    where
        E: Send + 'static,
        F: Fn(&mut User) -> Result<(), E> + Send + Sync + 'static,
    {
        self.change_row(id.as_str(), expected, action, by, move |user: &mut User, _| {
            let before = user.clone();
            change(user)?;
            user.note_security(&before);
            Ok(())
        })
        .await
    }

    /// Deletes a user with its membership and its sessions, audited. `check` refuses, given the user. Its usage stays, and
    /// so do entries of the audit log.
    pub async fn delete_user<E, F>(
        &self,
        id: &UserId,
        expected: Option<i64>,
        by: &Actor,
        check: F,
    ) -> Result<(), NotChanged<E>>
    where
        E: Send + 'static,
        F: Fn(&User) -> Result<(), E> + Send + Sync + 'static,
    {
        self.delete_row(id.as_str(), expected, by, check).await
    }

    /// Notes that a user signed in: no change of the user, so neither audited nor announced. `false` without that user.
    pub async fn note_login(&self, id: &UserId, at: Timestamp) -> Result<bool, Error> {
        let id = id.clone();
        self.write("user.login", move |tx| {
            let sql =
                Sql::new("UPDATE users SET last_login_at = ? WHERE id = ?").bind(at).bind(id.to_string());
            Box::pin(async move { Ok(tx.conn.execute(sql).await? > 0) })
        })
        .await
    }
}

/// Which users to list, by creation.
#[derive(Debug, Clone, Default)]
pub struct UserFilter {
    /// Whose.
    pub owner: Option<Owner>,
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
    /// The members of the group, where the list has found that they are few.
    pub few_members: Option<Vec<String>>,
}

/// A user as lists read it: with its group, which another table has.
#[derive(Debug, Clone)]
pub struct ListedUser(pub User);

impl ListRow<UserFilter> for ListedUser {
    fn table(_: &UserFilter) -> &'static str {
        User::TABLE
    }

    fn columns(_: &UserFilter, _: Dialect) -> String {
        format!("{}, {GROUP}", User::COLUMNS)
    }

    fn read(_: &UserFilter, row: &Row) -> Result<Self, Error> {
        <(User, Option<GroupId>)>::from_row(row).map(with_group).map(Self)
    }
}

impl Filter for UserFilter {
    type Row = ListedUser;
    type Place = (Timestamp, UserId);

    /// Mirrored users are the list `users`.
    fn name(&self) -> &'static str {
        "admin users"
    }

    fn place(&self, ListedUser(user): &ListedUser) -> Self::Place {
        (user.created_at, user.id.clone())
    }

    fn declare<'a>(&'a self, conditions: &mut Conditions<'a>) {
        conditions.equal("customer_id", self.owner.as_ref().map(Owner::as_str));
        conditions.equal("username", self.username.as_ref().map(Username::as_str));
        conditions.equal("role", self.role.map(UserRole::as_str));
        conditions.compare("is_active", "is_active", "=", self.is_active);
        conditions.special("group_id", self.group_id.as_ref().map(GroupId::as_str), || {
            let mut sql = Sql::new("");
            if let Some(members) = &self.few_members {
                sql.push(" AND id IN ").push_in(members.iter().map(String::as_str));
            }
            sql.push(&format!(" AND {GROUP} = ?")).add(self.group_id.as_ref().map(GroupId::as_str));
            sql
        });
        conditions.created(self.from, self.to);
    }

    fn index(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed(match (&self.username, &self.few_members, &self.owner) {
            (Some(_), ..) => "users_name",
            (None, Some(_), _) => "PRIMARY",
            (None, None, Some(_)) => "users_customer",
            (None, None, None) => "users_created",
        }))
    }

    async fn resolve(&self, store: &Store) -> Result<Option<Self>, Error> {
        let Some(group) = &self.group_id else { return Ok(Some(self.clone())) };
        let members = store.members(group, None, SMALL_GROUP + 1).await?;
        if members.is_empty() {
            return Ok(None);
        }
        let few = members.len() <= usize::try_from(SMALL_GROUP).unwrap_or(usize::MAX);
        let few_members = few.then(|| members.iter().map(|member| member.user_id.to_string()).collect());
        Ok(Some(Self { few_members, ..self.clone() }))
    }
}
