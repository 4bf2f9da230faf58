//! Every difference between the two kinds of database.

use std::fmt::Write as _;

use super::sql::{Arg, Sql};
use crate::model::Timestamp;

/// Which kind a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// MySQL, MariaDB and what speaks their protocol.
    MySql,
    /// Embedded SQLite.
    Sqlite,
}

impl Dialect {
    /// The name shown in /health.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MySql => "mysql",
            Self::Sqlite => "sqlite",
        }
    }

    /// The database's clock: microseconds since the epoch (SQLite's counts milliseconds).
    pub(super) const fn now(self) -> &'static str {
        match self {
            Self::MySql => "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)",
            Self::Sqlite => "CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000",
        }
    }

    /// Ends a SELECT that locks its rows. SQLite has one writer, which holds the whole database.
    pub(super) const fn for_update(self) -> &'static str {
        match self {
            Self::MySql => " FOR UPDATE",
            Self::Sqlite => "",
        }
    }

    /// Names the index that a look-up of many keys takes. Left to itself, MariaDB estimates by dives into every
    /// index that begins with the same column, for each of the keys, which costs more than the look-up.
    pub(super) fn by_index(self, index: &str) -> String {
        match self {
            Self::MySql => format!(" FORCE INDEX ({index})"),
            Self::Sqlite => String::new(),
        }
    }

    /// Names the index that a list is read by.
    pub(super) fn walking(self, index: &str) -> String {
        match self {
            Self::MySql => format!(" FORCE INDEX ({index})"),
            // Its primary key is the table itself.
            Self::Sqlite if index == "PRIMARY" => " NOT INDEXED".to_owned(),
            Self::Sqlite => format!(" INDEXED BY {index}"),
        }
    }

    /// Ends a SELECT that locks its rows at once or fails.
    pub(super) const fn for_update_nowait(self) -> &'static str {
        match self {
            Self::MySql => " FOR UPDATE NOWAIT",
            Self::Sqlite => "",
        }
    }

    /// Starts a transaction that will write.
    pub(super) const fn begin(self) -> &'static str {
        match self {
            Self::MySql => "START TRANSACTION",
            Self::Sqlite => "BEGIN IMMEDIATE",
        }
    }

    /// Starts a transaction whose writes are sent as one text with its COMMIT (`conn::Tx::commit_after`): whatever runs
    /// in that text runs in a transaction, and the savepoint tells whether it is still this one.
    pub(super) const fn begin_guarded(self) -> &'static str {
        match self {
            Self::MySql => "SET autocommit = 0;SAVEPOINT booking",
            Self::Sqlite => self.begin(),
        }
    }

    /// What a MySQL session is set back to after a guarded transaction: otherwise its next read would begin another one.
    pub(super) const END_GUARDED: &'static str = "SET autocommit = 1";

    /// Undoes a transaction, guarded or not.
    pub(super) const fn rollback(self) -> &'static str {
        match self {
            Self::MySql => "ROLLBACK;SET autocommit = 1",
            Self::Sqlite => "ROLLBACK",
        }
    }

    /// Starts a transaction whose reads all see one state.
    pub(super) const fn begin_snapshot(self) -> &'static [&'static str] {
        match self {
            Self::MySql => &[
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
                "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
            ],
            Self::Sqlite => &["BEGIN DEFERRED"],
        }
    }

    /// The start of an INSERT that leaves rows alone whose key is there already.
    pub(super) const fn insert_ignore(self) -> &'static str {
        match self {
            Self::MySql => "INSERT IGNORE INTO",
            Self::Sqlite => "INSERT OR IGNORE INTO",
        }
    }

    /// The clause that turns an INSERT into an upsert on its primary key.
    pub(super) fn on_conflict(self, key: &str) -> String {
        match self {
            Self::MySql => " ON DUPLICATE KEY UPDATE ".to_owned(),
            Self::Sqlite => format!(" ON CONFLICT ({key}) DO UPDATE SET "),
        }
    }

    /// The value that the INSERT of an upsert brings for a column.
    pub(super) fn incoming(self, column: &str) -> String {
        match self {
            Self::MySql => format!("VALUES({column})"),
            Self::Sqlite => format!("excluded.{column}"),
        }
    }

    /// Appends the condition that a row's place in the order of creation compares like this (`<`, `<=`, `>`) to another.
    /// Either kind begins to read its index at exactly that place, however many rows have one time: SQLite compares
    /// pairs so, MySQL and MariaDB do not.
    pub(super) fn push_place<'a>(
        self,
        sql: &mut Sql<'a>,
        compare: &str,
        (time, id_column): (Timestamp, &str),
        id: impl Into<Arg<'a>>,
    ) {
        self.push_pair(sql, ["created_at", id_column], compare, [time.into(), id.into()]);
    }

    /// The same of any pair of columns that an index has one after the other.
    pub(super) fn push_pair<'a>(
        self,
        sql: &mut Sql<'a>,
        columns: [&str; 2],
        compare: &str,
        [a, b]: [Arg<'a>; 2],
    ) {
        self.push_key(sql, &columns, compare, &[a, b]);
    }

    /// The same of any columns that an index has one after the other.
    pub(super) fn push_key<'a>(self, sql: &mut Sql<'a>, columns: &[&str], compare: &str, values: &[Arg<'a>]) {
        match self {
            Self::MySql => {
                sql.push(" AND ");
                push_expanded(sql, columns, compare, values);
            }
            Self::Sqlite => {
                let marks = vec!["?"; values.len()].join(", ");
                sql.push(&format!(" AND ({}) {compare} ({marks})", columns.join(", ")));
                for value in values {
                    sql.add(value.clone());
                }
            }
        }
    }

    /// The operator of a division of integers that drops the remainder.
    pub(super) const fn whole_division(self) -> &'static str {
        match self {
            Self::MySql => "DIV",
            Self::Sqlite => "/",
        }
    }

    /// A number as an integer: MySQL's sums are decimals.
    pub(super) fn integer(self, expression: &str) -> String {
        match self {
            Self::MySql => format!("CAST({expression} AS SIGNED)"),
            Self::Sqlite => expression.to_owned(),
        }
    }

    /// The statement that shows how a query would run.
    pub const fn explain(self) -> &'static str {
        match self {
            Self::MySql => "EXPLAIN FORMAT=TRADITIONAL ",
            Self::Sqlite => "EXPLAIN QUERY PLAN ",
        }
    }
}

/// `(a, b, ...) < (?, ?, ...)` in the form that MySQL finds by an index.
fn push_expanded<'a>(sql: &mut Sql<'a>, columns: &[&str], compare: &str, values: &[Arg<'a>]) {
    let ([column, columns @ ..], [value, values @ ..]) = (columns, values) else { return };
    if columns.is_empty() {
        sql.push(&format!("{column} {compare} ?")).add(value.clone());
        return;
    }
    let strict = compare.trim_end_matches('=');
    sql.push(&format!("({column} {strict} ? OR ({column} = ? AND ")).add(value.clone()).add(value.clone());
    push_expanded(sql, columns, compare, values);
    sql.push("))");
}

/// A value as MySQL reads it in the text of a statement. What could end a quoted text, or be read otherwise in another
/// character set, is written as hexadecimal digits; so nothing that is stored can become a part of a statement.
pub(super) fn write_mysql_literal(value: &Arg<'_>, out: &mut String) {
    let hexadecimal = |bytes: &[u8], out: &mut String| {
        out.push_str("x'");
        for byte in bytes {
            for digit in [byte >> 4, byte & 0xf] {
                out.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
            }
        }
        out.push('\'');
    };
    match value {
        Arg::Null => out.push_str("NULL"),
        // Writing to a string cannot fail.
        Arg::Int(n) => drop(write!(out, "{n}")),
        Arg::Text(text) if text.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'\'' && b != b'\\') => {
            out.push('\'');
            out.push_str(text);
            out.push('\'');
        }
        Arg::Text(text) => {
            out.push_str("_utf8mb4 ");
            hexadecimal(text.as_bytes(), out);
        }
        Arg::Bytes(bytes) => hexadecimal(bytes, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_are_null_in_every_row_are_left_out() {
        let mut sql = Sql::new("");
        for (a, b, c) in [(Some(1_i64), None::<i64>, None), (None, None, Some("x"))] {
            sql.add(a).add(b).add(c);
        }
        assert_eq!(sql.drop_null_columns(3), [true, false, true]);
        sql.push_rows(2, 2);
        assert_eq!(sql.into_mysql_text(), "(1,NULL),(NULL,'x')");
    }

    #[test]
    fn keys_are_compared_column_by_column() {
        let written = |dialect: Dialect, columns: &[&str], compare| {
            let mut sql = Sql::new("");
            let values: Vec<_> = (1..).take(columns.len()).map(Arg::Int).collect();
            dialect.push_key(&mut sql, columns, compare, &values);
            let text = sql.text().to_owned();
            (text, sql.into_mysql_text())
        };
        let (text, filled) = written(Dialect::MySql, &["a", "b"], "<=");
        assert_eq!(text, " AND (a < ? OR (a = ? AND b <= ?))");
        assert_eq!(filled, " AND (a < 1 OR (a = 1 AND b <= 2))");
        let (_, filled) = written(Dialect::MySql, &["a", "b", "c"], ">");
        assert_eq!(filled, " AND (a > 1 OR (a = 1 AND (b > 2 OR (b = 2 AND c > 3))))");
        let (text, filled) = written(Dialect::Sqlite, &["a", "b", "c"], ">");
        assert_eq!(text, " AND (a, b, c) > (?, ?, ?)");
        assert_eq!(filled, " AND (a, b, c) > (1, 2, 3)");
    }

    #[test]
    fn a_value_cannot_end_its_literal() {
        let written = |value: Arg<'_>| {
            let mut out = String::new();
            write_mysql_literal(&value, &mut out);
            out
        };
        assert_eq!(written(Arg::Null), "NULL");
        assert_eq!(written(i64::MIN.into()), "-9223372036854775808");
        assert_eq!(written("plain \"text\" {1: 2}".into()), "'plain \"text\" {1: 2}'");
        assert_eq!(written("".into()), "''");
        assert_eq!(written("it's".into()), "_utf8mb4 x'69742773'");
        assert_eq!(written("\\".into()), "_utf8mb4 x'5c'");
        assert_eq!(written("備".into()), "_utf8mb4 x'e58299'");
        assert_eq!(written("a\nb".into()), "_utf8mb4 x'610a62'");
        assert_eq!(written(Arg::from(&[0u8, 255])), "x'00ff'");
    }
}
