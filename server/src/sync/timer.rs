//! One task per entity: it waits until a run is due, runs, and waits longer after a failure.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::error::SyncError;
use super::schedule::backoff;
use super::{Inner, chance};
use crate::model::Entity;
use crate::store;

/// How soon a run held by another instance is looked at again: it may have died.
const HELD: Duration = Duration::from_secs(5);
/// How long a wait may be before the state is looked at again.
const LOOK_AGAIN: Duration = Duration::from_mins(10);
/// The longest wait while the database is away or not migrated yet.
const STORE_BACKOFF: Duration = Duration::from_secs(10);

impl Inner {
    /// Runs an entity by its schedule until stopped.
    pub async fn keep_mirrored(self: Arc<Self>, entity: Entity, stop: CancellationToken) {
        let mut failures = 0;
        // Drawn once a run, so that looking again does not move the time.
        let mut stretch = chance(&*self.entropy);
        loop {
            let pause = match self.step(entity, stretch, &stop).await {
                Ok(Step::Wait(left)) => left.min(LOOK_AGAIN),
                Ok(Step::Ran) => {
                    failures = 0;
                    stretch = chance(&*self.entropy);
                    Duration::ZERO
                }
                Err(SyncError::Stopped) => return,
                Err(
                    SyncError::Held(_) | SyncError::Overlap(_) | SyncError::Store(store::Error::LeaseLost),
                ) => self.settings(entity).schedule.interval().map_or(HELD, |every| every.min(HELD)),
                Err(error) => {
                    failures += 1;
                    let wait = backoff(failures, chance(&*self.entropy));
                    let wait = wait.max(error.retry_after().unwrap_or_default());
                    let refused = matches!(error, SyncError::Store(store::Error::SweepRefused { .. }));
                    if matches!(error, SyncError::Store(_)) && !refused {
                        wait.min(STORE_BACKOFF)
                    } else {
                        wait
                    }
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Runs if it is time. What another instance did meanwhile counts.
    pub async fn step(
        &self,
        entity: Entity,
        stretch: f64,
        stop: &CancellationToken,
    ) -> Result<Step, SyncError> {
        let timetable = self.timetable(entity)?;
        let last = self.store.sync_state(entity).await?.and_then(|state| state.last_sync_time);
        let now = self.store.now().await?;
        let due = timetable.due(last, stretch);
        if due > now {
            let micros = u64::try_from(due.micros() - now.micros()).unwrap_or(0);
            return Ok(Step::Wait(Duration::from_micros(micros)));
        }
        let report = self.run(entity, stop, &|_| {}).await?;
        for _ in 0..timetable.missed(now, now.plus(report.elapsed)) {
            self.metrics.run(entity, "skipped");
        }
        Ok(Step::Ran)
    }
}

/// What a look at the schedule came to.
#[derive(Debug)]
pub(super) enum Step {
    /// Not due for so long.
    Wait(Duration),
    /// It was due, and ran to its end.
    Ran,
}
