//! Rows whose newest version cannot be read. `sync_quarantine` keeps that version; while it is above the row's own
//! `sync_version`, the row is unreadable. What could be read of it is written under the version before, so that the
//! same version, once it can be read, still counts as newer.

use super::super::columns::push_overwrite;
use super::super::dialect::Dialect;
use super::super::error::Error;
use super::super::sql::Sql;
use super::super::{Store, Tx};
use super::{Change, Op, RowWriter, add_cell};
use crate::model::{Cell, Entity, TextId, Timestamp};

/// A row of the feed that could not be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Its id, or what stands for one.
    pub id: String,
    /// Its version, 0 if unknown.
    pub version: i64,
    /// What is wrong with it.
    pub error: String,
    /// The row as received, cut to a bound.
    pub text: String,
}

/// What could be read of a row that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partial {
    /// Its id.
    pub id: TextId,
    /// Its version.
    pub version: i64,
    /// When upstream created it, where the feed says so.
    pub created_at: Option<Timestamp>,
    /// One per [`Entity::columns`]; `None` where it could not be read.
    pub cells: Vec<Option<Cell>>,
}

/// The condition that a row of the entity's table is unreadable.
pub(super) fn unreadable(entity: Entity) -> String {
    let table = entity.table();
    // As a value, because databases take an EXISTS apart into a join that reads more. No version is below -1.
    format!(
        "COALESCE((SELECT q.version FROM sync_quarantine q WHERE q.entity_type = '{entity}' \
         AND q.entity_id = {table}.id), -2) > {table}.sync_version"
    )
}

impl Store {
    /// How many rows of an entity are unreadable, counting no further than `cap`; with those of which no version was ever
    /// read, which are there as tombstones of no version.
    pub async fn unreadable_rows(&self, entity: Entity, cap: i64) -> Result<i64, Error> {
        let sql = Sql::new(format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM sync_quarantine q JOIN {} t ON t.id = q.entity_id \
             WHERE q.entity_type = ? AND (t.deleted = 0 OR t.sync_version < 0) AND q.version > t.sync_version \
             LIMIT ?) counted",
            entity.table()
        ));
        self.fetch_one(sql.bind(entity.as_str()).bind(cap)).await?.int(0)
    }
}

impl RowWriter {
    /// Keeps a row that cannot be read, with why, and what could be read of it; unless something newer is there.
    pub(super) async fn set_aside(
        &self,
        tx: &mut Tx,
        row: &Quarantined,
        partial: Option<&Partial>,
    ) -> Result<(), Error> {
        let Ok(id) = TextId::parse(&row.id) else { return self.quarantine(tx, row, row.version).await };
        // Older than every version, a deletion changes nothing, but locks the row and tells a sweep that it is there.
        let seen = [Change { id: id.clone(), version: -1, op: Op::Delete }];
        let write = match partial {
            Some(partial) => self.upsert_partial(tx.dialect(), partial),
            None => self.upsert(tx.dialect(), &seen),
        };
        tx.conn.execute(write).await?;
        let (table, entity) = (self.entity.table(), self.entity);
        let known = Sql::new(format!(
            "SELECT t.sync_version, q.version FROM {table} t \
             LEFT JOIN sync_quarantine q ON q.entity_type = '{entity}' AND q.entity_id = t.id WHERE t.id = ?"
        ));
        let known = tx.conn.fetch_one(known.bind(id.as_str())).await?;
        let (current, quarantined) = (known.int(0)?, known.opt_int(1)?.unwrap_or(-1));
        if partial.is_some() || row.version > 0 {
            let newest = row.version > current && row.version >= quarantined;
            if !newest {
                return Ok(());
            }
            if partial.is_none() {
                self.forget_dates(tx, &id).await?;
            }
            return self.quarantine(tx, row, row.version).await;
        }
        self.forget_dates(tx, &id).await?;
        // A row that does not tell its version casts doubt on the one that is there.
        if quarantined > current {
            return self.quarantine(tx, row, quarantined).await;
        }
        if current >= 0 {
            let doubt = Sql::new(format!("UPDATE {table} SET sync_version = ? WHERE id = ?"));
            tx.conn.execute(doubt.bind(current - 1).bind(id.as_str())).await?;
        }
        self.quarantine(tx, row, current.max(0)).await
    }

    /// Of a row that cannot be read at all it is not known either for which days it counts: where it decides prices it
    /// stands for any of them.
    async fn forget_dates(&self, tx: &mut Tx, id: &TextId) -> Result<(), Error> {
        if !self.entity.decides_prices() {
            return Ok(());
        }
        let table = self.entity.table();
        let sql =
            Sql::new(format!("UPDATE {table} SET enabled_date = NULL, expired_date = NULL WHERE id = ?"));
        tx.conn.execute(sql.bind(id.as_str())).await.map(drop)
    }

    /// What cannot be read is unknown; but where it decides prices, the row counts for nothing, and what it said before
    /// tells which prices that concerns. The days are no part of that: another row must not win by days that have passed.
    fn upsert_partial<'a>(&self, dialect: Dialect, partial: &'a Partial) -> Sql<'a> {
        let mut sql = self.insert(1);
        sql.add(partial.id.as_str());
        for cell in &partial.cells {
            add_cell(&mut sql, cell.as_ref().unwrap_or(&Cell::Null));
        }
        self.add_sync_columns(&mut sql, partial.created_at, partial.version.saturating_sub(1), false);
        let kept = |name: &str, cell: &Option<Cell>| {
            cell.is_none()
                && self.entity.decides_prices()
                && !["enabled_date", "expired_date"].contains(&name)
        };
        let columns = self.entity.columns().iter().zip(&partial.cells);
        let columns =
            columns.filter(|(column, cell)| !kept(column.name, cell)).map(|(column, _)| column.name);
        self.push_update(&mut sql, dialect, ">=", columns);
        sql
    }

    async fn quarantine(&self, tx: &mut Tx, row: &Quarantined, version: i64) -> Result<(), Error> {
        let mut sql = Sql::new(
            "INSERT INTO sync_quarantine (entity_type, entity_id, version, error_msg, row_text, created_at) VALUES ",
        );
        sql.push_placeholders(6);
        sql.add(self.entity.as_str()).add(row.id.as_str()).add(version).add(row.error.as_str());
        sql.add(row.text.as_str()).add(self.now);
        let overwritten = ["version", "error_msg", "row_text", "created_at"];
        push_overwrite(&mut sql, tx.dialect(), "entity_type, entity_id", &overwritten);
        tx.conn.execute(sql).await.map(drop)
    }
}
