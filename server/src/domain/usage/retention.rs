//! How long usage records are kept.
//!
//! A repetition of a record that was deleted would count twice, so what happened before a floor is refused, and only what
//! lies a day before the floor is deleted. The floor is raised first, in the database, and every instance reads it there
//! again and again ([`watch_floor`]). While it rises with the time, the day alone makes sure that no instance takes in what
//! another one has deleted, even one that could not read for hours. Where it jumps, because retention was shortened or
//! somebody purges, nothing is deleted until all instances have had time to read it, [`FLOOR_KNOWN_AFTER`].

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::LiveConfig;
use crate::domain::booking::UsageFloor;
use crate::model::{CustomerId, Timestamp};
use crate::store::{self, Store, UsageAge};

/// How far deletion stays behind the floor.
pub const BEHIND_FLOOR: Duration = Duration::from_hours(24);
/// How long ago records must lie to be purged on demand: the floor comes [`BEHIND_FLOOR`] after them, and leaves a day in
/// which usage can still be told late.
pub const MIN_AGE: Duration = Duration::from_hours(48);
/// How often an instance reads the floor.
const READ_INTERVAL: Duration = Duration::from_secs(5);
/// When every instance has read a floor.
pub const FLOOR_KNOWN_AFTER: Duration = Duration::from_secs(20);
/// Records looked at, and deleted, at a time.
const SLICE: i64 = 5_000;
/// Between two slices, so that bookings come first.
pub const SLICE_PAUSE: Duration = Duration::from_millis(100);

/// What is done to the records that lie before a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PurgeMode {
    /// They are deleted.
    Delete,
    /// They are counted.
    Count,
}

/// Goes through the records that were received, and happened, before a time, the oldest first.
#[derive(Debug)]
pub struct Purge {
    before: Timestamp,
    mode: PurgeMode,
    after: Option<UsageAge>,
    /// Customers of whom a record was met that happened later (it can be told five minutes ahead). It stays, and with it
    /// all that follow, so that their places have no gap.
    ended: HashSet<CustomerId>,
    rows: u64,
}

impl Purge {
    /// Strictly before this time.
    pub fn before(before: Timestamp, mode: PurgeMode) -> Self {
        Self { before, mode, after: None, ended: HashSet::new(), rows: 0 }
    }

    /// How many records were deleted or counted so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Goes through the next slice; `false` if there was none.
    pub async fn next_slice(&mut self, store: &Store) -> Result<bool, store::Error> {
        let slice = store.usage_received_before(self.before, self.after.as_ref(), SLICE).await?;
        let Some(last) = slice.last() else { return Ok(false) };
        self.after = Some(last.clone());
        let (mut counted, mut places) = (0, BTreeMap::new());
        for row in slice {
            if self.ended.contains(&row.customer_id) {
                continue;
            }
            if row.event_time >= self.before {
                self.ended.insert(row.customer_id);
                continue;
            }
            counted += 1;
            places.insert(row.customer_id, row.useq);
        }
        self.rows += match self.mode {
            PurgeMode::Count => counted,
            PurgeMode::Delete => store.delete_usage_through(places.into_iter().collect()).await?,
        };
        Ok(true)
    }
}

/// Reads the floor again and again, until stopped.
pub async fn watch_floor(store: Store, floor: UsageFloor, config: LiveConfig, stop: CancellationToken) {
    let mut warned = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(READ_INTERVAL) => {}
        }
        match store.stored_usage_state().await {
            Ok(Some(state)) => {
                floor.raise(state.floor);
                let configured = config.read(|config| config.usage.timezone.clone());
                // Looked at when the instance started, but another one may have chosen before there was any usage.
                if state.time_zone != configured && !warned {
                    let stored = state.time_zone;
                    tracing::warn!(%configured, %stored, "usage.timezone differs from that of the usage recorded so far");
                    warned = true;
                }
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "the floor of usage was not read; tried again"),
        }
    }
}
