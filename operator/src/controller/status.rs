use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::core::object::HasStatus as _;
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource as _, ResourceExt as _};
use serde_json::json;

use super::context::Context;
use crate::client::brief;
use crate::reconciler::{NOTE_MAX_BYTES, Note, Reconciler, StatusOf};
use crate::watch::Key;

/// Who owns the status.
const STATUS_MANAGER: &str = "sageapi-operator-status";

/// Writes the status if it differs, under the version that it was made for. Whether it was written.
pub async fn write<R: Reconciler>(
    context: &Context<R>,
    key: &Key,
    resource: &R::Resource,
    status: &StatusOf<R>,
) -> Result<bool, kube::Error> {
    if resource.status() == Some(status) {
        return Ok(false);
    }
    let body = json!({
        "apiVersion": R::Resource::api_version(&()),
        "kind": R::Resource::kind(&()),
        "metadata": {"name": key.name, "resourceVersion": resource.resource_version()},
        "status": status,
    });
    let api: Api<R::Resource> = Api::namespaced(context.client.clone(), &key.namespace);
    let params = PatchParams::apply(STATUS_MANAGER).force();
    let written = api.patch_status(&key.name, &params, &Patch::Apply(&body)).await.inspect_err(|error| {
        // An answer that came after the deletion may have brought it back into the cache, where no event ends it.
        if matches!(error, kube::Error::Api(status) if status.code == 404) {
            context.caches.resources.forget(key, resource.meta().uid.as_deref());
        }
    })?;
    context.written.note(key, context.clock.monotonic());
    context.caches.put(DeserializeGuard(Ok(written)));
    Ok(true)
}

/// Emits events about the resource. A failure is logged: no reconcile fails because of an event.
pub async fn emit<R: Reconciler>(context: &Context<R>, about: &ObjectReference, notes: &[Note]) {
    for Note { warning, reason, action, message } in notes {
        let event = Event {
            type_: if *warning { EventType::Warning } else { EventType::Normal },
            reason: (*reason).to_owned(),
            action: (*action).to_owned(),
            note: Some(cut(message, NOTE_MAX_BYTES).to_owned()),
            secondary: None,
        };
        if let Err(error) = context.recorder.publish(&event, about).await {
            tracing::warn!(reason, error = %brief(&error), "an event could not be emitted");
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

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(cut("abc", 10), "abc");
        assert_eq!(cut("a\u{4e2d}b", 3), "a");
        assert_eq!(cut("a\u{4e2d}b", 4), "a\u{4e2d}");
    }
}
