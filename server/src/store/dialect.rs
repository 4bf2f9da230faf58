//! Every difference between the two kinds of database.

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

    /// The statement that shows how a query would run.
    pub const fn explain(self) -> &'static str {
        match self {
            Self::MySql => "EXPLAIN FORMAT=TRADITIONAL ",
            Self::Sqlite => "EXPLAIN QUERY PLAN ",
        }
    }
}
