//! The mirror tables. Their columns are listed in `model::mirror`; every statement here is made
//! from that list.

mod quarantine;

use super::cache_events::Changed;
use super::columns::{Cells, Unreadable};
use super::dialect::Dialect;
use super::error::Error;
use super::leases::Lease;
use super::sql::{Arg, Row, Sql};
use super::sync_state::fenced;
use super::{Store, Tx};
use crate::model::{Cell, Column, ColumnKind, Entity, MirrorRow, Money, TextId, Timestamp};
use quarantine::unreadable;
pub use quarantine::{Partial, Quarantined};

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

/// Which rows of a mirror table to list. Deleted rows are never listed.
#[derive(Debug, Clone, Default)]
pub struct MirrorFilter {
    /// Columns that must equal a text; the names come from [`Entity::columns`].
    pub equals: Vec<(&'static str, String)>,
    /// A text that must occur in one of these columns.
    pub contains: Option<(&'static [&'static str], String)>,
    /// Pricing rows of programs that a llmage row of this llmid names.
    pub llmid: Option<String>,
    /// Pricing rows of programs that a published llmage row names, without provider-cost programs.
    pub published_only: bool,
    /// Pricing rows by their validity on a day.
    pub validity: Option<(Validity, String)>,
    /// Created at or after.
    pub from: Option<Timestamp>,
    /// Created before.
    pub to: Option<Timestamp>,
    /// Continue after this position.
    pub after: Option<(Timestamp, String)>,
    /// Rows too whose newest version cannot be read, of an entity that decides prices.
    pub with_unreadable: bool,
    /// Oldest first instead of newest first.
    pub ascending: bool,
    /// How many rows at most.
    pub limit: i64,
}

/// Where a day lies in a pricing row's validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// enabled_date <= day < expired_date.
    Current,
    /// Not yet.
    Future,
    /// No longer.
    Expired,
}

fn column_list(entity: Entity) -> String {
    entity.columns().iter().fold(String::from("id"), |list, c| list + ", " + c.name)
}

/// Leaves tombstones out. The plus keeps SQLite from taking the index of the sweeps for it, which nearly
/// every row fits; MySQL knows by itself.
const ALIVE: &str = "+deleted = 0";

fn select<'a>(entity: Entity) -> Sql<'a> {
    select_from(entity, entity.table())
}

fn select_from<'a>(entity: Entity, table: &str) -> Sql<'a> {
    let columns = column_list(entity);
    let unreadable = unreadable(entity);
    Sql::new(format!(
        "SELECT {columns}, created_at, sync_version, cached_at, CASE WHEN {unreadable} THEN 1 ELSE 0 END \
         FROM {table} WHERE {ALIVE}"
    ))
}

/// Columns with an index of their own, in the order of creation or of a few rows each.
const INDEXED: [&str; 4] = ["orgid", "username", "ppid", "llmid"];

/// The table to list, with the index of its order where no filter has one of its own: for a page of a row or two SQLite
/// would sort the whole table. Of a person's name few have the same, of which no database is sure.
fn table_by(entity: Entity, filter: &MirrorFilter, dialect: Dialect) -> String {
    let table = entity.table();
    let named = |wanted: &str| filter.equals.iter().any(|(column, _)| *column == wanted);
    let index = if named("username") {
        "username"
    } else if filter.llmid.is_some() || INDEXED.iter().any(|column| named(column)) {
        return table.to_owned();
    } else {
        "created"
    };
    format!("{table}{}", dialect.walking(&format!("{table}_{index}")))
}

fn read(entity: Entity, row: &Row) -> Result<MirrorRow, Error> {
    let mut cells = Cells::of(row);
    let mut read = || {
        Ok(MirrorRow {
            id: cells.next("id")?,
            cells: entity
                .columns()
                .iter()
                .map(|column| read_cell(&mut cells, column))
                .collect::<Result<_, _>>()?,
            created_at: cells.next("created_at")?,
            version: cells.next("sync_version")?,
            cached_at: cells.next("cached_at")?,
            unreadable: cells.next("unreadable")?,
        })
    };
    read().map_err(|error: Unreadable| {
        error.of_row(entity.table(), || row.text(0).unwrap_or_else(|_| "?".to_owned()))
    })
}

fn read_cell(cells: &mut Cells<'_>, column: &Column) -> Result<Cell, Unreadable> {
    Ok(match column.kind {
        ColumnKind::Money => cells.next::<Option<Money>>(column.name)?.map(|money| Cell::Int(money.nanos())),
        _ => cells.next::<Option<String>>(column.name)?.map(|text| Cell::Text(text.into())),
    }
    .unwrap_or(Cell::Null))
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
                    let end = Sql::new(
                        "UPDATE sync_state SET snapshot = 0, last_snapshot_time = ? \
                         WHERE entity_type = ? AND entity_id = '' AND fencing_token = ?",
                    );
                    fenced(tx, end.bind(now).bind(entity.as_str()).bind(lease.token)).await?;
                    return Ok(0);
                }
                let fence = Sql::new(
                    "UPDATE sync_state SET updated_at = ? \
                     WHERE entity_type = ? AND entity_id = '' AND fencing_token = ?",
                );
                fenced(tx, fence.bind(now).bind(entity.as_str()).bind(lease.token)).await?;
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

    /// A row that is not deleted, by the upstream's id.
    pub async fn mirror_row(&self, entity: Entity, id: &str) -> Result<Option<MirrorRow>, Error> {
        let mut sql = select(entity).bind(id);
        sql.push(" AND id = ?");
        self.fetch_optional(sql).await?.map(|row| read(entity, &row)).transpose()
    }

    /// Rows by creation, newest first unless the filter says otherwise.
    pub async fn mirror_rows(&self, entity: Entity, filter: &MirrorFilter) -> Result<Vec<MirrorRow>, Error> {
        self.fetch_all(list(entity, filter, self.dialect()))
            .await?
            .iter()
            .map(|row| read(entity, row))
            .collect()
    }

    /// How many rows a filter finds, counting no further than `cap`.
    pub async fn mirror_count(&self, entity: Entity, filter: &MirrorFilter, cap: i64) -> Result<i64, Error> {
        let mut sql =
            Sql::new(format!("SELECT COUNT(*) FROM (SELECT 1 FROM {} WHERE {ALIVE}", entity.table()));
        push_conditions(&mut sql, entity, filter, self.dialect());
        push_times(&mut sql, filter, false);
        sql.push(" LIMIT ?) counted").add(cap);
        self.fetch_one(sql).await?.int(0)
    }

    /// The pricing row of a program that is valid on a day (`YYYY-MM-DD`): the one enabled last. One that cannot be read,
    /// not even the day from which it counts, goes before all others: it may stand for any of them.
    pub async fn pricing_on(
        &self,
        ppid: &str,
        day: &str,
        published_only: bool,
    ) -> Result<Option<MirrorRow>, Error> {
        let filter = MirrorFilter {
            equals: vec![("ppid", ppid.to_owned())],
            validity: Some((Validity::Current, day.to_owned())),
            published_only,
            with_unreadable: true,
            ..MirrorFilter::default()
        };
        let mut sql = select(Entity::Pricing);
        push_conditions(&mut sql, Entity::Pricing, &filter, self.dialect());
        let unreadable = unreadable(Entity::Pricing);
        sql.push(&format!(
            " ORDER BY CASE WHEN enabled_date IS NULL AND {unreadable} THEN 0 ELSE 1 END, enabled_date DESC, id DESC \
             LIMIT 1"
        ));
        self.fetch_optional(sql).await?.map(|row| read(Entity::Pricing, &row)).transpose()
    }
}

pub(super) fn list(entity: Entity, filter: &MirrorFilter, dialect: Dialect) -> Sql<'_> {
    let mut sql = select_from(entity, &table_by(entity, filter, dialect));
    push_conditions(&mut sql, entity, filter, dialect);
    push_times(&mut sql, filter, filter.after.is_some());
    let (compare, order) = if filter.ascending { (">", "ASC") } else { ("<", "DESC") };
    if let Some((time, id)) = &filter.after {
        dialect.push_place(&mut sql, compare, *time, id.as_str());
    }
    sql.push(&format!(" ORDER BY created_at {order}, id {order} LIMIT ?")).add(filter.limit);
    sql
}

fn push_conditions<'a>(sql: &mut Sql<'a>, entity: Entity, filter: &'a MirrorFilter, dialect: Dialect) {
    if entity.decides_prices() && !filter.with_unreadable {
        sql.push(&format!(" AND NOT ({})", unreadable(entity)));
    }
    for (column, value) in &filter.equals {
        sql.push(&format!(" AND {column} = ?")).add(value.as_str());
    }
    if let Some((columns, text)) = &filter.contains {
        let pattern = format!("%{}%", text.replace('!', "!!").replace('%', "!%").replace('_', "!_"));
        for (i, column) in columns.iter().enumerate() {
            // Folded on both sides, because the two kinds of database differ in what LIKE folds.
            sql.push(&format!(
                "{}LOWER({column}) LIKE LOWER(?) ESCAPE '!'",
                if i == 0 { " AND (" } else { " OR " }
            ));
            sql.add(Arg::from(pattern.clone()));
        }
        sql.push(")");
    }
    if let Some(llmid) = &filter.llmid {
        sql.push(&format!(" AND ppid IN (SELECT ppid FROM llmage_cache WHERE llmid = ? AND {ALIVE})"))
            .add(llmid.as_str());
    }
    if filter.published_only {
        // As a value and not as EXISTS, which MariaDB answers by reading all models for every list. Left to itself,
        // SQLite would read all that are not deleted for every row.
        let index = dialect.walking("llmage_cache_ppid");
        sql.push(&format!(
            " AND (SELECT 1 FROM llmage_cache m{index} WHERE m.ppid = pricing_cache.ppid \
             AND m.status = 'published' AND m.deleted = 0 LIMIT 1) = 1 \
             AND (pricing_belong IS NULL OR pricing_belong <> 'provider')"
        ));
    }
    if let Some((validity, day)) = &filter.validity {
        let day = day.as_str();
        match validity {
            Validity::Current => {
                sql.push(" AND (enabled_date IS NULL OR enabled_date <= ?)").add(day);
                sql.push(" AND (expired_date IS NULL OR expired_date > ?)").add(day);
            }
            Validity::Future => {
                sql.push(" AND enabled_date > ?").add(day);
            }
            Validity::Expired => {
                sql.push(" AND expired_date <= ?").add(day);
            }
        }
    }
}

/// Bounds the time of creation. Where a list goes on from a place, the plus keeps SQLite from beginning at the bound on
/// that side instead, which would read every page before this one again.
fn push_times(sql: &mut Sql<'_>, filter: &MirrorFilter, from_a_place: bool) {
    let (from, to) = match (from_a_place, filter.ascending) {
        (false, _) => (" AND created_at >= ?", " AND created_at < ?"),
        (true, true) => (" AND +created_at >= ?", " AND created_at < ?"),
        (true, false) => (" AND created_at >= ?", " AND +created_at < ?"),
    };
    for (condition, bound) in [(from, filter.from), (to, filter.to)] {
        if let Some(bound) = bound {
            sql.push(condition).add(bound);
        }
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
        let sql = Sql::new(
            "UPDATE sync_state SET `cursor` = ?, rows_applied = rows_applied + ?, updated_at = ? \
             WHERE entity_type = ? AND entity_id = '' AND fencing_token = ?",
        );
        let sql = sql.bind(cursor.as_str()).bind(applied).bind(now).bind(entity.as_str()).bind(lease.token);
        fenced(tx, sql).await?;
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
