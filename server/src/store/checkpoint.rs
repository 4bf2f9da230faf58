//! Checkpoints of SQLite's write-ahead log beside the writer. Left to itself the connection that fills the log makes them,
//! in the middle of a commit that everybody waits for.
//! Source: "Write-Ahead Logging", sections 2.1 and 6 <https://www.sqlite.org/wal.html>.

use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tokio_util::sync::CancellationToken;

use super::{Backend, Error, Store};

/// How often the log is copied into the database. Where nothing was written this costs a few looks at shared memory.
const INTERVAL: Duration = Duration::from_millis(100);
/// The same after it could not be.
const INTERVAL_FAILING: Duration = Duration::from_secs(5);
/// At so many pages (32 MiB) the writer makes checkpoints too, after each commit until the log begins anew, which it
/// does once all of it is copied and nobody reads it. Only the writer can be sure of that while it goes on writing; little
/// is left to copy by then.
pub(super) const LOG_PAGES: &str = "8000";

impl Store {
    /// Makes checkpoints until stopped; elsewhere than on SQLite there is nothing to do.
    pub async fn checkpoint(self, stop: CancellationToken) {
        let Backend::Sqlite { options, .. } = &self.inner.backend else { return };
        // The file is not made anew where it has been moved away.
        let options = options.as_ref().clone().create_if_missing(false);
        let (mut conn, mut failing) = (None, false);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(if failing { INTERVAL_FAILING } else { INTERVAL }) => {}
            }
            let made = tokio::select! {
                () = stop.cancelled() => break,
                made = passive(&options, &mut conn) => made,
            };
            // Said once; the writer makes them meanwhile.
            if let (Err(error), false) = (&made, failing) {
                tracing::warn!(%error, "no checkpoint of the write-ahead log beside the bookings");
            }
            failing = made.is_err();
            if failing {
                conn = None;
            }
        }
        if let Some(conn) = conn {
            let _ = sqlx::Connection::close(conn).await;
        }
    }
}

/// A checkpoint that waits for nobody and keeps nobody waiting.
async fn passive(options: &SqliteConnectOptions, conn: &mut Option<SqliteConnection>) -> Result<(), Error> {
    let conn = match conn {
        Some(conn) => conn,
        None => conn.insert(options.connect().await?),
    };
    sqlx::raw_sql("PRAGMA wal_checkpoint(PASSIVE)").execute(conn).await?;
    Ok(())
}
