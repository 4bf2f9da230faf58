//! Keyset lists: the rows of a table that pass a filter, in the order of a key, page by page. A filter declares each of
//! its conditions once; the SQL, the cursors and the tests of query plans are made from that.

use std::borrow::Cow;

use super::Store;
use super::columns::{Column, FromRow as _, TableRow};
use super::dialect::Dialect;
use super::error::Error;
use super::sql::{Arg, Row, Sql};
use crate::model::Timestamp;

/// Which rows of a table to list. An absent condition lets everything pass.
pub trait Filter: Clone + Send + Sync {
    /// A row of the list: a row type of one table, or what [`ListRow`] is implemented for.
    type Row: ListRow<Self>;
    /// The sort key of a row: where the list continues after it.
    type Place: Place;

    /// The list's name in cursors.
    fn name(&self) -> &'static str;

    /// The sort key of a row.
    fn place(&self, row: &Self::Row) -> Self::Place;

    /// Declares every condition, in the order in which cursors name them.
    fn declare<'a>(&'a self, conditions: &mut Conditions<'a>);

    /// The columns of the sort key.
    fn order(&self) -> &'static [&'static str] {
        &["created_at", "id"]
    }

    /// The index that serves the list, in its order; `None` leaves the choice to the database. Left to themselves,
    /// databases sort a table that has just grown rather than walk its index, or walk a long list in hope of a full page
    /// soon.
    fn index(&self) -> Option<Cow<'static, str>>;

    /// The index that serves to count the list, whose order does not matter then.
    fn counting_index(&self) -> Option<Cow<'static, str>> {
        self.index()
    }

    /// The filter with what takes a query of its own to find out; `None` if nothing can pass.
    fn resolve(&self, _store: &Store) -> impl Future<Output = Result<Option<Self>, Error>> + Send {
        std::future::ready(Ok(Some(self.clone())))
    }
}

/// How the rows of a list are selected and read.
pub trait ListRow<F>: Sized + Send {
    /// The table.
    fn table(filter: &F) -> &'static str;

    /// What to select.
    fn columns(filter: &F, dialect: Dialect) -> String;

    /// Reads what was selected.
    fn read(filter: &F, row: &Row) -> Result<Self, Error>;
}

/// Every column of the table.
impl<F, R: TableRow + Send> ListRow<F> for R {
    fn table(_filter: &F) -> &'static str {
        R::TABLE
    }

    fn columns(_filter: &F, _dialect: Dialect) -> String {
        R::COLUMNS.to_owned()
    }

    fn read(_filter: &F, row: &Row) -> Result<Self, Error> {
        R::from_row(row)
    }
}

/// The part of a list to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window<P> {
    /// Continue after this place.
    pub after: Option<P>,
    /// Oldest first instead of newest first.
    pub ascending: bool,
    /// How many rows at most.
    pub limit: i64,
}

impl<P> Window<P> {
    /// The newest rows.
    pub fn newest(limit: i64) -> Self {
        Self { after: None, ascending: false, limit }
    }

    /// The oldest rows.
    pub fn oldest(limit: i64) -> Self {
        Self { after: None, ascending: true, limit }
    }
}

/// The sort key of a row.
pub trait Place: Send + Sync {
    /// Appends the condition that a row's sort key, of the columns in `order`, compares like this (`<`, `<=`, `>`, `>=`) to
    /// this one.
    fn push<'a>(&'a self, sql: &mut Sql<'a>, compare: &str, order: &[&str], dialect: Dialect);
}

impl<Id: Column + Send + Sync> Place for (Timestamp, Id) {
    fn push<'a>(&'a self, sql: &mut Sql<'a>, compare: &str, order: &[&str], dialect: Dialect) {
        dialect.push_place(sql, compare, (self.0, order.get(1).unwrap_or(&"id")), self.1.arg());
    }
}

/// The conditions of a filter.
pub struct Conditions<'a> {
    dialect: Dialect,
    order: &'static [&'static str],
    /// The names of all conditions, the absent ones included.
    #[cfg(test)]
    pub(super) declared: Vec<&'static str>,
    /// Those that cursors name.
    pub(super) named: Vec<(&'static str, Arg<'a>)>,
    tests: Vec<Test<'a>>,
}

enum Test<'a> {
    /// How the time that begins the sort key compares to a value.
    Time(&'static str, &'static str, Arg<'a>),
    Other(Sql<'a>),
}

impl<'a> Conditions<'a> {
    pub(super) fn of(filter: &'a impl Filter, dialect: Dialect) -> Self {
        let mut conditions = Self {
            dialect,
            order: filter.order(),
            #[cfg(test)]
            declared: Vec::new(),
            named: Vec::new(),
            tests: Vec::new(),
        };
        filter.declare(&mut conditions);
        conditions
    }

    /// Which kind of database they are for.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// A column equals a text.
    pub fn equal(&mut self, column: &'static str, value: Option<&'a str>) {
        self.compare(column, column, "=", value);
    }

    /// A column compares like this to a value.
    pub fn compare(
        &mut self,
        name: &'static str,
        column: &str,
        compare: &str,
        value: Option<impl Into<Arg<'a>>>,
    ) {
        if let Some(value) = self.declare(name, value) {
            let sql = Sql::new(format!(" AND {column} {compare} ?")).bind(value);
            self.tests.push(Test::Other(sql));
        }
    }

    /// The time of creation, which begins the sort key, is in a range.
    pub fn created(&mut self, from: Option<Timestamp>, to: Option<Timestamp>) {
        self.begins_with("created_at", from, to);
    }

    /// The time in this column, which begins the sort key, is in a range.
    pub fn begins_with(&mut self, column: &'static str, from: Option<Timestamp>, to: Option<Timestamp>) {
        for (name, compare, bound) in [("from", ">=", from), ("to", "<", to)] {
            let test = self.declare(name, bound).map(|bound| Test::Time(column, compare, bound));
            self.tests.extend(test);
        }
    }

    /// A condition in SQL of its own.
    pub fn special(&mut self, name: &'static str, value: Option<&'a str>, sql: impl FnOnce() -> Sql<'a>) {
        if self.declare(name, value).is_some() {
            self.tests.push(Test::Other(sql()));
        }
    }

    /// A condition that every row must meet for every caller: cursors do not name it.
    pub fn unnamed(&mut self, sql: Sql<'a>) {
        self.tests.push(Test::Other(sql));
    }

    /// The sort key compares like this to a place. Cursors do not name it.
    pub fn place<P: Place>(&mut self, compare: &str, place: Option<&'a P>) {
        if let Some(place) = place {
            let mut sql = Sql::new("");
            place.push(&mut sql, compare, self.order, self.dialect);
            self.unnamed(sql);
        }
    }

    /// What cursors name, though no row is tested for it.
    pub fn cursor_only(&mut self, name: &'static str, value: Option<impl Into<Arg<'a>>>) {
        self.named.extend(value.map(|value| (name, value.into())));
    }

    fn declare(&mut self, name: &'static str, value: Option<impl Into<Arg<'a>>>) -> Option<Arg<'a>> {
        #[cfg(test)]
        self.declared.push(name);
        let value = value?.into();
        self.named.push((name, value.clone()));
        Some(value)
    }

    /// Appends them to a statement. `continued` says in which direction it goes on from a place: the plus keeps SQLite
    /// from beginning at the bound on that side instead, which would read every page before this one again.
    pub(super) fn push_to(self, sql: &mut Sql<'a>, continued: Option<bool>) {
        for test in self.tests {
            match test {
                Test::Time(column, compare, bound) => {
                    let behind = continued == Some(compare == ">=");
                    let plus = if behind { "+" } else { "" };
                    sql.push(&format!(" AND {plus}{column} {compare} ?")).add(bound);
                }
                Test::Other(test) => sql.append(test),
            }
        }
    }
}

impl Store {
    /// The rows of a list.
    pub async fn list<F: Filter>(&self, filter: &F, window: &Window<F::Place>) -> Result<Vec<F::Row>, Error> {
        let rows = self.select_list(filter, &F::Row::columns(filter, self.dialect()), window).await?;
        rows.iter().map(|row| F::Row::read(filter, row)).collect()
    }

    /// The rows of a list, of which something else is selected.
    pub(super) async fn select_list<F: Filter>(
        &self,
        filter: &F,
        columns: &str,
        window: &Window<F::Place>,
    ) -> Result<Vec<Row>, Error> {
        let Some(filter) = filter.resolve(self).await? else { return Ok(Vec::new()) };
        self.fetch_all(page(&filter, columns, window, self.dialect())).await
    }

    /// How many rows a list has, counting no further than `cap`.
    pub async fn count<F: Filter>(&self, filter: &F, cap: i64) -> Result<i64, Error> {
        let Some(filter) = filter.resolve(self).await? else { return Ok(0) };
        let (table, index) = (F::Row::table(&filter), hint(self.dialect(), filter.counting_index()));
        let mut sql = Sql::new(format!("SELECT COUNT(*) FROM (SELECT 1 FROM {table}{index} WHERE 1 = 1"));
        Conditions::of(&filter, self.dialect()).push_to(&mut sql, None);
        sql.push(" LIMIT ?) counted").add(cap);
        self.fetch_one(sql).await?.int(0)
    }

    /// The conditions by which cursors tell the list of a filter from others: each by its name and its value.
    pub fn named_conditions(&self, filter: &impl Filter) -> Vec<(&'static str, Vec<u8>)> {
        let named = Conditions::of(filter, self.dialect()).named;
        named.into_iter().map(|(name, value)| (name, value.into_bytes())).collect()
    }
}

fn page<'a, F: Filter>(
    filter: &'a F,
    columns: &str,
    window: &'a Window<F::Place>,
    dialect: Dialect,
) -> Sql<'a> {
    let (table, index) = (F::Row::table(filter), hint(dialect, filter.index()));
    let (compare, direction) = if window.ascending { (">", "ASC") } else { ("<", "DESC") };
    let mut sql = Sql::new(format!("SELECT {columns} FROM {table}{index} WHERE 1 = 1"));
    Conditions::of(filter, dialect).push_to(&mut sql, window.after.as_ref().map(|_| window.ascending));
    if let Some(place) = &window.after {
        place.push(&mut sql, compare, filter.order(), dialect);
    }
    for (i, column) in filter.order().iter().enumerate() {
        sql.push(if i == 0 { " ORDER BY " } else { ", " }).push(&format!("{column} {direction}"));
    }
    sql.push(" LIMIT ?").add(window.limit);
    sql
}

fn hint(dialect: Dialect, index: Option<Cow<'static, str>>) -> String {
    index.map_or_else(String::new, |index| dialect.walking(&index))
}
