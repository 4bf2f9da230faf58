//! Whether the database has room. Detected by refused writes; reads continue.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Error, NonceUse, ReplayTable, Store};

/// After a table was full, writes that succeed do not clear the state for so long: other tables still take them.
const FULL_TABLE_HOLD: Duration = Duration::from_secs(10);

/// The value of `Inner::full` while there is room.
pub(super) const HAS_ROOM: i64 = 0;

impl Store {
    /// Whether a recent write was refused because the disk or a table is full.
    pub fn is_full(&self) -> bool {
        self.inner.full.load(Ordering::Relaxed) != HAS_ROOM
    }

    /// Writes a little, to learn whether there is room again: a value that is spent when it is recorded, and deleted
    /// by the next maintenance run.
    pub async fn try_room(&self) -> Result<(), Error> {
        let now = self.inner.clock.now();
        let entry = NonceUse::new("room", &self.uuid().to_string(), now);
        self.first_use(ReplayTable::WebhookIds, entry).await.map(drop)
    }

    /// Takes note of how a write ended. Any other failure says nothing about room.
    pub(super) fn note_write(&self, failed: Option<&Error>) {
        let (full, now) = (&self.inner.full, self.inner.clock.now());
        match failed {
            Some(error) if error.is_full() => {
                let hold = if error.is_full_table() { FULL_TABLE_HOLD } else { Duration::ZERO };
                if full.fetch_max(now.plus(hold).micros(), Ordering::Relaxed) == HAS_ROOM {
                    tracing::error!(%error, "the database is full; nothing can be written");
                }
            }
            Some(_) => {}
            None => {
                let until = full.load(Ordering::Relaxed);
                let over = until != HAS_ROOM && until <= now.micros();
                if over
                    && full.compare_exchange(until, HAS_ROOM, Ordering::Relaxed, Ordering::Relaxed).is_ok()
                {
                    tracing::info!("the database has room again");
                }
            }
        }
    }
}
