//! Takes signed events of the upstream platform.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use serde::Deserialize;

use super::SyncService;
use crate::config::LiveConfig;
use crate::domain::Error;
use crate::model::{Clock, Entity, Secret};
use crate::signing::webhook::{self, WebhookSecret};
use crate::store::{NonceUse, ReplayTable, Store};

/// Signed times may differ from ours by so much.
const TOLERANCE_S: i64 = 300;
/// An event's id is remembered for a week.
const MEMORY: Duration = Duration::from_secs(7 * 86_400);
/// Ids of one event that are looked at.
const MAX_IDS: usize = 500;

/// The part of an event's body that is used; everything else is tolerated.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    data: EventData,
}

#[derive(Deserialize, Default)]
struct EventData {
    #[serde(default)]
    entity: Option<String>,
    #[serde(default)]
    ids: Vec<String>,
}

/// Checks events and schedules what they ask for.
pub struct EventReceiver {
    config: LiveConfig,
    store: Store,
    sync: SyncService,
    clock: Arc<dyn Clock>,
}

impl EventReceiver {
    /// Accepts what is signed with one of the configured secrets.
    pub fn new(config: LiveConfig, store: Store, sync: SyncService, clock: Arc<dyn Clock>) -> Self {
        Self { config, store, sync, clock }
    }

    /// Takes an event. A genuine one only schedules a pull of the rows that it names, so loss, doubling and disorder
    /// are harmless.
    ///
    /// # Errors
    /// A signature or time that is wrong, and a database that does not answer.
    pub async fn receive(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Error> {
        let now = self.clock.now();
        // Their form was checked when the configuration was read.
        let parse = |secret: &Secret| WebhookSecret::parse(secret.expose()).ok();
        let secrets: Vec<_> = self.config.current().upstream_events.iter().filter_map(parse).collect();
        let id = webhook::verify(&secrets, headers, body, now.seconds(), TOLERANCE_S)?;
        let entry = NonceUse::new("webhook", id, now.plus(MEMORY));
        if !self.store.first_use(ReplayTable::WebhookIds, entry).await? {
            return Ok(());
        }
        let Ok(event) = serde_json::from_slice::<Event>(body) else {
            tracing::warn!(
                event = id,
                "the body of a genuine event cannot be read; the next run picks up what it announced"
            );
            return Ok(());
        };
        if let Some(entity) = event.data.entity.as_deref().and_then(Entity::parse) {
            self.sync.pull(entity, event.data.ids.into_iter().take(MAX_IDS).collect());
        }
        Ok(())
    }
}
