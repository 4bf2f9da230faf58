//! One run: everything that an entity's upstream has since the cursor, or a snapshot of it.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::future::join;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::apply::Under;
use super::error::SyncError;
use super::lease::Held;
use super::report::{Progress, RunReport};
use super::source::{Failure, FeedPage, Position, Source, SourceError};
use super::{Inner, trace};
use crate::config::{EntitySync, SyncMode};
use crate::model::Entity;
use crate::store::{self, Changed, SyncOutcome};

/// More pages than any platform has; a feed that never ends is cut off here.
const MAX_PAGES: u64 = 100_000;

struct Run<'a> {
    inner: &'a Inner,
    settings: EntitySync,
    entity: Entity,
    source: Arc<dyn Source>,
    held: Held,
    report: RunReport,
    progress: Progress<'a>,
}

impl Inner {
    /// Mirrors what there is, if nobody else does so now.
    pub async fn run(
        &self,
        entity: Entity,
        stop: &CancellationToken,
        progress: Progress<'_>,
    ) -> Result<RunReport, SyncError> {
        let span = trace::run(entity);
        let result = self.run_alone(entity, stop, progress).instrument(span.clone()).await;
        trace::note_run(&span, &result);
        match &result {
            Ok(report) => {
                self.metrics.run(entity, "ok");
                let RunReport { snapshot, pages, upserts, deletes, quarantined, swept, elapsed, .. } =
                    *report;
                tracing::debug!(
                    entity = entity.as_str(),
                    snapshot,
                    pages,
                    upserts,
                    deletes,
                    quarantined,
                    swept,
                    ?elapsed,
                    "mirrored"
                );
            }
            Err(SyncError::Stopped | SyncError::Unconfigured(_)) => {}
            Err(SyncError::Store(store::Error::LeaseLost)) => {
                self.metrics.run(entity, "lease_lost");
                tracing::info!(entity = entity.as_str(), "another instance has taken the run over");
            }
            Err(error) => {
                self.metrics.run(entity, error.class());
                if error.class() != "skipped" {
                    tracing::warn!(entity = entity.as_str(), class = error.class(), %error, "the run failed");
                }
            }
        }
        result
    }

    async fn run_alone(
        &self,
        entity: Entity,
        stop: &CancellationToken,
        progress: Progress<'_>,
    ) -> Result<RunReport, SyncError> {
        let source = self.source()?.clone();
        let settings = self.settings(entity);
        let Ok(_alone) = self.runs(entity).running.try_lock() else { return Err(SyncError::Overlap(entity)) };
        let held = Held::take(
            &self.store,
            &self.clock,
            &self.metrics,
            entity.as_str(),
            (self.lease_ttl)(&self.config.current()),
        )
        .await?;
        let held = held.ok_or(SyncError::Held(entity))?;
        let started = self.clock.monotonic();
        let mut run =
            Run { inner: self, settings, entity, source, held, report: RunReport::new(entity), progress };
        let result = tokio::select! {
            biased;
            () = stop.cancelled() => Err(SyncError::Stopped),
            // Dropped half-way it breaks nothing: a page is one transaction, in a task of the store.
            result = run.mirror() => result,
        };
        let result = run.conclude(result).await;
        run.report.elapsed = self.clock.monotonic().saturating_sub(started);
        match result.as_ref().err().and_then(SyncError::retry_after) {
            // Until then no other instance may ask either.
            Some(pause) => run.held.keep_for(pause).await,
            None => run.held.give_back().await,
        }
        self.refresh(entity).await;
        result.map(|()| run.report)
    }
}

impl Run<'_> {
    async fn mirror(&mut self) -> Result<(), SyncError> {
        let source = self.source.clone();
        let mut position = self.begin().await?;
        let mut restarted = false;
        let mut fetched = source.changes(self.entity, &position).await;
        loop {
            let page = match fetched {
                Err(error)
                    if error.class == Failure::CursorExpired && position.cursor.is_some() && !restarted =>
                {
                    tracing::info!(
                        entity = self.entity.as_str(),
                        "the cursor has expired; a snapshot follows"
                    );
                    restarted = true;
                    position = self.restart().await?;
                    fetched = source.changes(self.entity, &position).await;
                    continue;
                }
                fetched => fetched?,
            };
            let next = following(&position, &page)?;
            if !page.has_more {
                self.apply(page, &position, &next).await?;
                return self.end(&next).await;
            }
            // The next page is under way while this one is written; one ahead, never more.
            let ahead = source.changes(self.entity, &next);
            let (applied, ahead) = join(self.apply(page, &position, &next), ahead).await;
            applied?;
            if self.report.pages >= MAX_PAGES {
                return Err(SyncError::Endless(MAX_PAGES));
            }
            self.held.keep().await?;
            (fetched, position) = (ahead, next);
        }
    }

    /// Where the run starts: a snapshot if one is under way, wanted or due, else the cursor.
    async fn begin(&mut self) -> Result<Position, SyncError> {
        let state = self.inner.store.sync_state(self.entity).await?.ok_or(store::Error::LeaseLost)?;
        let now = self.inner.store.now().await?;
        let overdue = |every| state.last_snapshot_time.is_none_or(|last| last.plus(every) <= now);
        let wanted = self.settings.mode == SyncMode::Full || self.settings.full_every.is_some_and(overdue);
        if wanted && !state.snapshot {
            return self.restart().await;
        }
        self.report.snapshot = state.snapshot;
        let cursor = state.cursor.filter(|cursor| !cursor.is_empty());
        Ok(Position { cursor, snapshot: state.snapshot, limit: self.settings.batch_size })
    }

    async fn restart(&mut self) -> Result<Position, SyncError> {
        self.inner.store.start_snapshot(self.held.lease()).await?;
        self.report.snapshot = true;
        Ok(Position { cursor: None, snapshot: true, limit: self.settings.batch_size })
    }

    async fn apply(&mut self, page: FeedPage, from: &Position, next: &Position) -> Result<(), SyncError> {
        let under = Under {
            lease: self.held.lease(),
            before: from.cursor.as_deref().unwrap_or_default(),
            after: next.cursor.as_deref().unwrap_or_default(),
        };
        let span = trace::page(page.changes.len(), page.quarantined.len());
        let counts = self.inner.apply(self.entity, page, Some(under)).instrument(span).await?;
        let (metrics, entity) = (&self.inner.metrics, self.entity);
        for (op, rows) in
            [("upsert", counts.upserts), ("delete", counts.deletes), ("quarantined", counts.quarantined)]
        {
            if rows > 0 {
                metrics.rows(entity, op, rows);
            }
        }
        self.report.pages += 1;
        self.report.upserts += counts.upserts;
        self.report.deletes += counts.deletes;
        self.report.quarantined += counts.quarantined;
        (self.progress)(&self.report);
        Ok(())
    }

    /// After the last page: a snapshot sweeps what it did not touch.
    async fn end(&mut self, last: &Position) -> Result<(), SyncError> {
        if !last.snapshot {
            return Ok(());
        }
        self.held.keep().await?;
        let store = &self.inner.store;
        let swept = store
            .finish_snapshot(
                self.entity,
                self.held.lease(),
                self.inner.config.current().sync.max_delete_ratio,
            )
            .await?;
        self.report.swept = swept;
        if swept > 0 {
            self.inner.metrics.rows(self.entity, "swept", swept);
            self.inner.tell(&Changed::whole(self.entity));
        }
        Ok(())
    }

    /// Writes down how the run ended.
    async fn conclude(&self, result: Result<(), SyncError>) -> Result<(), SyncError> {
        let (store, lease) = (&self.inner.store, self.held.lease());
        let outcome = match &result {
            Ok(()) => SyncOutcome::Success,
            // Whoever goes on from here writes the end.
            Err(SyncError::Stopped | SyncError::Store(store::Error::LeaseLost)) => return result,
            Err(error) => SyncOutcome::Failed { class: error.class(), message: error.to_string() },
        };
        if matches!(result, Err(SyncError::Store(store::Error::SweepRefused { .. }))) {
            // From the cursor of its end this snapshot could never find the missing rows again.
            store.start_snapshot(lease).await?;
        }
        let written = store.finish_run(lease, outcome).await;
        result.and(written.map_err(SyncError::from))
    }
}

/// Where the page after this one starts; a page that leads nowhere is no page.
fn following(from: &Position, page: &FeedPage) -> Result<Position, SourceError> {
    let malformed = |reason: &str| SourceError::new(Failure::Malformed, reason);
    if page.has_more {
        let stands_still = page.next.is_none() || page.next == from.cursor;
        if stands_still {
            return Err(malformed("the page says has_more, but its next does not lead on"));
        }
        if page.changes.is_empty() && page.quarantined.is_empty() {
            return Err(malformed("the page says has_more, but has no rows"));
        }
    }
    let cursor = page.next.clone().or_else(|| from.cursor.clone());
    Ok(Position { cursor, ..*from })
}
