//! A statement with its arguments, and a row, for either kind of database.

use std::borrow::Cow;

use sqlx::mysql::MySqlRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Arguments as _, Row as _, ValueRef as _};

use super::dialect;
use super::error::Error;
use crate::model::{Money, Timestamp};

/// A value bound to a `?`.
#[derive(Debug, Clone, PartialEq)]
pub enum Arg<'a> {
    Null,
    Int(i64),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
}

impl Arg<'_> {
    /// Its bytes: of a number the eight of it, the highest first.
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Null => Vec::new(),
            Self::Int(number) => number.to_be_bytes().to_vec(),
            Self::Text(text) => text.into_owned().into_bytes(),
            Self::Bytes(bytes) => bytes.into_owned(),
        }
    }
}

/// How a statement that changes something travels to MySQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// With its values written out, together with others.
    Text,
    /// Prepared, on its own.
    Prepared,
}

/// SQL text with its arguments. The text is made of literals and dialect parts only; values are
/// always bound.
#[derive(Debug, Clone)]
pub struct Sql<'a> {
    text: Cow<'static, str>,
    args: Vec<Arg<'a>>,
    form: Form,
}

impl<'a> Sql<'a> {
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self { text: text.into(), args: Vec::new(), form: Form::Text }
    }

    /// How it travels with others.
    pub fn sent_as(self, form: Form) -> Self {
        Self { form, ..self }
    }

    /// How it travels with others.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The text with its question marks.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Appends literal SQL.
    pub fn push(&mut self, text: &str) -> &mut Self {
        self.text.to_mut().push_str(text);
        self
    }

    /// Appends another statement's text and arguments.
    pub fn append(&mut self, other: Self) {
        self.text.to_mut().push_str(&other.text);
        self.args.extend(other.args);
    }

    pub fn bind(mut self, arg: impl Into<Arg<'a>>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub fn add(&mut self, arg: impl Into<Arg<'a>>) -> &mut Self {
        self.args.push(arg.into());
        self
    }

    /// Appends `(?, ?, ...)` for an IN list. The list is filled up to a power of two by repeating
    /// its last value, so that few different statements have to be prepared.
    pub fn push_in<T: Into<Arg<'a>>>(&mut self, values: impl IntoIterator<Item = T>) -> &mut Self {
        let start = self.args.len();
        self.args.extend(values.into_iter().map(Into::into));
        let wanted = (self.args.len() - start).max(1).next_power_of_two();
        let last = if self.args.len() == start { Arg::Null } else { self.args[self.args.len() - 1].clone() };
        self.args.resize(start + wanted, last);
        self.push_placeholders(wanted)
    }

    /// Appends `(?, ?, ...)`.
    pub fn push_placeholders(&mut self, count: usize) -> &mut Self {
        let text = self.text.to_mut();
        text.reserve(count * 2 + 2);
        for i in 0..count {
            text.push_str(if i == 0 { "(?" } else { ",?" });
        }
        text.push(')');
        self
    }

    /// Appends `(?, ...),(?, ...)` for a multi-row insert of `rows` rows.
    pub fn push_rows(&mut self, rows: usize, columns: usize) -> &mut Self {
        for i in 0..rows {
            if i > 0 {
                self.push(",");
            }
            self.push_placeholders(columns);
        }
        self
    }

    /// Takes out the arguments of those of so many columns that are NULL in every row; for each column, whether it is
    /// still there.
    pub fn drop_null_columns(&mut self, columns: usize) -> Vec<bool> {
        let mut used = vec![false; columns];
        for (i, arg) in self.args.iter().enumerate() {
            used[i % columns] |= !matches!(arg, Arg::Null);
        }
        let mut left = used.iter().cycle();
        self.args.retain(|_| left.next() == Some(&true));
        used
    }

    pub(super) fn into_mysql(self) -> Result<(Cow<'static, str>, sqlx::mysql::MySqlArguments), Error> {
        let mut args = sqlx::mysql::MySqlArguments::default();
        args.reserve(self.args.len(), self.args.len() * 16);
        for arg in self.args {
            match arg {
                Arg::Null => args.add(None::<i64>),
                Arg::Int(n) => args.add(n),
                Arg::Text(text) => args.add(&*text),
                Arg::Bytes(bytes) => args.add(&*bytes),
            }
            .map_err(Error::encode)?;
        }
        Ok((self.text, args))
    }

    /// The statement with its values written out, as MySQL reads them: several such statements are sent together, which
    /// prepared ones do not.
    pub(super) fn into_mysql_text(self) -> String {
        let mut text = String::with_capacity(self.text.len() + self.args.len() * 16);
        let mut args = self.args.iter();
        // No text of ours holds a question mark that is not a placeholder.
        for (i, part) in self.text.split('?').enumerate() {
            if i > 0 {
                dialect::write_mysql_literal(args.next().unwrap_or(&Arg::Null), &mut text);
            }
            text.push_str(part);
        }
        text
    }

    pub(super) fn into_sqlite(self) -> Result<(Cow<'static, str>, sqlx::sqlite::SqliteArguments), Error> {
        let mut args = sqlx::sqlite::SqliteArguments::default();
        args.reserve(self.args.len(), 0);
        for arg in self.args {
            match arg {
                Arg::Null => args.add(None::<i64>),
                Arg::Int(n) => args.add(n),
                Arg::Text(text) => args.add(text.into_owned()),
                Arg::Bytes(bytes) => args.add(bytes.into_owned()),
            }
            .map_err(Error::encode)?;
        }
        Ok((self.text, args))
    }
}

#[cfg(test)]
impl Sql<'_> {
    /// The same with arguments of its own.
    pub fn kept(&self) -> Sql<'static> {
        let args = self.args.iter().map(|arg| match arg {
            Arg::Null => Arg::Null,
            Arg::Int(n) => Arg::Int(*n),
            Arg::Text(text) => Arg::Text(text.clone().into_owned().into()),
            Arg::Bytes(bytes) => Arg::Bytes(bytes.clone().into_owned().into()),
        });
        Sql { text: self.text.clone(), args: args.collect(), form: self.form }
    }

    /// The same with something in front.
    pub fn after(self, prefix: &str) -> Self {
        Self { text: format!("{prefix}{}", self.text).into(), ..self }
    }
}

impl From<i64> for Arg<'_> {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}

impl From<bool> for Arg<'_> {
    fn from(b: bool) -> Self {
        Self::Int(i64::from(b))
    }
}

impl From<Money> for Arg<'_> {
    fn from(money: Money) -> Self {
        Self::Int(money.nanos())
    }
}

impl From<Timestamp> for Arg<'_> {
    fn from(time: Timestamp) -> Self {
        Self::Int(time.micros())
    }
}

impl<'a> From<&'a str> for Arg<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Arg<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl<'a> From<&'a [u8]> for Arg<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(Cow::Borrowed(bytes))
    }
}

impl From<Vec<u8>> for Arg<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(Cow::Owned(bytes))
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Arg<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Bytes(Cow::Borrowed(bytes))
    }
}

impl<'a, T: Into<Arg<'a>>> From<Option<T>> for Arg<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row of either kind. `columns.rs` reads the columns of tables; these methods are for single values.
pub enum Row {
    MySql(MySqlRow),
    Sqlite(SqliteRow),
}

macro_rules! get {
    ($row:expr, $index:expr, $ty:ty) => {
        match $row {
            // Unchecked: MySQL tells text in a binary collation from VARBINARY by flags that differ
            // between MySQL and MariaDB. The value is checked by its decoder all the same.
            Row::MySql(row) => row.try_get_unchecked::<$ty, usize>($index),
            Row::Sqlite(row) => row.try_get_unchecked::<$ty, usize>($index),
        }
        .map_err(Error::from)
    };
}

impl Row {
    pub fn is_null(&self, index: usize) -> Result<bool, Error> {
        Ok(match self {
            Self::MySql(row) => row.try_get_raw(index)?.is_null(),
            Self::Sqlite(row) => row.try_get_raw(index)?.is_null(),
        })
    }

    pub fn int(&self, index: usize) -> Result<i64, Error> {
        get!(self, index, i64)
    }

    pub fn opt_int(&self, index: usize) -> Result<Option<i64>, Error> {
        get!(self, index, Option<i64>)
    }

    pub fn text(&self, index: usize) -> Result<String, Error> {
        get!(self, index, String)
    }

    pub fn opt_text(&self, index: usize) -> Result<Option<String>, Error> {
        get!(self, index, Option<String>)
    }

    pub fn str(&self, index: usize) -> Result<&str, Error> {
        get!(self, index, &str)
    }

    pub fn bytes(&self, index: usize) -> Result<&[u8], Error> {
        get!(self, index, &[u8])
    }

    pub fn opt_bytes(&self, index: usize) -> Result<Option<&[u8]>, Error> {
        get!(self, index, Option<&[u8]>)
    }

    pub fn time(&self, index: usize) -> Result<Timestamp, Error> {
        self.int(index).map(Timestamp::from_micros)
    }
}
