//! Who belongs to which group.

use super::administer::NotChanged;
use super::audit::Done;
use super::cache_events::Changed;
use super::columns::{self, Column as _, TableRow as _, columns, first, select};
use super::error::Error;
use super::sql::Sql;
use super::{Store, Tx};
use crate::model::{
    Actor, AuditFields, CustomerId, Group, GroupId, Member, ObjectKind, Owner, UserId, audit_diff,
};

columns!(Member in "group_members": ; owner = "customer_id", user_id, group_id);

fn membership_of<'a>(owner: &'a Owner, user: &'a UserId) -> Sql<'a> {
    let sql = Sql::new("SELECT group_id FROM group_members WHERE customer_id = ? AND user_id = ?");
    sql.bind(owner.as_str()).bind(user.as_str())
}

/// The group of a user.
pub(super) async fn membership(tx: &mut Tx, owner: &Owner, user: &UserId) -> Result<Option<GroupId>, Error> {
    let mut sql = membership_of(owner, user);
    sql.push(tx.dialect().for_update());
    tx.conn.fetch_optional(sql).await?.map(|row| first(Member::TABLE, &row)).transpose()
}

/// Makes a user a member of this group alone, or of none. The group's row is locked, so that it cannot be deleted
/// meanwhile; [`Error::Missing`] without it.
pub(super) async fn set_membership(
    tx: &mut Tx,
    owner: &Owner,
    user: &UserId,
    group: Option<&GroupId>,
) -> Result<(), Error> {
    let Some(group) = group else {
        let sql = Sql::new("DELETE FROM group_members WHERE customer_id = ? AND user_id = ?");
        return tx.conn.execute(sql.bind(owner.as_str()).bind(user.as_str())).await.map(drop);
    };
    lock_group(tx, group).await?;
    let member = Member { owner: owner.clone(), user_id: user.clone(), group_id: group.clone() };
    let key = "customer_id, user_id";
    let sql = columns::upsert(std::slice::from_ref(&member), tx.dialect(), key, &["group_id"]);
    tx.conn.execute(sql).await.map(drop)
}

/// The same for a user who is a member of none. A mirrored user with its id may be a member of the same group already;
/// [`Error::Duplicate`] of another.
pub(super) async fn insert_membership(
    tx: &mut Tx,
    owner: &Owner,
    user: &UserId,
    group: Option<&GroupId>,
) -> Result<(), Error> {
    let present = tx.conn.fetch_optional(membership_of(owner, user)).await?;
    let present: Option<GroupId> = present.map(|row| first(Member::TABLE, &row)).transpose()?;
    let Some(group) = group.filter(|group| present.as_ref() != Some(group)) else { return Ok(()) };
    lock_group(tx, group).await?;
    let member = Member { owner: owner.clone(), user_id: user.clone(), group_id: group.clone() };
    tx.conn.execute(columns::insert("INSERT INTO", std::slice::from_ref(&member))).await.map(drop)
}

async fn lock_group(tx: &mut Tx, group: &GroupId) -> Result<(), Error> {
    let lock = format!("SELECT 1 FROM user_groups WHERE id = ?{}", tx.dialect().for_update());
    let locked = tx.conn.fetch_optional(Sql::new(lock).bind(group.as_str())).await?;
    locked.map(drop).ok_or(Error::Missing("group"))
}

impl Store {
    /// The group of a user, who may be mirrored.
    pub async fn membership(&self, owner: &Owner, user: &UserId) -> Result<Option<GroupId>, Error> {
        let row = self.fetch_optional(membership_of(owner, user)).await?;
        row.map(|row| first(Member::TABLE, &row)).transpose()
    }

    /// Whose members of a group have this id.
    pub async fn owners_of_member(&self, group: &GroupId, user: &UserId) -> Result<Vec<Owner>, Error> {
        let index = self.dialect().walking("group_members_group");
        let sql = select::<Member>(format_args!("{index} WHERE group_id = ? AND user_id = ?"));
        let members: Vec<Member> = self.rows(sql.bind(group.as_str()).bind(user.as_str())).await?;
        Ok(members.into_iter().map(|member| member.owner).collect())
    }

    /// The members of a group in the order of their owners and ids, `limit` of them after `after`.
    pub async fn members(
        &self,
        group: &GroupId,
        after: Option<&Member>,
        limit: i64,
    ) -> Result<Vec<Member>, Error> {
        let index = self.dialect().walking("group_members_group");
        let mut sql = select::<Member>(format_args!("{index} WHERE group_id = ?")).bind(group.as_str());
        if let Some(Member { owner, user_id, .. }) = after {
            self.dialect().push_pair(&mut sql, ["customer_id", "user_id"], ">", [owner.arg(), user_id.arg()]);
        }
        sql.push(" ORDER BY customer_id, user_id LIMIT ?").add(limit);
        self.rows(sql).await
    }

    /// Makes a mirrored user a member of a group, or of none, audited; [`Error::Missing`] without the group. `seen` is
    /// the group that it is a member of until now: otherwise [`NotChanged::Stale`].
    pub async fn set_mirrored_group(
        &self,
        customer: &CustomerId,
        user: &UserId,
        seen: Option<GroupId>,
        group: Option<GroupId>,
        by: &Actor,
    ) -> Result<(), NotChanged<std::convert::Infallible>> {
        if seen == group {
            return Ok(());
        }
        let (store, owner, user, by) =
            (self.clone(), Owner::Customer(customer.clone()), user.clone(), by.clone());
        let written = self.write("group.member", move |tx| {
            let (store, owner, user, by) = (store.clone(), owner.clone(), user.clone(), by.clone());
            let (seen, group) = (seen.clone(), group.clone());
            Box::pin(async move {
                let now = tx.now().await?;
                if membership(tx, &owner, &user).await? != seen {
                    return Ok(Err(NotChanged::Stale));
                }
                // A row that is not there cannot be locked: another transaction may insert it meanwhile.
                let set = match seen {
                    None => insert_membership(tx, &owner, &user, group.as_ref()).await,
                    Some(_) => set_membership(tx, &owner, &user, group.as_ref()).await,
                };
                match set {
                    Err(Error::Duplicate(_)) => return Ok(Err(NotChanged::Stale)),
                    set => set?,
                }
                let fields = |group: &Option<GroupId>| {
                    AuditFields::from_iter([("group_id".to_owned(), serde_json::json!(group))])
                };
                let diff = audit_diff(Some(&fields(&seen)), Some(&fields(&group))).unwrap_or_default();
                let object = (ObjectKind::User, user.as_str());
                store.audit(tx, &by, now, Done { action: "update", object, owner: &owner, diff }).await?;
                let changed = Changed { groups: true, ..Changed::default() };
                store.announce(tx, &changed).await?;
                Ok(Ok(()))
            })
        });
        written.await?
    }

    /// The group whose limits count for a user, who may be mirrored: its own, else the default group of its owner, else
    /// that of the platform.
    pub async fn effective_group(&self, owner: &Owner, user: &UserId) -> Result<Option<Group>, Error> {
        let own = "SELECT m.group_id FROM group_members m WHERE m.customer_id = ? AND m.user_id = ?";
        let default = "SELECT d.id FROM user_groups d WHERE d.default_of = ?";
        let sql = select::<Group>(format_args!(" WHERE id = COALESCE(({own}), ({default}), ({default}))"));
        let sql = sql.bind(owner.as_str()).bind(user.as_str());
        self.row(sql.bind(owner.as_str()).bind(Owner::Platform.as_str().to_owned())).await
    }
}
