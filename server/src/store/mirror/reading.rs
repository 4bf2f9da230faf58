//! Reading mirrored rows.

use std::borrow::Cow;

use super::super::Store;
use super::super::columns::{Cells, Unreadable};
use super::super::dialect::Dialect;
use super::super::error::Error;
use super::super::list::{Conditions, Filter, ListRow};
use super::super::sql::{Row, Sql};
use super::column_list;
use super::quarantine::unreadable;
use crate::model::{Cell, Column, ColumnKind, Entity, MirrorRow, Money, TextId, Timestamp};

/// Which rows of a mirror table to list, by creation. Deleted rows are never listed.
#[derive(Debug, Clone)]
pub struct MirrorFilter {
    /// Of which entity.
    pub entity: Entity,
    /// Columns that must equal a text.
    pub equals: Vec<(&'static str, String)>,
    /// A text that must occur in one of these columns.
    pub contains: Option<(&'static [&'static str], String)>,
    /// Pricing rows of programs that a llmage row of this llmid names.
    pub llmid: Option<String>,
    /// Pricing rows of programs that a published llmage row names, without provider-cost programs.
    pub published_only: bool,
    /// Pricing rows by their validity on a day.
    pub validity: Option<(Validity, String)>,
    /// The instant that the day was taken from, if the caller chose it.
    pub at: Option<Timestamp>,
    /// Created at or after.
    pub from: Option<Timestamp>,
    /// Created before.
    pub to: Option<Timestamp>,
    /// Rows too whose newest version cannot be read, of an entity that decides prices.
    pub with_unreadable: bool,
}

impl MirrorFilter {
    /// Every readable row of an entity.
    pub fn of(entity: Entity) -> Self {
        Self {
            entity,
            equals: Vec::new(),
            contains: None,
            llmid: None,
            published_only: false,
            validity: None,
            at: None,
            from: None,
            to: None,
            with_unreadable: false,
        }
    }

    /// Columns that lists are asked for by.
    const fn comparable(entity: Entity) -> &'static [&'static str] {
        match entity {
            Entity::Users => &["orgid", "username", "user_status"],
            Entity::Pricing => &["ppid", "pricing_type"],
            Entity::Llmage => &["llmid", "model", "status", "ppid"],
            Entity::Uapi => &["name"],
        }
    }
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

impl Validity {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Future => "future",
            Self::Expired => "expired",
        }
    }
}

/// Leaves tombstones out. The plus keeps SQLite from taking the index of the sweeps for it, which nearly
/// every row fits; MySQL knows by itself.
const ALIVE: &str = "+deleted = 0";

/// What a row is read from.
fn selected(entity: Entity) -> String {
    format!(
        "{}, created_at, sync_version, cached_at, CASE WHEN {} THEN 1 ELSE 0 END",
        column_list(entity),
        unreadable(entity)
    )
}

fn select(entity: Entity) -> Sql<'static> {
    Sql::new(format!("SELECT {} FROM {} WHERE {ALIVE}", selected(entity), entity.table()))
}

/// Columns with an index of their own, in the order of creation or of a few rows each.
const INDEXED: [&str; 5] = ["orgid", "username", "ppid", "llmid", "model"];

impl ListRow<MirrorFilter> for MirrorRow {
    fn table(filter: &MirrorFilter) -> &'static str {
        filter.entity.table()
    }

    fn columns(filter: &MirrorFilter, _dialect: Dialect) -> String {
        selected(filter.entity)
    }

    fn read(filter: &MirrorFilter, row: &Row) -> Result<Self, Error> {
        read(filter.entity, row)
    }
}

impl Filter for MirrorFilter {
    type Row = MirrorRow;
    type Place = (Timestamp, TextId);

    fn name(&self) -> &'static str {
        self.entity.as_str()
    }

    fn place(&self, row: &MirrorRow) -> Self::Place {
        (row.created_at, row.id.clone())
    }

    fn declare<'a>(&'a self, conditions: &mut Conditions<'a>) {
        conditions.unnamed(Sql::new(format!(" AND {ALIVE}")));
        if self.entity.decides_prices() && !self.with_unreadable {
            conditions.unnamed(Sql::new(format!(" AND NOT ({})", unreadable(self.entity))));
        }
        let named = |wanted: &str| self.equals.iter().any(|(column, _)| *column == wanted);
        for column in Self::comparable(self.entity).iter().filter(|column| !named(column)) {
            conditions.equal(column, None);
        }
        for (column, value) in &self.equals {
            conditions.equal(column, Some(value));
        }
        // A filter that the entity does not have is an error of the database, and never ignored.
        if self.entity == Entity::Users || self.contains.is_some() {
            let text = self.contains.as_ref().map(|(_, text)| text.as_str());
            conditions.special("q", text, || self.containing());
        }
        if self.entity == Entity::Pricing || self.has_pricing_filter() {
            self.declare_pricing(conditions);
        }
        conditions.created(self.from, self.to);
    }

    /// That of the order where no filter has one of its own: for a page of a row or two SQLite would sort the whole
    /// table. Of a person's name few have the same, of which no database is sure.
    fn index(&self) -> Option<Cow<'static, str>> {
        let named = |wanted: &str| self.equals.iter().any(|(column, _)| *column == wanted);
        let index = if named("username") {
            "username"
        } else if self.llmid.is_some() || INDEXED.iter().any(|column| named(column)) {
            return None;
        } else {
            "created"
        };
        Some(format!("{}_{index}", self.entity.table()).into())
    }

    fn counting_index(&self) -> Option<Cow<'static, str>> {
        None
    }
}

impl MirrorFilter {
    fn containing(&self) -> Sql<'_> {
        let mut sql = Sql::new("");
        let Some((columns, text)) = &self.contains else { return sql };
        let pattern = format!("%{}%", text.replace('!', "!!").replace('%', "!%").replace('_', "!_"));
        for (i, column) in columns.iter().enumerate() {
            sql.push(if i == 0 { " AND (" } else { " OR " });
            // Folded on both sides, because the two kinds of database differ in what LIKE folds.
            sql.push(&format!("LOWER({column}) LIKE LOWER(?) ESCAPE '!'")).add(pattern.clone());
        }
        sql.push(")");
        sql
    }

    fn has_pricing_filter(&self) -> bool {
        self.llmid.is_some() || self.published_only || self.validity.is_some()
    }

    fn declare_pricing<'a>(&'a self, conditions: &mut Conditions<'a>) {
        let dialect = conditions.dialect();
        conditions.special("through llmid", self.llmid.as_deref(), || {
            let through = "SELECT ppid FROM llmage_cache WHERE llmid = ?";
            Sql::new(format!(" AND ppid IN ({through} AND {ALIVE})")).bind(self.llmid.as_deref())
        });
        conditions.special("published only", self.published_only.then_some(""), || {
            // As a value and not as EXISTS, which MariaDB answers by reading all models for every list. Left to
            // itself, SQLite would read all that are not deleted for every row.
            let index = dialect.walking("llmage_cache_ppid");
            Sql::new(format!(
                " AND (SELECT 1 FROM llmage_cache m{index} WHERE m.ppid = pricing_cache.ppid \
                 AND m.status = 'published' AND m.deleted = 0 LIMIT 1) = 1 \
                 AND (pricing_belong IS NULL OR pricing_belong <> 'provider')"
            ))
        });
        // The day itself is not named: today's ends, and a walk through the list must not end with it.
        let (validity, day) = self.validity.as_ref().map(|(validity, day)| (*validity, day.as_str())).unzip();
        conditions.special("validity", validity.map(Validity::as_str), || match validity {
            Some(Validity::Future) => Sql::new(" AND enabled_date > ?").bind(day),
            Some(Validity::Expired) => Sql::new(" AND expired_date <= ?").bind(day),
            _ => Sql::new(
                " AND (enabled_date IS NULL OR enabled_date <= ?) AND (expired_date IS NULL OR expired_date > ?)",
            )
            .bind(day)
            .bind(day),
        });
        conditions.cursor_only("at", self.at);
    }
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
    /// A row that is not deleted, by the upstream's id.
    pub async fn mirror_row(&self, entity: Entity, id: &str) -> Result<Option<MirrorRow>, Error> {
        let mut sql = select(entity).bind(id);
        sql.push(" AND id = ?");
        self.fetch_optional(sql).await?.map(|row| read(entity, &row)).transpose()
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
            ..MirrorFilter::of(Entity::Pricing)
        };
        let mut sql = select(Entity::Pricing);
        Conditions::of(&filter, self.dialect()).push_to(&mut sql, None);
        let unreadable = unreadable(Entity::Pricing);
        sql.push(&format!(
            " ORDER BY CASE WHEN enabled_date IS NULL AND {unreadable} THEN 0 ELSE 1 END, enabled_date DESC, id DESC \
             LIMIT 1"
        ));
        self.fetch_optional(sql).await?.map(|row| read(Entity::Pricing, &row)).transpose()
    }
}
