//! Pulls that events ask for. They may be lost, doubled and disordered: the rows' versions decide,
//! and the periodic run is the truth.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::error::SyncError;
use super::source::MAX_IDS;
use super::{Inner, trace};
use crate::model::Entity;
use crate::telemetry::tracing::mark_failed;

/// The most pulls that wait.
const CAPACITY: usize = 1024;
/// How many are under way at a time.
pub(super) const WORKERS: usize = 4;

/// Rows to pull, at most [`MAX_IDS`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pull {
    pub entity: Entity,
    pub ids: Vec<String>,
}

/// Pulls that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<VecDeque<Pull>>,
    ready: Notify,
}

impl Queue {
    /// Lets all the ids wait, or none if there is no room.
    pub fn push(&self, entity: Entity, ids: &[String]) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() + ids.len().div_ceil(MAX_IDS) > CAPACITY {
            return false;
        }
        waiting.extend(ids.chunks(MAX_IDS).map(|ids| Pull { entity, ids: ids.to_vec() }));
        drop(waiting);
        self.ready.notify_one();
        true
    }

    /// Waits for a pull.
    pub async fn take(&self) -> Pull {
        loop {
            // A permit that was given before this waits is kept for it: nothing is overslept.
            if let Some(pull) = self.pop() {
                return pull;
            }
            self.ready.notified().await;
        }
    }

    /// The oldest pull together with those after it that fit into the same request.
    fn pop(&self) -> Option<Pull> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pull = waiting.pop_front()?;
        let fits = |pull: &Pull, next: &Pull| {
            next.entity == pull.entity && next.ids.len() + pull.ids.len() <= MAX_IDS
        };
        while waiting.front().is_some_and(|next| fits(&pull, next)) {
            pull.ids.extend(waiting.pop_front().into_iter().flat_map(|next| next.ids));
        }
        if !waiting.is_empty() {
            self.ready.notify_one();
        }
        drop(waiting);
        pull.ids.sort_unstable();
        pull.ids.dedup();
        Some(pull)
    }
}

impl Inner {
    /// Pulls what events ask for until stopped. What still waits then is left to the next run.
    pub async fn work_on_events(self: Arc<Self>, stop: CancellationToken) {
        let work = async {
            loop {
                let pull = self.events.take().await;
                let span = trace::pull(pull.entity, pull.ids.len());
                if let Err(error) = self.pull_rows(&pull).instrument(span.clone()).await {
                    mark_failed(&span, error.class());
                    let (entity, ids) = (pull.entity.as_str(), pull.ids.len() as u64);
                    self.metrics.rows(pull.entity, "event_failed", ids);
                    tracing::warn!(entity, ids, class = error.class(), %error, "a pull for an event failed");
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    }

    async fn pull_rows(&self, pull: &Pull) -> Result<(), SyncError> {
        let page = self.source()?.rows(pull.entity, &pull.ids).await?;
        let span = trace::page(page.changes.len(), page.quarantined.len());
        let counts = self.apply(pull.entity, page, None).instrument(span).await?;
        let entity = pull.entity;
        self.metrics.rows(entity, "upsert", counts.upserts);
        self.metrics.rows(entity, "delete", counts.deletes);
        self.metrics.rows(entity, "quarantined", counts.quarantined);
        if counts.quarantined > 0 {
            self.refresh(pull.entity).await;
        }
        Ok(())
    }
}
