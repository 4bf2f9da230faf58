//! Learns what other instances changed: polls the cache events of the database.

use std::collections::HashMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::caches::Caches;
use crate::model::Timestamp;
use crate::store::{Error, Store};

/// How often the database is asked.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// How far back each poll reads: events become visible in the order of their commits, not of their times.
const OVERLAP: Duration = Duration::from_secs(10);
/// After a longer silence everything cached is dropped: what was missed would be more to read, and at last is purged.
const LOST_AFTER: Duration = Duration::from_secs(60);

/// What was read so far.
#[derive(Debug, Default)]
pub struct InvalidationPoller {
    /// The database's clock at the last poll that worked.
    polled: Option<Timestamp>,
    seen: HashMap<Uuid, Timestamp>,
}

impl InvalidationPoller {
    /// Polls until stopped.
    pub async fn run(mut self, store: Store, caches: Caches, stop: CancellationToken) {
        let mut failing = false;
        loop {
            match self.poll(&store, &caches).await {
                Ok(()) => failing = false,
                // Said once, not four times a second; cached entries age meanwhile.
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(%error, "cannot hear of changes by other instances; caches age by their time to live");
                }
                Err(_) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
        }
    }

    /// Asks once, and drops from the caches what others changed.
    pub async fn poll(&mut self, store: &Store, caches: &Caches) -> Result<(), Error> {
        let now = store.now().await?;
        let Some(polled) = self.polled else {
            // What was cached before the first poll may have changed unnoticed.
            caches.drop_all();
            self.polled = Some(now);
            return Ok(());
        };
        if polled < now.minus(LOST_AFTER) {
            caches.drop_all();
            self.seen.clear();
            self.polled = Some(now);
            return Ok(());
        }
        let since = polled.minus(OVERLAP);
        for event in store.cache_events(since, |id| self.seen.contains_key(id)).await? {
            self.seen.insert(event.id, event.created_at);
            caches.invalidate(&event.changed);
        }
        self.seen.retain(|_, at| *at >= since);
        self.polled = Some(now);
        Ok(())
    }
}
