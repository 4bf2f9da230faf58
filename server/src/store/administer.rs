//! Changes by administrators. A row changes under its lock, by its version; the audit entry, the cache event and what
//! follows from the change are of the same transaction.

use std::sync::Arc;

use super::audit::Done;
use super::cache_events::Changed;
use super::columns::{self, TableRow, select};
use super::error::Error;
use super::sql::{Arg, Sql};
use super::{Store, Tx, TxFuture};
use crate::model::{Actor, AuditFields, ObjectKind, Owner, Timestamp, audit_diff};

/// A row that administrators create, change and delete.
pub(super) trait Administered: TableRow + Clone + Send + Sync + 'static {
    /// What the audit log calls it.
    const KIND: ObjectKind;
    /// The column of its key.
    const KEY: &'static str;
    /// The column of the version that its changes are made against.
    const VERSION: &'static str = "version";
    /// The columns that a change writes; version and time of change are among them.
    const CHANGED: &'static [&'static str];

    /// Its key.
    fn key(&self) -> &str;
    /// Whose it is.
    fn owner(&self) -> Owner;
    /// Its version, see [`Self::VERSION`].
    fn version(&self) -> i64;
    /// Sets the next version, and the time of the change.
    fn stamp(&mut self, now: Timestamp);
    /// Its fields for the audit log; no secret is among them.
    fn fields(&self) -> AuditFields;
    /// What the caches of instances must drop after a change; `None` of either is creation or deletion.
    fn changed(before: Option<&Self>, after: Option<&Self>) -> Changed;
    /// Binds the value of one column of [`Self::CHANGED`].
    fn value(&self, column: &str) -> Arg<'_>;
    /// Reads what is not in its own table, once the row is locked.
    fn complete<'t>(&'t mut self, _tx: &'t mut Tx) -> TxFuture<'t, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
    /// What else a change does in its transaction; `None` of either is creation or deletion.
    fn follow_up(
        _tx: &mut Tx,
        _now: Timestamp,
        _before: Option<Arc<Self>>,
        _after: Option<Arc<Self>>,
    ) -> TxFuture<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Why a change was not made; nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum NotChanged<E> {
    /// The row does not exist.
    #[error("not found")]
    NotFound,
    /// The row has another version than the change was based on.
    #[error("changed since")]
    Stale,
    /// The change was refused by the rule that makes it.
    #[error("refused")]
    Refused(E),
    /// A unique key holds the new value already.
    #[error(transparent)]
    Store(#[from] Error),
}

impl<E> NotChanged<E> {
    /// The same with the refusal as another error.
    pub fn map_refusal<F>(self, map: impl FnOnce(E) -> F) -> NotChanged<F> {
        match self {
            Self::NotFound => NotChanged::NotFound,
            Self::Stale => NotChanged::Stale,
            Self::Refused(refusal) => NotChanged::Refused(map(refusal)),
            Self::Store(error) => NotChanged::Store(error),
        }
    }
}

impl Store {
    /// Creates the row that `make` gives for the time of its creation, audited; [`Error::Duplicate`] where a unique key is
    /// taken.
    pub(super) async fn create_row<R, F>(&self, by: &Actor, make: F) -> Result<R, Error>
    where
        R: Administered,
        F: Fn(Timestamp) -> R + Send + Sync + 'static,
    {
        let (store, by, make) = (self.clone(), by.clone(), Arc::new(make));
        self.write("administer.create", move |tx| {
            let (store, by, make) = (store.clone(), by.clone(), make.clone());
            Box::pin(async move {
                let now = tx.now().await?;
                let row = Arc::new(make(now));
                tx.conn.execute(columns::insert("INSERT INTO", std::slice::from_ref(&*row))).await?;
                R::follow_up(tx, now, None, Some(row.clone())).await?;
                store.conclude(tx, &by, now, "create", None, Some(&*row)).await?;
                Ok((*row).clone())
            })
        })
        .await
    }

    /// Changes the row with this key, audited: `change` gets it as it is, locked, and alters it or refuses. `expected` is
    /// the version that the change is based on. A change that alters nothing writes nothing. Returns the row as it is
    /// then.
    pub(super) async fn change_row<R, E, F>(
        &self,
        key: &str,
        expected: Option<i64>,
        action: &'static str,
        by: &Actor,
        change: F,
    ) -> Result<R, NotChanged<E>>
    where
        R: Administered,
        E: Send + 'static,
        F: Fn(&mut R, Timestamp) -> Result<(), E> + Send + Sync + 'static,
    {
        let (store, key, by, change) = (self.clone(), key.to_owned(), by.clone(), Arc::new(change));
        let written = self.write("administer.change", move |tx| {
            let (store, key, by, change) = (store.clone(), key.clone(), by.clone(), change.clone());
            Box::pin(async move {
                let now = tx.now().await?;
                let Some(before) = lock::<R>(tx, &key).await? else { return Ok(Err(NotChanged::NotFound)) };
                if expected.is_some_and(|expected| expected != before.version()) {
                    return Ok(Err(NotChanged::Stale));
                }
                let mut after = before.clone();
                if let Err(refusal) = change(&mut after, now) {
                    return Ok(Err(NotChanged::Refused(refusal)));
                }
                let columns_equal =
                    R::CHANGED.iter().all(|column| before.value(column) == after.value(column));
                if columns_equal && before.fields() == after.fields() {
                    return Ok(Ok(before));
                }
                after.stamp(now);
                let (before, after) = (Arc::new(before), Arc::new(after));
                update(tx, &*before, &*after).await?;
                R::follow_up(tx, now, Some(before.clone()), Some(after.clone())).await?;
                store.conclude(tx, &by, now, action, Some(&*before), Some(&*after)).await?;
                Ok(Ok((*after).clone()))
            })
        });
        written.await?
    }

    /// Deletes the row with this key, audited. `check` refuses, given the row.
    pub(super) async fn delete_row<R, E, F>(
        &self,
        key: &str,
        expected: Option<i64>,
        by: &Actor,
        check: F,
    ) -> Result<(), NotChanged<E>>
    where
        R: Administered,
        E: Send + 'static,
        F: Fn(&R) -> Result<(), E> + Send + Sync + 'static,
    {
        let (store, key, by, check) = (self.clone(), key.to_owned(), by.clone(), Arc::new(check));
        let written = self.write("administer.delete", move |tx| {
            let (store, key, by, check) = (store.clone(), key.clone(), by.clone(), check.clone());
            Box::pin(async move {
                let now = tx.now().await?;
                let Some(before) = lock::<R>(tx, &key).await? else { return Ok(Err(NotChanged::NotFound)) };
                if expected.is_some_and(|expected| expected != before.version()) {
                    return Ok(Err(NotChanged::Stale));
                }
                if let Err(refusal) = check(&before) {
                    return Ok(Err(NotChanged::Refused(refusal)));
                }
                let before = Arc::new(before);
                R::follow_up(tx, now, Some(before.clone()), None).await?;
                let sql = Sql::new(format!("DELETE FROM {} WHERE {} = ?", R::TABLE, R::KEY));
                tx.conn.execute(sql.bind(before.key())).await?;
                store.conclude(tx, &by, now, "delete", Some(&*before), None).await?;
                Ok(Ok(()))
            })
        });
        written.await?
    }

    /// Audits and announces what a transaction did to a row.
    async fn conclude<R: Administered>(
        &self,
        tx: &mut Tx,
        by: &Actor,
        now: Timestamp,
        action: &'static str,
        before: Option<&R>,
        after: Option<&R>,
    ) -> Result<(), Error> {
        let Some(row) = after.or(before) else { return Ok(()) };
        let (was, is) = (before.map(R::fields), after.map(R::fields));
        let diff = audit_diff(was.as_ref(), is.as_ref()).unwrap_or_else(|| "{}".to_owned());
        let owner = row.owner();
        let done = Done { action, object: (R::KIND, row.key()), owner: &owner, diff };
        self.audit(tx, by, now, done).await?;
        self.announce(tx, &R::changed(before, after)).await.map(drop)
    }
}

/// Reads a row and locks it until the transaction ends.
pub(super) async fn lock<R: Administered>(tx: &mut Tx, key: &str) -> Result<Option<R>, Error> {
    let for_update = tx.dialect().for_update();
    let sql = select::<R>(format_args!(" WHERE {} = ?{for_update}", R::KEY)).bind(key);
    let Some(mut row) = tx.conn.rows::<R>(sql).await?.pop() else { return Ok(None) };
    row.complete(tx).await?;
    Ok(Some(row))
}

async fn update<R: Administered>(tx: &mut Tx, before: &R, after: &R) -> Result<(), Error> {
    let assignments: Vec<_> = R::CHANGED.iter().map(|column| format!("{column} = ?")).collect();
    let mut sql = Sql::new(format!(
        "UPDATE {} SET {} WHERE {} = ? AND {} = ?",
        R::TABLE,
        assignments.join(", "),
        R::KEY,
        R::VERSION
    ));
    for column in R::CHANGED {
        sql.add(after.value(column));
    }
    let changed = tx.conn.execute(sql.bind(before.key()).bind(before.version())).await?;
    if changed == 1 {
        Ok(())
    } else {
        Err(Error::inconsistent(R::TABLE, before.key(), "changed under its lock"))
    }
}
