//! Checkpoints of SQLite's write-ahead log beside the writer. Left to itself the connection that fills the log makes them,
//! in the middle of a commit that everybody waits for.
//! Source: "Write-Ahead Logging", sections 2.1 and 6 <https://www.sqlite.org/wal.html>.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Row as _};
use tokio_util::sync::CancellationToken;

use super::conn::SqliteWriterSlot;
use super::{Backend, Error, Store};

/// How long after a checkpoint the next one is made while bookings go on. Each waits for the disk, and a commit that comes
/// meanwhile waits behind it: many small ones keep it waiting for less than a few large ones.
const INTERVAL: Duration = Duration::from_millis(20);
/// The same where nothing was written since: a few looks at shared memory.
const INTERVAL_IDLE: Duration = Duration::from_millis(100);
/// The same after it could not be.
const INTERVAL_FAILING: Duration = Duration::from_secs(5);
/// At so many pages (32 MiB) the log is made to restart: it does with the next commit if all of it is copied and nobody
/// reads it.
const LOG_PAGES: i64 = 8192;
/// At so many pages (128 MiB) the writer makes a checkpoint after each commit. It comes to that only where the
/// checkpoints beside the bookings fail, or somebody reads on and on.
pub(super) const LOG_PAGES_AT_MOST: &str = "32768";

/// How many pages the log has, and how many of them are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Log {
    pages: i64,
    copied: i64,
}

impl Store {
    /// Makes checkpoints until stopped; elsewhere than on SQLite there is nothing to do.
    pub async fn checkpoint(self, stop: CancellationToken) {
        let Backend::Sqlite { options, writer, .. } = &self.inner.backend else { return };
        // The file is not recreated where it has been moved away.
        let mut checkpoints = Checkpoints {
            options: options.as_ref().clone().create_if_missing(false),
            writer: writer.clone(),
            conn: None,
            last: None,
            limit: LOG_PAGES,
        };
        let (mut pause, mut failing) = (INTERVAL_IDLE, false);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
            let made = tokio::select! {
                () = stop.cancelled() => break,
                made = checkpoints.next() => made,
            };
            // Said once; the writer makes them meanwhile.
            if let (Err(error), false) = (&made, failing) {
                tracing::warn!(%error, "no checkpoint of the write-ahead log beside the bookings");
            }
            failing = made.is_err();
            pause = match made {
                Ok(true) => INTERVAL,
                Ok(false) => INTERVAL_IDLE,
                Err(_) => INTERVAL_FAILING,
            };
        }
        if let Some(conn) = checkpoints.conn {
            let _ = sqlx::Connection::close(conn).await;
        }
    }
}

struct Checkpoints {
    options: SqliteConnectOptions,
    writer: SqliteWriterSlot,
    conn: Option<SqliteConnection>,
    last: Option<Log>,
    /// Pages of the log at which it is made to restart.
    limit: i64,
}

impl Checkpoints {
    /// Makes a checkpoint; whether anything was written since the one before.
    async fn next(&mut self) -> Result<bool, Error> {
        let mut log = self.passive().await?;
        if log.pages < LOG_PAGES {
            self.limit = LOG_PAGES;
        } else if log.pages >= self.limit {
            log = self.all_of_it().await?;
            // Should somebody be reading, it goes on growing; the bookings are not held up again and again for that.
            self.limit = log.pages + LOG_PAGES;
        }
        Ok(self.last.replace(log) != Some(log))
    }

    /// Copies all of the log, so that the next commit restarts it. Commits wait for the last part of it alone, which is
    /// what was committed while the part before was copied.
    async fn all_of_it(&mut self) -> Result<Log, Error> {
        self.passive().await?;
        let writer = self.writer.clone().lock_owned().await;
        let log = self.passive().await;
        drop(writer);
        log
    }

    /// A checkpoint that waits for nobody and keeps nobody waiting.
    async fn passive(&mut self) -> Result<Log, Error> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.options.connect().await?,
        };
        let row = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(&mut conn).await?;
        self.conn = Some(conn);
        Ok(Log { pages: row.try_get(1)?, copied: row.try_get(2)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::test_store::TestStore;

    /// Commits of some 400 KB each.
    async fn write(store: &Store, commits: usize) {
        for _ in 0..commits {
            let mut conn = store.writing().await.unwrap();
            conn.run("CREATE TABLE IF NOT EXISTS filling (bytes BLOB); INSERT INTO filling VALUES (zeroblob(400000))")
                .await
                .unwrap();
        }
    }

    fn of(store: &Store) -> Checkpoints {
        let Backend::Sqlite { options, writer, .. } = &store.inner.backend else { unreachable!() };
        let (options, writer) = (options.as_ref().clone(), writer.clone());
        Checkpoints { options, writer, conn: None, last: None, limit: LOG_PAGES }
    }

    #[tokio::test]
    async fn a_full_log_is_copied_whole_and_begins_anew_unless_somebody_reads_it() {
        let db = TestStore::new().await;
        let mut checkpoints = of(&db.store);
        write(&db.store, 90).await;
        assert!(checkpoints.next().await.unwrap() && !checkpoints.next().await.unwrap(), "written to once");
        let full = checkpoints.last.unwrap();
        assert!(full.pages >= LOG_PAGES && full.copied == full.pages, "{full:?}");
        write(&db.store, 1).await;
        checkpoints.next().await.unwrap();
        assert!(checkpoints.last.unwrap().pages < LOG_PAGES, "{:?}", checkpoints.last);
        assert_eq!(checkpoints.limit, LOG_PAGES);

        let mut reader = db.store.snapshot().await.unwrap();
        reader.customers_after("", 1).await.unwrap();
        write(&db.store, 90).await;
        checkpoints.next().await.unwrap();
        let kept = checkpoints.last.unwrap();
        assert!(kept.copied < kept.pages && checkpoints.limit == kept.pages + LOG_PAGES, "{kept:?}");
        db.store.end_snapshot(reader).await;
    }
}
