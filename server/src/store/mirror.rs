//! The mirror tables. Their columns are listed in `model::mirror`; every statement here is made
//! from that list.

mod quarantine;
mod reading;

use super::cache_events::Changed;
use super::dialect::Dialect;
use super::error::Error;
use super::leases::Lease;
use super::sql::{Arg, Sql};
use super::sync_state::fenced;
use super::{Store, Tx};
use crate::model::{Cell, Entity, TextId, Timestamp};
pub use quarantine::{Partial, Quarantined};
pub use reading::{MirrorFilter, Validity};

/// Pages of more rows than this tell other instances to drop the whole entity.
const NAMED_ROWS: usize = 100;
/// Rows deleted by one transaction of a sweep.
const SWEEP_SLICE: i64 = 256;
/// Columns after an entity's own: created_at, cached_at, sync_version, generation, deleted.
const SYNC_COLUMNS: &str = "created_at, cached_at, sync_version, generation, deleted";

/// What the feed says about one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The upstream's id.
    pub id: TextId,
    /// The upstream's version; only a newer one is applied.
    pub version: i64,
    /// What to do.
    pub op: Op,
}

/// What to do with a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Write it.
    Upsert {
        /// When upstream created it, where the feed says so.
        created_at: Option<Timestamp>,
        /// One per [`Entity::columns`].
        cells: Vec<Cell>,
    },
    /// Leave a tombstone.
    Delete,
}

/// A page of the feed, parsed.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// What to apply, in the feed's order.
    pub changes: Vec<Change>,
    /// What could not be understood.
    pub quarantined: Vec<Quarantined>,
    /// What could be read of it nevertheless.
    pub partial: Vec<Partial>,
    /// Where the next page starts. `None` for pulls by id, which never move the cursor.
    pub cursor: Option<String>,
}

/// How many rows of a page were applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageCounts {
    /// Rows written.
    pub upserts: u64,
    /// Tombstones written.
    pub deletes: u64,
    /// Rows quarantined.
    pub quarantined: u64,
}

fn column_list(entity: Entity) -> String {
    entity.columns().iter().fold(String::from("id"), |list, c| list + ", " + c.name)
}

impl Store {
    /// Applies a page: rows whose version is newer, tombstones, and, under a lease, the cursor. One
    /// transaction, which also tells other instances.
    pub async fn apply_page(
        &self,
        entity: Entity,
        lease: Option<&Lease>,
        page: Page,
    ) -> Result<PageCounts, Error> {
        let (store, lease, page) = (self.clone(), lease.cloned(), std::sync::Arc::new(page));
        self.write("mirror.apply_page", move |tx| {
            let (store, lease, page) = (store.clone(), lease.clone(), page.clone());
            Box::pin(async move { apply(&store, tx, entity, lease, &page).await })
        })
        .await
    }

    /// Ends a snapshot: rows that it did not touch become tombstones, unless they are more than
    /// `max_ratio` of all. Gives the number of rows deleted.
    pub async fn finish_snapshot(&self, entity: Entity, lease: &Lease, max_ratio: f64) -> Result<u64, Error> {
        let generation = match self.sync_state(entity).await? {
            Some(state) => state.generation,
            None => return Err(Error::LeaseLost),
        };
        let (total, gone) = self.sweep_counts(entity, generation).await?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "a ratio of row counts, compared with a configured ratio"
        )]
        if gone > 0 && gone as f64 > max_ratio * total as f64 {
            return Err(Error::SweepRefused { gone, total });
        }
        let mut swept = 0;
        loop {
            let slice = self.sweep_slice(entity, lease.clone(), generation).await?;
            if slice == 0 {
                return Ok(swept);
            }
            swept += slice;
        }
    }

    async fn sweep_counts(&self, entity: Entity, generation: i64) -> Result<(i64, i64), Error> {
        let table = entity.table();
        let all = self.fetch_one(Sql::new(format!("SELECT COUNT(*) FROM {table} WHERE deleted = 0"))).await?;
        let sql = Sql::new(format!("SELECT COUNT(*) FROM {table} WHERE generation < ? AND deleted = 0"));
        let gone = self.fetch_one(sql.bind(generation)).await?;
        Ok((all.int(0)?, gone.int(0)?))
    }

    /// Deletes one slice of a sweep; the last one, which finds nothing left, ends the snapshot.
    async fn sweep_slice(&self, entity: Entity, lease: Lease, generation: i64) -> Result<u64, Error> {
        let store = self.clone();
        self.write("mirror.sweep", move |tx| {
            let (store, lease) = (store.clone(), lease.clone());
            Box::pin(async move {
                let table = entity.table();
                let now = tx.now().await?;
                let sql = Sql::new(format!(
                    "SELECT id FROM {table} WHERE generation < ? AND deleted = 0 ORDER BY generation, id LIMIT ?"
                ));
                let rows = tx.conn.fetch_all(sql.bind(generation).bind(SWEEP_SLICE)).await?;
                if rows.is_empty() {
                    let end = Sql::new("snapshot = 0, last_snapshot_time = ?").bind(now);
                    fenced(tx, &lease, end).await?;
                    return Ok(0);
                }
                fenced(tx, &lease, Sql::new("updated_at = ?").bind(now)).await?;
                let ids = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
                let mut sql = Sql::new(format!(
                    "UPDATE {table} SET deleted = 1, cached_at = ?, generation = ? WHERE generation < ? AND id IN "
                ))
                .bind(now)
                .bind(generation)
                .bind(generation);
                sql.push_in(ids.iter().map(String::as_str));
                let count = tx.conn.execute(sql).await?;
                store.announce(tx, &Changed::mirrored(entity, ids)).await?;
                Ok(count)
            })
        })
        .await
    }

    /// Forgets up to `slice` tombstones older than `before`; how many.
    pub async fn purge_tombstones(
        &self,
        entity: Entity,
        before: Timestamp,
        slice: i64,
    ) -> Result<u64, Error> {
        self.write("mirror.purge", move |tx| {
            Box::pin(async move {
                let table = entity.table();
                let sql =
                    Sql::new(format!("SELECT id FROM {table} WHERE deleted = 1 AND cached_at < ? LIMIT ?"));
                let rows = tx.conn.fetch_all(sql.bind(before).bind(slice)).await?;
                if rows.is_empty() {
                    return Ok(0);
                }
                let ids = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
                let mut sql = Sql::new(format!("DELETE FROM {table} WHERE deleted = 1 AND id IN "));
                sql.push_in(ids);
                tx.conn.execute(sql).await
            })
        })
        .await
    }
}

async fn apply(
    store: &Store,
    tx: &mut Tx,
    entity: Entity,
    lease: Option<Lease>,
    page: &Page,
) -> Result<PageCounts, Error> {
    let now = tx.now().await?;
    let applied = i64::try_from(page.changes.len()).unwrap_or(i64::MAX);
    if let (Some(lease), Some(cursor)) = (&lease, &page.cursor) {
        let progress = Sql::new("`cursor` = ?, rows_applied = rows_applied + ?, updated_at = ?");
        fenced(tx, lease, progress.bind(cursor.as_str()).bind(applied).bind(now)).await?;
    }
    let sql = Sql::new("SELECT generation FROM sync_state WHERE entity_type = ? AND entity_id = ''");
    let generation = match tx.conn.fetch_optional(sql.bind(entity.as_str())).await? {
        Some(row) => row.int(0)?,
        None => 1,
    };
    let mut counts = PageCounts { quarantined: page.quarantined.len() as u64, ..PageCounts::default() };
    for change in &page.changes {
        match change.op {
            Op::Upsert { .. } => counts.upserts += 1,
            Op::Delete => counts.deletes += 1,
        }
    }
    let written = RowWriter { entity, generation, now };
    if !page.changes.is_empty() {
        tx.conn.execute(written.upsert(tx.dialect(), &page.changes)).await?;
    }
    for row in &page.quarantined {
        let of_row = |partial: &&Partial| partial.id.as_str() == row.id && partial.version == row.version;
        written.set_aside(tx, row, page.partial.iter().find(of_row)).await?;
    }
    if let Some(changed) = page.changed(entity) {
        store.announce(tx, &changed).await?;
    }
    Ok(counts)
}

impl Page {
    /// What caches must drop.
    pub fn changed(&self, entity: Entity) -> Option<Changed> {
        let ids = self.changes.iter().map(|change| change.id.as_str());
        let ids = ids.chain(self.quarantined.iter().map(|row| row.id.as_str()));
        match ids.clone().count() {
            0 => None,
            1..=NAMED_ROWS => Some(Changed::mirrored(entity, ids.map(str::to_owned).collect())),
            _ => Some(Changed::whole(entity)),
        }
    }
}

/// How rows of one page are written.
#[derive(Clone, Copy)]
struct RowWriter {
    entity: Entity,
    generation: i64,
    now: Timestamp,
}

impl RowWriter {
    /// Writes the rows whose version is newer than what is there.
    fn upsert<'a>(&self, dialect: Dialect, changes: &'a [Change]) -> Sql<'a> {
        let mut sql = self.insert(changes.len());
        for change in changes {
            sql.add(change.id.as_str());
            let created_at = match &change.op {
                Op::Upsert { created_at, cells } => {
                    for cell in cells {
                        add_cell(&mut sql, cell);
                    }
                    *created_at
                }
                Op::Delete => {
                    for _ in self.entity.columns() {
                        add_cell(&mut sql, &Cell::Null);
                    }
                    None
                }
            };
            self.add_sync_columns(&mut sql, created_at, change.version, change.op == Op::Delete);
        }
        let columns = self.entity.columns().iter().map(|column| column.name);
        self.push_update(&mut sql, dialect, ">", columns);
        sql
    }

    fn insert<'a>(&self, rows: usize) -> Sql<'a> {
        let (table, columns) = (self.entity.table(), column_list(self.entity));
        let mut sql = Sql::new(format!("INSERT INTO {table} ({columns}, {SYNC_COLUMNS}) VALUES "));
        sql.push_rows(rows, self.entity.columns().len() + 6);
        sql
    }

    fn add_sync_columns(
        &self,
        sql: &mut Sql<'_>,
        created_at: Option<Timestamp>,
        version: i64,
        deleted: bool,
    ) {
        // Only users have a creation time upstream; other rows keep the time they were first seen.
        let fallback = if self.entity == Entity::Users { Timestamp::default() } else { self.now };
        sql.add(created_at.unwrap_or(fallback)).add(self.now).add(version).add(self.generation).add(deleted);
    }

    /// What becomes of a row that is there: these columns of it, if the incoming version compares so with its own.
    fn push_update(
        &self,
        sql: &mut Sql<'_>,
        dialect: Dialect,
        compare: &str,
        columns: impl Iterator<Item = &'static str>,
    ) {
        let table = self.entity.table();
        // MySQL assigns from left to right and later assignments see earlier ones: sync_version, which
        // all others compare with, comes last.
        let newer = format!("{} {compare} {table}.sync_version", dialect.incoming("sync_version"));
        sql.push(&dialect.on_conflict("id"));
        let created = (self.entity == Entity::Users).then_some("created_at");
        for column in columns.chain(created).chain(["cached_at", "deleted"]) {
            let incoming = dialect.incoming(column);
            sql.push(&format!("{column} = CASE WHEN {newer} THEN {incoming} ELSE {table}.{column} END, "));
        }
        let mark = dialect.incoming("generation");
        sql.push(&format!(
            "generation = CASE WHEN {mark} > {table}.generation THEN {mark} ELSE {table}.generation END, "
        ));
        let version = dialect.incoming("sync_version");
        sql.push(&format!("sync_version = CASE WHEN {newer} THEN {version} ELSE {table}.sync_version END"));
    }
}

fn add_cell<'a>(sql: &mut Sql<'a>, cell: &'a Cell) {
    match cell {
        Cell::Null => sql.add(Arg::Null),
        Cell::Text(text) => sql.add(&**text),
        Cell::Int(n) => sql.add(*n),
    };
}
