//! Sessions of users.

use std::borrow::Cow;

use super::audit::Done;
use super::cache_events::Changed;
use super::columns::{self, columns, select, select_with};
use super::error::Error;
use super::list::{Conditions, Filter};
use super::sql::Sql;
use super::{Store, Tx};
use crate::model::{
    Actor, AuditFields, CustomerId, ObjectKind, Owner, RecordId, RevokedReason, Secret, Session, SessionKind,
    Timestamp, UserId, audit_diff,
};

columns!(Session in "sessions":
    id; kind, user_id, owner = "customer_id", generation, generation_seen, kid, rotated_at, idle_until, expires_at, last_seen,
    reauthenticated_at, revoked_at, revoked_reason, device_name, address, version, created_at
);

/// Which sessions to list, by sign-in.
#[derive(Debug, Clone, Default)]
pub struct SessionFilter {
    /// Of users of which customer.
    pub customer_id: Option<CustomerId>,
    /// Of which user.
    pub user_id: Option<UserId>,
    /// Of which kind.
    pub kind: Option<SessionKind>,
    /// Whether those that were revoked are left out.
    pub unrevoked: bool,
    /// Signed in at or after.
    pub from: Option<Timestamp>,
    /// Signed in before.
    pub to: Option<Timestamp>,
}

impl Filter for SessionFilter {
    type Row = Session;
    type Place = (Timestamp, RecordId);

    fn name(&self) -> &'static str {
        "sessions"
    }

    fn place(&self, session: &Session) -> Self::Place {
        (session.created_at, session.id)
    }

    fn declare<'a>(&'a self, conditions: &mut Conditions<'a>) {
        conditions.equal("customer_id", self.customer_id.as_ref().map(CustomerId::as_str));
        conditions.equal("user_id", self.user_id.as_ref().map(UserId::as_str));
        conditions.equal("kind", self.kind.map(SessionKind::as_str));
        conditions.special("unrevoked", self.unrevoked.then_some(""), || Sql::new(" AND revoked_at IS NULL"));
        conditions.created(self.from, self.to);
    }

    fn index(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed(match (&self.user_id, &self.customer_id) {
            (Some(_), _) => "sessions_user",
            (None, Some(_)) => "sessions_customer",
            (None, None) => "sessions_created",
        }))
    }
}

/// The next generation of a session.
#[derive(Debug, Clone)]
pub struct NextGeneration {
    /// The session.
    pub session: RecordId,
    /// The generation that it follows.
    pub after: i64,
    /// The secret that its tokens are computed with.
    pub kid: String,
    /// When.
    pub now: Timestamp,
    /// The session ends then unless refreshed, if not before.
    pub idle_until: Timestamp,
}

/// A user's own new password.
#[derive(Debug, Clone)]
pub struct PasswordChange {
    /// The user.
    pub user: UserId,
    /// Whose user.
    pub owner: Owner,
    /// The user's security version that the change is based on.
    pub security_version: i64,
    /// The new password, hashed.
    pub hash: Secret,
    /// The session that goes on.
    pub session: RecordId,
    /// The secret that its next tokens are computed with.
    pub kid: String,
    /// The session ends then unless refreshed, if not before.
    pub idle_until: Timestamp,
}

impl Store {
    /// Begins a session, and notes that its user signed in; `false` if the user was disabled, or given another password,
    /// since its password was checked.
    pub async fn create_session(&self, session: Session, security_version: i64) -> Result<bool, Error> {
        self.write("session.create", move |tx| {
            let session = session.clone();
            Box::pin(async move {
                // Locks the user: what ends all its sessions comes before, and then nothing begins, or after.
                let sql = Sql::new(
                    "UPDATE users SET last_login_at = ? WHERE id = ? AND security_version = ? AND is_active = 1",
                );
                let sql = sql.bind(session.created_at).bind(session.user_id.as_str().to_owned());
                if tx.conn.execute(sql.bind(security_version)).await? == 0 {
                    return Ok(false);
                }
                tx.conn.execute(columns::insert("INSERT INTO", std::slice::from_ref(&session))).await?;
                Ok(true)
            })
        })
        .await
    }

    /// A session by its id.
    pub async fn session(&self, id: RecordId) -> Result<Option<Session>, Error> {
        self.row(select::<Session>(" WHERE id = ?").bind(id.as_bytes())).await
    }

    /// The same with the database's clock.
    pub async fn session_and_now(&self, id: RecordId) -> Result<Option<(Session, Timestamp)>, Error> {
        self.row(select_with::<Session>(self.dialect().now(), " WHERE id = ?").bind(id.as_bytes())).await
    }

    /// Begins the next generation, if the session has the one before and was not ended; whether it did.
    pub async fn rotate_session(&self, next: NextGeneration) -> Result<bool, Error> {
        self.write("session.rotate", move |tx| {
            let next = next.clone();
            Box::pin(async move {
                let sql = Sql::new(
                    "UPDATE sessions SET generation = generation + 1, kid = ?, rotated_at = ?, last_seen = ?, \
                     idle_until = CASE WHEN expires_at < ? THEN expires_at ELSE ? END \
                     WHERE id = ? AND generation = ? AND revoked_at IS NULL",
                );
                let sql = sql.bind(next.kid).bind(next.now).bind(next.now).bind(next.idle_until).bind(next.idle_until);
                let sql = sql.bind(next.session.as_bytes().to_vec()).bind(next.after);
                Ok(tx.conn.execute(sql).await? > 0)
            })
        })
        .await
    }

    /// Notes that an access token of a generation was used. It changes nothing that is cached.
    pub async fn note_generation_seen(
        &self,
        id: RecordId,
        generation: i64,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.write("session.seen", move |tx| {
            Box::pin(async move {
                let sql = Sql::new(
                    "UPDATE sessions SET generation_seen = ?, last_seen = ? WHERE id = ? AND generation_seen < ?",
                );
                let sql = sql.bind(generation).bind(now).bind(id.as_bytes().to_vec()).bind(generation);
                tx.conn.execute(sql).await.map(drop)
            })
        })
        .await
    }

    /// Ends a session, audited; `false` if there is none, or if it was ended before.
    pub async fn revoke_session(
        &self,
        id: RecordId,
        reason: RevokedReason,
        by: &Actor,
    ) -> Result<bool, Error> {
        let (store, by) = (self.clone(), by.clone());
        self.write("session.revoke", move |tx| {
            let (store, by) = (store.clone(), by.clone());
            Box::pin(async move {
                let now = tx.now().await?;
                let for_update = tx.dialect().for_update();
                let sql =
                    select::<Session>(format_args!(" WHERE id = ?{for_update}")).bind(id.as_bytes().to_vec());
                let Some(session) = tx.conn.rows::<Session>(sql).await?.pop() else { return Ok(false) };
                if session.revoked_at.is_some() {
                    return Ok(false);
                }
                revoke(tx, &session, reason, now).await?;
                let id = session.id.to_string();
                let diff = serde_json::json!({
                    "before": {}, "after": { "user_id": session.user_id, "revoked_reason": reason },
                });
                let done = Done {
                    action: "revoke",
                    object: (ObjectKind::Session, &id),
                    owner: &session.owner,
                    diff: diff.to_string(),
                };
                store.audit(tx, &by, now, done).await?;
                let changed = Changed { sessions: vec![id], ..Changed::default() };
                store.announce(tx, &changed).await?;
                Ok(true)
            })
        })
        .await
    }

    /// Sets a user's own new password, if its security version is still the one given and its session has not ended: all
    /// other sessions end, and this one goes on two generations later, so that no copy of its tokens before is of use. Audited.
    /// Returns the session as it is then and the user's new security version.
    pub async fn change_own_password(
        &self,
        change: PasswordChange,
        by: &Actor,
    ) -> Result<Option<(Session, i64)>, Error> {
        let (store, by) = (self.clone(), by.clone());
        self.write("session.password", move |tx| {
            let (store, change, by) = (store.clone(), change.clone(), by.clone());
            Box::pin(async move {
                let now = tx.now().await?;
                let for_update = tx.dialect().for_update();
                let id = change.user.as_str();
                let lock = Sql::new(format!(
                    "SELECT 1 FROM users WHERE id = ? AND security_version = ? AND is_active = 1{for_update}"
                ));
                if tx.conn.fetch_optional(lock.bind(id).bind(change.security_version)).await?.is_none() {
                    return Ok(None);
                }
                let session = change.session.as_bytes();
                let sql = Sql::new(
                    "UPDATE sessions SET generation = generation + 2, kid = ?, rotated_at = ?, last_seen = ?, \
                     reauthenticated_at = ?, idle_until = CASE WHEN expires_at < ? THEN expires_at ELSE ? END \
                     WHERE id = ? AND user_id = ? AND revoked_at IS NULL AND idle_until > ?",
                );
                let sql = sql.bind(change.kid.as_str()).bind(now).bind(now).bind(now);
                let sql = sql.bind(change.idle_until).bind(change.idle_until);
                if tx.conn.execute(sql.bind(session).bind(id).bind(now)).await? == 0 {
                    return Ok(None);
                }
                let sql = Sql::new(
                    "UPDATE users SET password_hash = ?, security_version = security_version + 1, version = version + 1, \
                     updated_at = ? WHERE id = ?",
                );
                tx.conn.execute(sql.bind(change.hash.expose()).bind(now).bind(id)).await?;
                let reason = RevokedReason::PasswordChanged;
                revoke_sessions_of(tx, &change.user, reason, now, Some(change.session)).await?;
                let version = |version: i64| AuditFields::from_iter([("security_version".to_owned(), version.into())]);
                let (was, is) = (version(change.security_version), version(change.security_version + 1));
                let done = Done {
                    action: "set_password",
                    object: (ObjectKind::User, id),
                    owner: &change.owner,
                    diff: audit_diff(Some(&was), Some(&is)).unwrap_or_default(),
                };
                store.audit(tx, &by, now, done).await?;
                store.announce(tx, &Changed::user(&change.user)).await?;
                let changed = tx.conn.rows::<Session>(select::<Session>(" WHERE id = ?").bind(session)).await?.pop();
                Ok(changed.map(|session| (session, change.security_version + 1)))
            })
        })
        .await
    }

    /// Replaces the hash of the same password by one with other parameters, unless it was changed meanwhile.
    pub async fn rehash_password(&self, id: &UserId, old: Secret, new: Secret) -> Result<(), Error> {
        let id = id.clone();
        self.write("session.rehash", move |tx| {
            let (id, old, new) = (id.clone(), old.clone(), new.clone());
            Box::pin(async move {
                let sql = Sql::new("UPDATE users SET password_hash = ? WHERE id = ? AND password_hash = ?");
                let sql = sql
                    .bind(new.expose().to_owned())
                    .bind(id.as_str().to_owned())
                    .bind(old.expose().to_owned());
                tx.conn.execute(sql).await.map(drop)
            })
        })
        .await
    }

    /// Deletes up to `slice` sessions that ended before `now`; how many.
    pub async fn purge_sessions(&self, now: Timestamp, slice: i64) -> Result<u64, Error> {
        self.write("session.purge", move |tx| {
            Box::pin(async move {
                let sql = Sql::new("SELECT id FROM sessions WHERE idle_until < ? LIMIT ?");
                let rows = tx.conn.fetch_all(sql.bind(now).bind(slice)).await?;
                if rows.is_empty() {
                    return Ok(0);
                }
                let ids =
                    rows.iter().map(|row| row.bytes(0).map(<[u8]>::to_vec)).collect::<Result<Vec<_>, _>>()?;
                // One may have been refreshed since it was selected.
                let mut sql = Sql::new("DELETE FROM sessions WHERE idle_until < ? AND id IN ").bind(now);
                sql.push_in(ids);
                tx.conn.execute(sql).await
            })
        })
        .await
    }
}

async fn revoke(tx: &mut Tx, session: &Session, reason: RevokedReason, now: Timestamp) -> Result<(), Error> {
    let sql = Sql::new(
        "UPDATE sessions SET revoked_at = ?, revoked_reason = ?, version = version + 1 \
         WHERE id = ? AND revoked_at IS NULL",
    );
    let sql = sql.bind(now).bind(reason.as_str()).bind(session.id.as_bytes().to_vec());
    tx.conn.execute(sql).await.map(drop)
}

/// Ends the sessions of a user within a transaction, all or all but one. The user's own cache event, which the caller
/// writes, ends access by its security version; the sessions need none.
pub(super) async fn revoke_sessions_of(
    tx: &mut Tx,
    user: &UserId,
    reason: RevokedReason,
    now: Timestamp,
    keep: Option<RecordId>,
) -> Result<(), Error> {
    let except = if keep.is_some() { " AND id <> ?" } else { "" };
    let mut sql = Sql::new(format!(
        "UPDATE sessions SET revoked_at = ?, revoked_reason = ?, version = version + 1 \
         WHERE user_id = ? AND revoked_at IS NULL{except}"
    ));
    sql.add(now).add(reason.as_str()).add(user.as_str().to_owned());
    if let Some(keep) = keep {
        sql.add(keep.as_bytes().to_vec());
    }
    tx.conn.execute(sql).await.map(drop)
}

/// Deletes the sessions of a user who is deleted.
pub(super) async fn delete_sessions_of(tx: &mut Tx, user: &UserId) -> Result<(), Error> {
    let sql = Sql::new("DELETE FROM sessions WHERE user_id = ?").bind(user.as_str().to_owned());
    tx.conn.execute(sql).await.map(drop)
}
