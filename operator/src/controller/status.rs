use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource as _, ResourceExt as _};
use sageapi_crds::{Phase, SageApi, SageApiStatus};
use serde_json::json;

use super::Context;
use crate::plan::{NOTE_MAX_BYTES, Note};
use crate::watch::Key;

/// Who owns the status.
const STATUS_MANAGER: &str = "sageapi-operator-status";

/// How often counts of instances are written while nothing else changes.
const COUNTS_INTERVAL: Duration = Duration::from_secs(5);

/// When the status of each resource was last written, so that twenty pods that start cost no twenty writes.
#[derive(Debug, Default)]
pub struct Written(Mutex<HashMap<Key, Duration>>);

impl Written {
    /// How long a change of counts has to wait.
    pub fn wait(&self, key: &Key, now: Duration) -> Option<Duration> {
        let written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = *written.get(key)? + COUNTS_INTERVAL;
        due.checked_sub(now).filter(|wait| !wait.is_zero())
    }

    fn note(&self, key: &Key, now: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), now);
    }

    /// Nothing is kept of a resource that is gone.
    pub fn forget(&self, key: &Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// Whether two statuses of one roll differ in how far it has come and in nothing else.
pub fn only_counts_differ(before: &SageApiStatus, after: &SageApiStatus) -> bool {
    let bare = |status: &SageApiStatus| {
        let mut bare =
            SageApiStatus { instances: None, ready_instances: None, ready: None, ..status.clone() };
        bare.conditions.iter_mut().for_each(|condition| condition.message.clear());
        bare
    };
    after.phase.as_deref() == Some(Phase::Rolling.as_str()) && bare(before) == bare(after)
}

/// Writes the status if it differs, under the version that it was made for. Whether it was written.
pub async fn write(
    context: &Context,
    key: &Key,
    resource: &SageApi,
    status: &SageApiStatus,
) -> Result<bool, kube::Error> {
    if resource.status.as_ref() == Some(status) {
        return Ok(false);
    }
    let body = json!({
        "apiVersion": SageApi::api_version(&()),
        "kind": SageApi::kind(&()),
        "metadata": {"name": key.name, "resourceVersion": resource.resource_version()},
        "status": status,
    });
    let api: Api<SageApi> = Api::namespaced(context.client.clone(), &key.namespace);
    let params = PatchParams::apply(STATUS_MANAGER).force();
    let written = api.patch_status(&key.name, &params, &Patch::Apply(&body)).await.inspect_err(|error| {
        // An answer that came after the deletion may have brought it back into the cache, where no event ends it.
        if matches!(error, kube::Error::Api(status) if status.code == 404) {
            context.caches.sageapis.forget(key, resource.metadata.uid.as_deref());
        }
    })?;
    context.written.note(key, context.clock.monotonic());
    context.caches.sageapis.put(DeserializeGuard(Ok(written)));
    Ok(true)
}

/// Emits events about the resource. What cannot be told is logged: no reconcile fails for want of an audience.
pub async fn tell(context: &Context, about: &ObjectReference, notes: &[Note]) {
    for Note { warning, reason, action, message } in notes {
        let event = Event {
            type_: if *warning { EventType::Warning } else { EventType::Normal },
            reason: (*reason).to_owned(),
            action: (*action).to_owned(),
            note: Some(cut(message, NOTE_MAX_BYTES).to_owned()),
            secondary: None,
        };
        if let Err(error) = context.recorder.publish(&event, about).await {
            tracing::warn!(reason, error = %crate::client::brief(&error), "an event could not be emitted");
        }
    }
}

/// The beginning of a text, in whole characters.
fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(phase: &str, ready: i32) -> SageApiStatus {
        SageApiStatus {
            phase: Some(phase.to_owned()),
            ready_instances: Some(ready),
            ready: Some(format!("{ready}/20")),
            ..SageApiStatus::default()
        }
    }

    #[test]
    fn only_the_progress_of_a_roll_may_wait() {
        assert!(only_counts_differ(&status("Rolling", 3), &status("Rolling", 4)));
        assert!(!only_counts_differ(&status("Rolling", 19), &status("Ready", 20)));
        assert!(!only_counts_differ(&status("Ready", 20), &status("Degraded", 3)));
        let mut news = status("Rolling", 4);
        news.image = Some("another".to_owned());
        assert!(!only_counts_differ(&status("Rolling", 3), &news));
    }

    #[test]
    fn progress_is_written_every_five_seconds() {
        let (written, key) = (Written::default(), Key::new("billing", "prod"));
        assert_eq!(written.wait(&key, Duration::from_secs(9)), None);
        written.note(&key, Duration::from_secs(9));
        assert_eq!(written.wait(&key, Duration::from_secs(11)), Some(Duration::from_secs(3)));
        assert_eq!(written.wait(&key, Duration::from_secs(14)), None);
        written.forget(&key);
        assert_eq!(written.wait(&key, Duration::from_secs(11)), None);
    }

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(cut("abc", 10), "abc");
        assert_eq!(cut("a\u{4e2d}b", 3), "a");
        assert_eq!(cut("a\u{4e2d}b", 4), "a\u{4e2d}");
    }
}
