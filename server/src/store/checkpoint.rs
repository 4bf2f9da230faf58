//! SQLite's write-ahead log, carried over into the database's file beside the writer. Left to itself the connection that
//! fills the log carries it over, in the middle of a commit that everybody waits for.
//! Source: "Write-Ahead Logging", section 2.1 <https://www.sqlite.org/wal.html>.

use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tokio_util::sync::CancellationToken;

use super::{Backend, Error, Store};

/// How often the log is carried over. Where nothing was written this costs a few looks at shared memory.
const INTERVAL: Duration = Duration::from_millis(250);
/// At so many pages (32 MiB) the writer sees to it that the log begins anew: while it goes on writing nobody else can,
/// and by then there is little left to carry over.
pub(super) const LOG_PAGES: &str = "8000";

impl Store {
    /// Carries the log over until stopped; elsewhere than on SQLite there is nothing to do.
    pub async fn checkpoint(self, stop: CancellationToken) {
        let Backend::Sqlite { options, .. } = &self.inner.backend else { return };
        let mut conn = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            if let Err(error) = carry_over(options, &mut conn).await {
                // The writer does it then.
                tracing::debug!(%error, "the write-ahead log was not carried over");
                conn = None;
            }
        }
        if let Some(conn) = conn {
            let _ = sqlx::Connection::close(conn).await;
        }
    }
}

async fn carry_over(
    options: &SqliteConnectOptions,
    conn: &mut Option<SqliteConnection>,
) -> Result<(), Error> {
    let conn = match conn {
        Some(conn) => conn,
        None => conn.insert(options.connect().await?),
    };
    // Waits for nobody and keeps nobody waiting.
    sqlx::raw_sql("PRAGMA wal_checkpoint(PASSIVE)").execute(conn).await?;
    Ok(())
}
