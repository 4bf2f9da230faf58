use std::fmt;

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is not reachable, the pool is exhausted, or the connection broke.
    #[error("the database is not available: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// A deadlock; the transaction may run again.
    #[error("the transaction lost against another one: {0}")]
    Contended(#[source] sqlx::Error),
    /// Another transaction kept a row locked for as long as one waits; the transaction may run again.
    #[error("another transaction keeps a row locked: {0}")]
    Locked(#[source] sqlx::Error),
    /// A unique key holds such a row already.
    #[error("such a row is there already")]
    Duplicate(#[source] sqlx::Error),
    /// What a change refers to does not exist.
    #[error("{0} not found")]
    Missing(&'static str),
    /// What is stored contradicts what this program writes.
    #[error("table {table}, row {row}: {what}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The row's key, as text.
        row: String,
        /// What is wrong with it.
        what: String,
    },
    /// The lease was lost to another instance.
    #[error("another instance has taken over")]
    LeaseLost,
    /// A stored secret cannot be opened.
    #[error("a stored secret of {0} cannot be opened with the configured encryption keys")]
    Sealed(&'static str),
    /// A stored secret was sealed with an encryption key that this instance was not given (yet).
    #[error(
        "a secret in {0} is sealed with an encryption key that this instance does not have; see auth.previous_encryption_keys"
    )]
    UnknownKey(&'static str),
    /// A sweep would delete more than is allowed.
    #[error("the snapshot would delete {gone} of {total} rows, more than sync.max_delete_ratio allows")]
    SweepRefused {
        /// How many rows it would delete.
        gone: i64,
        /// How many there are.
        total: i64,
    },
    /// Anything else that the database refused.
    #[error("the database refused a statement: {0}")]
    Refused(#[source] sqlx::Error),
}

impl Error {
    pub(super) fn encode(error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self::Refused(sqlx::Error::Encode(error))
    }

    /// The database has not answered for so long.
    pub(super) fn silent(timeout: std::time::Duration) -> Self {
        let what = format!("no answer for {timeout:?}");
        Self::Unavailable(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, what)))
    }

    /// No host of the database can be used.
    pub(super) fn away(why: &str) -> Self {
        Self::Unavailable(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::NotConnected, why)))
    }

    /// The server said that it committed, and what was written is not there.
    pub(super) fn vanished() -> Self {
        let what = "COMMIT was answered, but what it should have committed is not there";
        Self::Unavailable(sqlx::Error::Io(std::io::Error::other(what)))
    }

    pub(super) fn inconsistent(table: &'static str, row: impl fmt::Display, what: impl fmt::Display) -> Self {
        Self::Inconsistent { table, row: row.to_string(), what: what.to_string() }
    }

    /// Whether running the whole transaction again may succeed at once.
    pub fn is_contended(&self) -> bool {
        matches!(self, Self::Contended(_) | Self::Locked(_))
    }

    /// Whether another transaction kept a row locked.
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Locked(_))
    }

    /// Whether the answer is not the server's word on the statement: the connection ended, or a proxy says so of its own
    /// way to the server.
    pub(super) fn is_connection_lost(&self) -> bool {
        let lost = [1053, 1927, 3169, 4031, 9001, 9002];
        match self.mysql_number() {
            Some(number) => lost.contains(&number) || (2000..=2999).contains(&number),
            None => self.is_unavailable(),
        }
    }

    /// Takes it that the transaction is gone, as its savepoint is.
    pub(super) fn into_lost(self) -> Self {
        match self {
            Self::Refused(error) => Self::Contended(error),
            other => other,
        }
    }

    /// Whether the database could not be reached.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// Whether there is no room: a full disk or a full table.
    pub(super) fn is_full(&self) -> bool {
        let Self::Unavailable(error) = self else { return false };
        match mysql_number(error) {
            Some(1021 | 1114) => true,
            // An error of the file or of the engine, which names the system's reason.
            Some(1026 | 1030) => error.to_string().contains("No space left"),
            // Full; and the log's index, whose file is given its room before it is written.
            _ => sqlite_code(error).is_some_and(|code| code & 0xff == 13 || code == 4874),
        }
    }

    /// Whether one table is full, and others may still take rows.
    pub(super) fn is_full_table(&self) -> bool {
        self.mysql_number() == Some(1114)
    }

    /// The vendor's error number of a MySQL-compatible server, if it is such an error.
    pub(super) fn mysql_number(&self) -> Option<u16> {
        match self {
            Self::Refused(e)
            | Self::Contended(e)
            | Self::Locked(e)
            | Self::Duplicate(e)
            | Self::Unavailable(e) => mysql_number(e),
            _ => None,
        }
    }
}

fn mysql_number(error: &sqlx::Error) -> Option<u16> {
    let sqlx::Error::Database(e) = error else { return None };
    number_of(&**e)
}

/// The vendor's error number of a MySQL-compatible server, if it is such an error.
pub(super) fn number_of(error: &dyn sqlx::error::DatabaseError) -> Option<u16> {
    error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().map(sqlx::mysql::MySqlDatabaseError::number)
}

/// The extended result code of SQLite, if it is such an error.
fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    let sqlx::Error::Database(e) = error else { return None };
    e.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
    e.code()?.parse().ok()
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => return Self::Unavailable(error),
            _ => {}
        }
        match mysql_number(&error) {
            // Deadlock; Galera answers so at COMMIT too, and group replication by a number of its own. A row that changed
            // since the transaction's snapshot. TiDB's write conflict, and its schema that changed meanwhile.
            Some(1020 | 1213 | 3101 | 8028 | 9007) => return Self::Contended(error),
            // Lock wait time-out; MySQL's number for who does not want to wait is 3572, MariaDB's the same as for who did.
            Some(1205 | 3572) => return Self::Locked(error),
            Some(1062) => return Self::Duplicate(error),
            // Too many connections, access denied, unknown database, Galera's node without a quorum, shutdown, read
            // only, locked for a backup, killed, closed for inactivity; an error within COMMIT, as Galera answers where it lost
            // its quorum meanwhile, or of group replication there; disk full, a file that cannot be written, the engine's own
            // trouble, table full; statements cut off for their time; parts of TiDB that are away, busy or late.
            Some(
                1021 | 1026 | 1030 | 1040 | 1044 | 1045 | 1047 | 1049 | 1053 | 1114 | 1180 | 1203 | 1223
                | 1290 | 1317 | 1836 | 1927 | 1969 | 3024 | 3100 | 3169 | 4031 | 9001 | 9002 | 9003 | 9005,
            ) => {
                return Self::Unavailable(error);
            }
            // Numbers of clients: a proxy tells so of its own way to the server.
            Some(2000..=2999) => {
                return Self::Unavailable(error);
            }
            _ => {}
        }
        match sqlite_code(&error) {
            // Busy and locked, with their extended codes in the upper bytes.
            Some(code) if matches!(code & 0xff, 5 | 6) => Self::Contended(error),
            Some(1555 | 2067) => Self::Duplicate(error),
            // Read-only, I/O, full, cannot open: the file or its disk is at fault, not the statement.
            Some(code) if matches!(code & 0xff, 8 | 10 | 13 | 14) => Self::Unavailable(error),
            _ => Self::Refused(error),
        }
    }
}

#[cfg(test)]
mod tests;

/// Failures as a database makes them, for simulated ones.
#[cfg(test)]
impl Error {
    pub(crate) fn outage() -> Self {
        Self::Unavailable(sqlx::Error::PoolTimedOut)
    }

    pub(crate) fn deadlock() -> Self {
        Self::Contended(sqlx::Error::BeginFailed)
    }

    pub(crate) fn locked() -> Self {
        Self::Locked(sqlx::Error::BeginFailed)
    }

    pub(crate) fn duplicate() -> Self {
        Self::Duplicate(sqlx::Error::BeginFailed)
    }

    pub(crate) fn refusal() -> Self {
        Self::Refused(sqlx::Error::BeginFailed)
    }
}
