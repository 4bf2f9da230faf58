//! Signed events: what the platform tells SageAPI when something has changed.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::auth::webhook_headers;
use crate::clock::rfc3339;
use crate::entity::Entity;

/// An event to send. What is absent comes from the simulator's options, or from the entity.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// The event's type; absent: the entity's own.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// `data.entity`.
    pub entity: Entity,
    /// `data.ids`.
    #[serde(default)]
    pub ids: Vec<String>,
    /// The whole address of the server's `/api/v1/events`.
    #[serde(default)]
    pub url: Option<String>,
    /// `whsec_...`.
    #[serde(default)]
    pub secret: Option<String>,
    /// Sign something else than what is sent.
    #[serde(default)]
    pub bad_signature: bool,
    /// Seconds to add to the timestamp.
    #[serde(default)]
    pub timestamp_offset: i64,
    /// Send this `webhook-id` (again); absent: one never used before.
    #[serde(default)]
    pub webhook_id: Option<String>,
}

impl Event {
    /// The usual event about these rows.
    pub fn about(entity: Entity, ids: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            kind: None,
            entity,
            ids: ids.into_iter().map(Into::into).collect(),
            url: None,
            secret: None,
            bad_signature: false,
            timestamp_offset: 0,
            webhook_id: None,
        }
    }
}

/// What the server answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventAnswer {
    /// The `webhook-id` that was sent.
    pub webhook_id: String,
    /// HTTP status.
    pub status: u16,
    /// The body, as text.
    pub body: String,
}

/// Why an event was not sent or not answered.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Neither the event nor the options say where to send it.
    #[error("nowhere to send the event: give `url`, or start with --event-url")]
    NoUrl,
    /// Neither the event nor the options have a secret that can sign.
    #[error("no secret to sign the event with: give `secret` as whsec_..., or start with --event-secret")]
    NoSecret,
    /// The server could not be reached or did not answer.
    #[error("the event was not answered: check that the server listens there")]
    Unanswered(#[source] reqwest::Error),
}

/// Signs and sends one event.
pub(crate) async fn send(
    client: &reqwest::Client,
    event: &Event,
    url: &str,
    secret: &str,
    webhook_id: String,
    now_us: i64,
) -> Result<EventAnswer, EventError> {
    let timestamp_s = now_us.div_euclid(1_000_000).saturating_add(event.timestamp_offset);
    let body = json!({
        "type": event.kind.as_deref().unwrap_or_else(|| event.entity.event_type()),
        "timestamp": rfc3339(now_us),
        "data": {"entity": event.entity, "ids": event.ids},
    })
    .to_string();
    let signed = if event.bad_signature { format!("{body} ") } else { body.clone() };
    let headers =
        webhook_headers(secret, &webhook_id, timestamp_s, signed.as_bytes()).ok_or(EventError::NoSecret)?;
    let mut request = client.post(url).header("content-type", "application/json").body(body);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let answer = request.send().await.map_err(EventError::Unanswered)?;
    let status = answer.status().as_u16();
    let body = answer.text().await.map_err(EventError::Unanswered)?;
    Ok(EventAnswer { webhook_id, status, body })
}
