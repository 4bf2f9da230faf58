//! The audit log.

use std::borrow::Cow;

use super::columns::{self, columns};
use super::error::Error;
use super::list::{Conditions, Filter};
use super::sql::Sql;
use super::{Store, Tx};
use crate::model::{Actor, AuditEntry, CustomerId, ObjectKind, Owner, RecordId, Timestamp, new_uuid};

columns!(AuditEntry in "audit_log":
    id; created_at, actor_kind, actor_id, action, object_kind, object_id, owner = "customer_id", diff, request_id, address
);

/// What was done, for the audit log.
#[derive(Debug, Clone)]
pub(super) struct Done<'a> {
    pub action: &'a str,
    pub object: (ObjectKind, &'a str),
    pub owner: &'a Owner,
    /// As [`crate::model::audit_diff`] makes it.
    pub diff: String,
}

/// Inserts entries.
pub(super) fn insertion(entries: &[AuditEntry]) -> Sql<'_> {
    columns::insert("INSERT INTO", entries)
}

/// Which entries to list, by their time.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// By a key or a user, named by its id.
    pub actor_id: Option<String>,
    /// Of this action.
    pub action: Option<String>,
    /// About an object of this kind.
    pub object_kind: Option<ObjectKind>,
    /// About the object of this id.
    pub object_id: Option<String>,
    /// About what this customer owns.
    pub customer_id: Option<CustomerId>,
    /// At or after.
    pub from: Option<Timestamp>,
    /// Before.
    pub to: Option<Timestamp>,
    /// No later place in the list than this one.
    pub until: Option<(Timestamp, RecordId)>,
}

impl Filter for AuditFilter {
    type Row = AuditEntry;
    type Place = (Timestamp, RecordId);

    fn name(&self) -> &'static str {
        "audit"
    }

    fn place(&self, entry: &AuditEntry) -> Self::Place {
        (entry.created_at, entry.id)
    }

    fn declare<'a>(&'a self, conditions: &mut Conditions<'a>) {
        conditions.equal("actor_id", self.actor_id.as_deref());
        conditions.equal("action", self.action.as_deref());
        conditions.equal("object_kind", self.object_kind.map(ObjectKind::as_str));
        conditions.equal("object_id", self.object_id.as_deref());
        conditions.equal("customer_id", self.customer_id.as_ref().map(CustomerId::as_str));
        conditions.created(self.from, self.to);
        conditions.place("<=", self.until.as_ref());
    }

    /// The most selective filter first.
    fn index(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed(match self {
            Self { object_kind: Some(_), object_id: Some(_), .. } => "audit_log_object",
            Self { actor_id: Some(_), .. } => "audit_log_actor",
            Self { customer_id: Some(_), .. } => "audit_log_customer",
            _ => "audit_log_created",
        }))
    }
}

impl Store {
    /// Forgets up to `slice` entries older than `before`; how many.
    pub async fn purge_audit(&self, before: Timestamp, slice: i64) -> Result<u64, Error> {
        self.write("audit.purge", move |tx| {
            Box::pin(async move {
                let sql =
                    Sql::new("SELECT id FROM audit_log WHERE created_at < ? ORDER BY created_at, id LIMIT ?");
                let rows = tx.conn.fetch_all(sql.bind(before).bind(slice)).await?;
                if rows.is_empty() {
                    return Ok(0);
                }
                let ids =
                    rows.iter().map(|row| row.bytes(0).map(<[u8]>::to_vec)).collect::<Result<Vec<_>, _>>()?;
                let mut sql = Sql::new("DELETE FROM audit_log WHERE id IN ");
                sql.push_in(ids);
                tx.conn.execute(sql).await
            })
        })
        .await
    }

    /// Writes an entry with the transaction that it is about.
    pub(super) async fn audit(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        now: Timestamp,
        done: Done<'_>,
    ) -> Result<(), Error> {
        let id = RecordId(new_uuid(now, &*self.inner.entropy));
        let entry = AuditEntry::of(actor, (id, now), done.action, done.object, done.owner.clone(), done.diff);
        tx.conn.execute(insertion(std::slice::from_ref(&entry))).await.map(drop)
    }
}
