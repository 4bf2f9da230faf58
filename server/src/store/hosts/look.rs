//! One look at a host: whether it answers, and whether it can be written to.

use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _};

/// How long a look may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);

/// Galera's node that has no quorum, or is not in step yet.
const NOT_READY: &str = "it is not ready (wsrep_ready is OFF)";

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Look {
    /// It can be written to.
    Writable,
    /// A replica, or a primary that takes no writes for now: why.
    ReadOnly(&'static str),
    /// It answers, but lets nobody in: wrong password, too many connections, no such database.
    Refusing(String),
    /// Nothing can be done with it.
    Away(String),
    /// No answer in time.
    Silent,
}

/// Looks at one host, over a connection that it keeps.
#[derive(Default)]
pub(super) struct Lookout {
    conn: Option<MySqlConnection>,
}

impl Lookout {
    /// Looks at the host. A connection that broke is replaced first: the host may have been restarted.
    pub async fn look(&mut self, options: &MySqlConnectOptions) -> Look {
        tokio::time::timeout(TIMEOUT, self.look_at_length(options)).await.unwrap_or(Look::Silent)
    }

    async fn look_at_length(&mut self, options: &MySqlConnectOptions) -> Look {
        // Taken out: a look that is given up half-way leaves its answer on the way.
        if let Some(mut conn) = self.conn.take()
            && let Ok(look) = ask(&mut conn).await
        {
            self.conn = Some(conn);
            return look;
        }
        let mut conn = match options.connect().await {
            Ok(conn) => conn,
            Err(error) => return of_error(&error),
        };
        match ask(&mut conn).await {
            Ok(look) => {
                self.conn = Some(conn);
                look
            }
            Err(error) => of_error(&error),
        }
    }
}

/// A server that knows nothing of a setting is taken to be able to do what it is about.
async fn ask(conn: &mut MySqlConnection) -> Result<Look, sqlx::Error> {
    let is_off = |value: &str| value.eq_ignore_ascii_case("OFF") || value == "0";
    if value(conn, "SHOW VARIABLES LIKE 'wsrep_on'").await?.is_some_and(|on| !is_off(&on)) {
        if value(conn, "SHOW STATUS LIKE 'wsrep_ready'").await?.is_some_and(|ready| is_off(&ready)) {
            return Ok(Look::Away(NOT_READY.to_owned()));
        }
        let rejects = value(conn, "SHOW VARIABLES LIKE 'wsrep_reject_queries'").await?;
        if rejects.is_some_and(|rejects| !rejects.eq_ignore_ascii_case("NONE")) {
            return Ok(Look::ReadOnly("it rejects queries (wsrep_reject_queries)"));
        }
        // A node that others copy from may be locked meanwhile, and one that lags decides by what is old. 4 is Synced.
        let state = value(conn, "SHOW STATUS LIKE 'wsrep_local_state'").await?;
        if state.is_some_and(|state| state != "4") {
            return Ok(Look::ReadOnly("it is not in step with the others (wsrep_local_state)"));
        }
    }
    // Newer servers know more values than ON.
    for setting in ["SHOW VARIABLES LIKE 'read_only'", "SHOW VARIABLES LIKE 'innodb_read_only'"] {
        if value(conn, setting).await?.is_some_and(|value| !is_off(&value)) {
            return Ok(Look::ReadOnly("it is read-only"));
        }
    }
    Ok(Look::Writable)
}

async fn value(conn: &mut MySqlConnection, question: &'static str) -> Result<Option<String>, sqlx::Error> {
    let row = sqlx::raw_sql(AssertSqlSafe(question)).fetch_optional(conn).await?;
    row.map(|row| row.try_get_unchecked(1)).transpose()
}

fn of_error(error: &sqlx::Error) -> Look {
    match error {
        sqlx::Error::Database(refusal) => match super::super::error::number_of(&**refusal) {
            Some(1047) => Look::Away(NOT_READY.to_owned()),
            // Shutting down.
            Some(1053) => Look::Away(refusal.to_string()),
            _ => Look::Refusing(refusal.to_string()),
        },
        error => Look::Away(error.to_string()),
    }
}
