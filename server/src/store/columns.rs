//! The columns of a table, each declared once: what it is called, and by its type how it is bound and read.

use ipnet::IpNet;

use super::Store;
use super::conn::Conn;
use super::dialect::Dialect;
use super::error::Error;
use super::sql::{Arg, Row, Sql};
use crate::model::{
    ActorKind, AuthMode, CounterKind, Currency, CustomerId, CustomerStatus, GroupId, GroupName, HoldState,
    HoldUse, KeyId, Kind, Mode, Money, ObjectKind, OnStoreFailure, Owner, Reach, RecordId, ReservationState,
    ReservationUse, RevokedReason, Scopes, Secret, SessionKind, TextId, Timestamp, Transno, Uncharged,
    UsageBilling, UserId, UserRole, Username, ZoneName,
};

/// Why a row could not be read.
pub(super) enum Unreadable {
    /// The database's own error.
    Failed(Error),
    /// The value is none that this program writes.
    Value(String),
}

impl From<Error> for Unreadable {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Unreadable {
    fn of_column(self, column: &str) -> Self {
        match self {
            Self::Value(what) => Self::Value(format!("{column}: {what}")),
            failed @ Self::Failed(_) => failed,
        }
    }

    /// The error about a row of this table.
    pub fn of_row(self, table: &'static str, key: impl FnOnce() -> String) -> Error {
        match self {
            Self::Failed(error) => error,
            Self::Value(what) => Error::inconsistent(table, key(), what),
        }
    }
}

/// A value that a column holds.
pub(super) trait Column: Sized {
    /// What is bound for it.
    fn arg(&self) -> Arg<'_>;
    /// Reads the column at this place of a row.
    fn read(row: &Row, index: usize) -> Result<Self, Unreadable>;
}

/// A row as a statement selects it.
pub(super) trait FromRow: Sized {
    fn from_row(row: &Row) -> Result<Self, Error>;
}

/// A row of a table, or of some of its columns. [`columns!`] implements it.
pub(super) trait TableRow: Sized {
    const TABLE: &'static str;
    /// The columns, as SQL lists them.
    const COLUMNS: &'static str;
    const WIDTH: usize;
    /// Reads every column.
    fn read(cells: &mut Cells<'_>) -> Result<Self, Unreadable>;
    /// Reads the key alone, for an error about the row.
    fn key(_cells: &mut Cells<'_>) -> Vec<String> {
        Vec::new()
    }
    /// Binds every column.
    fn bind<'a>(&'a self, sql: &mut Sql<'a>);
}

impl<R: TableRow> FromRow for R {
    fn from_row(row: &Row) -> Result<Self, Error> {
        R::read(&mut Cells::of(row))
            .map_err(|error| error.of_row(R::TABLE, || R::key(&mut Cells::of(row)).join("/")))
    }
}

/// A row, and one expression that is selected after its columns.
impl<R: TableRow, C: Column> FromRow for (R, C) {
    fn from_row(row: &Row) -> Result<Self, Error> {
        let extra = C::read(row, R::WIDTH).map_err(|error| error.of_row(R::TABLE, || "?".to_owned()))?;
        Ok((R::from_row(row)?, extra))
    }
}

/// Reads the first column of a row of this table.
pub(super) fn first<C: Column>(table: &'static str, row: &Row) -> Result<C, Error> {
    C::read(row, 0).map_err(|error| error.of_row(table, || "?".to_owned()))
}

/// The columns of a row, read one after another.
pub(super) struct Cells<'r> {
    row: &'r Row,
    next: usize,
}

impl<'r> Cells<'r> {
    pub fn of(row: &'r Row) -> Self {
        Self { row, next: 0 }
    }

    /// Reads the next column; its name is for the error.
    pub fn next<C: Column>(&mut self, name: &str) -> Result<C, Unreadable> {
        self.next += 1;
        C::read(self.row, self.next - 1).map_err(|error| error.of_column(name))
    }

    /// The next column as text. Its type is that of a field.
    pub fn next_shown<R, C: Column + ToString>(&mut self, _field: fn(&R) -> &C) -> String {
        self.next("").map_or_else(|_| "?".to_owned(), |value: C| value.to_string())
    }
}

/// Declares the columns of a row type: `columns!(Row in "table": key fields; other fields)`. A field has the name of its
/// column, or is followed by it: `field = "column"`. A field may be a struct of columns: `field: Struct { field, field }`.
/// Fields that are no columns come last, with a value: `; field: value`.
macro_rules! columns {
    ($row:ident in $table:literal:
        $($key:ident $(= $key_name:literal)?),*;
        $($field:ident $(= $name:literal)? $(: $group:ident { $($sub:ident $(= $sub_name:literal)?),+ })?),+ $(,)?
        $(; $($other:ident: $value:expr),+)?
    ) => {
        impl $crate::store::columns::TableRow for $row {
            const TABLE: &'static str = $table;
            const COLUMNS: &'static str = columns!(@list
                $(columns!(@names $key $(= $key_name)?),)*
                $(columns!(@names $field $(= $name)? $(: $group { $($sub $(= $sub_name)?),+ })?)),+);
            const WIDTH: usize = 0 $(+ [stringify!($key)].len())* $(+ columns!(@width $($($sub)+)?))+;

            fn read(
                cells: &mut $crate::store::columns::Cells<'_>,
            ) -> Result<Self, $crate::store::columns::Unreadable> {
                Ok(Self {
                    $($key: columns!(@read cells $key $(= $key_name)?),)*
                    $($field: columns!(@read cells
                        $field $(= $name)? $(: $group { $($sub $(= $sub_name)?),+ })?),)+
                    $($($other: $value),+)?
                })
            }

            columns!(@key $($key)*);

            fn bind<'a>(&'a self, sql: &mut $crate::store::sql::Sql<'a>) {
                use $crate::store::columns::Column as _;
                $(columns!(@bind sql self.$key);)*
                $(columns!(@bind sql self.$field $($($sub)+)?);)+
            }
        }
    };
    (@list $first:expr $(, $rest:expr)*) => { concat!($first $(, ", ", $rest)*) };
    (@names $field:ident) => { stringify!($field) };
    (@names $field:ident = $name:literal) => { $name };
    (@names $field:ident: $group:ident { $($sub:ident $(= $name:literal)?),+ }) => {
        columns!(@list $(columns!(@names $sub $(= $name)?)),+)
    };
    (@width) => { 1 };
    (@width $($sub:ident)+) => { [$(stringify!($sub)),+].len() };
    (@read $cells:ident $field:ident: $group:ident { $($sub:ident $(= $name:literal)?),+ }) => {
        $group { $($sub: columns!(@read $cells $sub $(= $name)?)),+ }
    };
    (@read $cells:ident $($field:tt)+) => { $cells.next(columns!(@names $($field)+))? };
    (@key) => {};
    (@key $($key:ident)+) => {
        fn key(cells: &mut $crate::store::columns::Cells<'_>) -> Vec<String> {
            vec![$(cells.next_shown(|row: &Self| &row.$key)),+]
        }
    };
    (@bind $sql:ident $row:ident.$field:ident) => { $sql.add($row.$field.arg()) };
    (@bind $sql:ident $row:ident.$field:ident $($sub:ident)+) => { $($sql.add($row.$field.$sub.arg());)+ };
}
pub(super) use columns;

/// `SELECT` every column of a row type `FROM` its table; what follows is the rest of the statement.
pub(super) fn select<R: TableRow>(rest: impl std::fmt::Display) -> Sql<'static> {
    Sql::new(format!("SELECT {} FROM {}{rest}", R::COLUMNS, R::TABLE))
}

/// The same with an expression after the columns.
pub(super) fn select_with<R: TableRow>(expression: &str, rest: impl std::fmt::Display) -> Sql<'static> {
    Sql::new(format!("SELECT {}, {expression} FROM {}{rest}", R::COLUMNS, R::TABLE))
}

/// Inserts rows; `insert` is the statement up to the name of the table.
pub(super) fn insert<'a, R: TableRow>(insert: &str, rows: &'a [R]) -> Sql<'a> {
    let mut sql = Sql::new(format!("{insert} {} ({}) VALUES ", R::TABLE, R::COLUMNS));
    sql.push_rows(rows.len(), R::WIDTH);
    for row in rows {
        row.bind(&mut sql);
    }
    sql
}

/// Inserts rows of values that are bound already. On MySQL it names no column that is NULL in all of them: there a third of a
/// transaction's time goes into reading its text.
pub(super) fn sparse_insert<'a>(
    table: &str,
    columns: &[&str],
    mut values: Sql<'a>,
    rows: usize,
    dialect: Dialect,
) -> Sql<'a> {
    let used = match dialect {
        Dialect::MySql => values.drop_null_columns(columns.len()),
        // It keeps statements prepared: the fewer different ones, the better.
        Dialect::Sqlite => vec![true; columns.len()],
    };
    values.push("INSERT INTO ").push(table).push(" (");
    let mut width = 0;
    for (column, _) in columns.iter().zip(used).filter(|(_, used)| *used) {
        values.push(if width == 0 { "" } else { ", " }).push(column);
        width += 1;
    }
    values.push(") VALUES ").push_rows(rows, width);
    values
}

/// Inserts rows, and where the key is there already overwrites these columns of the row.
pub(super) fn upsert<'a, R: TableRow>(
    rows: &'a [R],
    dialect: Dialect,
    key: &str,
    overwritten: &[&str],
) -> Sql<'a> {
    let mut sql = insert("INSERT INTO", rows);
    push_overwrite(&mut sql, dialect, key, overwritten);
    sql
}

/// Ends an INSERT: where the key is there already, these columns of the row are overwritten.
pub(super) fn push_overwrite(sql: &mut Sql<'_>, dialect: Dialect, key: &str, columns: &[&str]) {
    sql.push(&dialect.on_conflict(key));
    for (i, column) in columns.iter().enumerate() {
        sql.push(if i == 0 { "" } else { ", " });
        sql.push(&format!("{column} = {}", dialect.incoming(column)));
    }
}

impl Store {
    pub(super) async fn rows<T: FromRow>(&self, sql: Sql<'_>) -> Result<Vec<T>, Error> {
        self.fetch_all(sql).await?.iter().map(T::from_row).collect()
    }

    pub(super) async fn row<T: FromRow>(&self, sql: Sql<'_>) -> Result<Option<T>, Error> {
        self.fetch_optional(sql).await?.as_ref().map(T::from_row).transpose()
    }
}

impl Conn {
    pub(super) async fn rows<T: FromRow>(&mut self, sql: Sql<'_>) -> Result<Vec<T>, Error> {
        self.fetch_all(sql).await?.iter().map(T::from_row).collect()
    }
}

impl<C: Column> Column for Option<C> {
    fn arg(&self) -> Arg<'_> {
        self.as_ref().map_or(Arg::Null, C::arg)
    }

    fn read(row: &Row, index: usize) -> Result<Self, Unreadable> {
        if row.is_null(index)? { Ok(None) } else { C::read(row, index).map(Some) }
    }
}

/// A key without a customer is one of the platform. Nothing else concludes that from a NULL.
impl Column for Reach {
    fn arg(&self) -> Arg<'_> {
        self.customer().map_or(Arg::Null, CustomerId::arg)
    }

    fn read(row: &Row, index: usize) -> Result<Self, Unreadable> {
        Ok(Option::<CustomerId>::read(row, index)?.map_or(Self::Everything, Self::Customer))
    }
}

impl Column for Owner {
    fn arg(&self) -> Arg<'_> {
        self.as_str().into()
    }

    fn read(row: &Row, index: usize) -> Result<Self, Unreadable> {
        match row.str(index)? {
            "" => Ok(Self::Platform),
            id => value(CustomerId::parse(id).map(Self::Customer)),
        }
    }
}

/// How values of these types are bound, and read at a place of a row.
macro_rules! column {
    ($($type:ty: |$value:ident| $arg:expr, |$row:ident, $index:ident| $read:expr;)+) => { $(
        impl Column for $type {
            fn arg(&self) -> Arg<'_> {
                let $value = self;
                $arg.into()
            }

            fn read($row: &Row, $index: usize) -> Result<Self, Unreadable> {
                $read
            }
        }
    )+ };
}

fn value<T, E: ToString>(parsed: Result<T, E>) -> Result<T, Unreadable> {
    parsed.map_err(|error| Unreadable::Value(error.to_string()))
}

column! {
    i64: |number| *number, |row, index| Ok(row.int(index)?);
    bool: |flag| *flag, |row, index| Ok(row.int(index)? != 0);
    String: |text| text.as_str(), |row, index| Ok(row.text(index)?);
    Vec<u8>: |bytes| bytes.as_slice(), |row, index| Ok(row.bytes(index)?.to_vec());
    [u8; 32]: |hash| hash, |row, index| value(row.bytes(index)?.try_into().map_err(|_| "is not 32 bytes"));
    RecordId: |id| id.as_bytes(),
        |row, index| value(uuid::Uuid::from_slice(row.bytes(index)?).map(RecordId).map_err(|_| "is not 16 bytes"));
    Money: |money| *money, |row, index| value(Money::from_nanos(row.int(index)?).ok_or("out of range"));
    Timestamp: |time| *time, |row, index| Ok(row.time(index)?);
    Scopes: |scopes| scopes.to_string(),
        |row, index| value(Scopes::parse(row.str(index)?).map_err(|name| format!("unknown scope {name}")));
    GroupName: |name| name.as_str(), |row, index| Ok(GroupName::stored(row.str(index)?));
    ZoneName: |zone| zone.as_str(), |row, index| Ok(ZoneName::stored(row.str(index)?));
    Secret: |secret| secret.expose(), |row, index| Ok(Secret::new(row.str(index)?));
    Vec<IpNet>: |networks| networks.iter().map(IpNet::to_string).collect::<Vec<_>>().join(","),
        |row, index| {
            let networks = row.str(index)?.split(',').filter(|text| !text.is_empty());
            value(networks.map(|text| text.parse().map_err(|_| "holds no network")).collect::<Result<_, _>>())
        };
}

/// Ids: text that fails to parse with a reason.
macro_rules! id_columns {
    ($($type:ty),+) => { column! { $(
        $type: |id| id.as_str(), |row, index| value(<$type>::parse(row.str(index)?));
    )+ } };
}
id_columns!(CustomerId, GroupId, KeyId, TextId, Transno, UserId, Username);

/// Words of a closed set.
macro_rules! word_columns {
    ($($type:ty),+) => { column! { $(
        $type: |word| word.as_str(), |row, index| value(<$type>::parse(row.str(index)?).ok_or("unknown value"));
    )+ } };
}
word_columns!(
    ActorKind,
    AuthMode,
    Currency,
    CustomerStatus,
    HoldState,
    Kind,
    Mode,
    ObjectKind,
    OnStoreFailure,
    RevokedReason,
    SessionKind,
    UsageBilling,
    UserRole,
    CounterKind,
    HoldUse,
    ReservationState,
    ReservationUse,
    Uncharged
);
