//! How fresh each entity is, kept in memory: /health asks often and must not cost a query.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Inner;
use crate::model::Entity;
use crate::store;

/// How often the state is looked up.
const REFRESH_INTERVAL: Duration = Duration::from_secs(5);
/// Unreadable rows are counted no further.
const MAX_COUNTED: i64 = 10_000;

/// How an entity's mirror stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Freshness {
    /// Seconds since a run last ended well; `None` if none ever did.
    pub age_s: Option<f64>,
    /// `disabled`, `pending` (no run ended yet), `success` or `failed`, of the last run.
    pub status: &'static str,
    /// The stable word for what failed last, until a run ends well.
    pub error_class: Option<String>,
    /// Rows whose newest version cannot be read, counted up to 10,000.
    pub quarantined: u64,
}

/// What was looked up, and when by the monotonic clock.
#[derive(Debug, Clone)]
pub(super) struct Looked {
    at: Duration,
    age_s: Option<f64>,
    status: &'static str,
    error_class: Option<String>,
    quarantined: u64,
}

impl Inner {
    /// What was last known of an entity, aged to now.
    pub fn freshness(&self, entity: Entity) -> Freshness {
        if !self.is_active(entity) {
            return Freshness { age_s: None, status: "disabled", error_class: None, quarantined: 0 };
        }
        let looked = self.runs(entity).looked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(Looked { at, age_s, status, error_class, quarantined }) = looked else {
            return Freshness { age_s: None, status: "pending", error_class: None, quarantined: 0 };
        };
        let since = self.clock.monotonic().saturating_sub(at).as_secs_f64();
        Freshness { age_s: age_s.map(|age| age + since), status, error_class, quarantined }
    }

    /// Looks up the state of every active entity now and then.
    pub async fn watch_freshness(self: Arc<Self>, stop: CancellationToken) {
        loop {
            for entity in Entity::ALL.into_iter().filter(|entity| self.is_active(*entity)) {
                self.refresh(entity).await;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(REFRESH_INTERVAL) => {}
            }
        }
    }

    /// Looks up the state of an entity. Without an answer what is known grows older.
    pub async fn refresh(&self, entity: Entity) {
        match self.look_up(entity).await {
            Ok(looked) => {
                *self.runs(entity).looked.lock().unwrap_or_else(PoisonError::into_inner) = Some(looked);
            }
            Err(error) => {
                tracing::debug!(entity = entity.as_str(), %error, "the state of the mirror is unknown");
            }
        }
        if let Some(age) = self.freshness(entity).age_s {
            self.metrics.set_age(entity, age);
        }
    }

    async fn look_up(&self, entity: Entity) -> Result<Looked, store::Error> {
        let state = self.store.sync_state(entity).await?;
        let now = self.store.now().await?;
        let quarantined = self.store.unreadable_rows(entity, MAX_COUNTED).await?.unsigned_abs();
        let at = self.clock.monotonic();
        let Some(state) = state else {
            return Ok(Looked { at, age_s: None, status: "pending", error_class: None, quarantined });
        };
        let status = match state.status.as_str() {
            "success" => "success",
            "failed" => "failed",
            _ => "pending",
        };
        let age_s = state.last_sync_time.map(|last| now.seconds_since(last));
        Ok(Looked { at, age_s, status, error_class: state.error_class, quarantined })
    }
}
