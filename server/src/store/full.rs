//! Whether the database has room. It tells by refusing to write, and reads go on meanwhile.

use std::sync::atomic::Ordering;

use super::{Error, NonceUse, ReplayTable, Store};

impl Store {
    /// Whether what was written last found no room.
    pub fn is_full(&self) -> bool {
        self.inner.full.load(Ordering::Relaxed)
    }

    /// Writes a little, to learn whether there is room again: a value that is spent when it is recorded, and forgotten
    /// by the next maintenance run.
    pub async fn try_room(&self) -> Result<(), Error> {
        let now = self.inner.clock.now();
        let entry = NonceUse::new("room", &self.uuid().to_string(), now);
        self.first_use(ReplayTable::WebhookIds, entry).await.map(drop)
    }

    /// Takes note of how a write ended. Any other failure says nothing about room.
    pub(super) fn note_write(&self, failed: Option<&Error>) {
        let full = failed.is_some_and(Error::is_full);
        if (full || failed.is_none()) && full != self.is_full() {
            self.inner.full.store(full, Ordering::Relaxed);
            if let Some(error) = failed {
                tracing::error!(%error, "the database has no room; nothing can be written");
            } else {
                tracing::info!("the database has room again");
            }
        }
    }
}
