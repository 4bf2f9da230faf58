//! Which of the observed objects are this resource's.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::children::Children;
use crate::kinds::Kind;
use crate::labels;
use crate::names;
use crate::object::{Object, ObjectRef};
use crate::steps::{Refusal, RefusalCause, Step};

/// Whether the resource of this UID controls the object.
pub(super) fn is_ours(metadata: &ObjectMeta, uid: &str) -> bool {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().any(|owner| owner.controller == Some(true) && owner.uid == uid)
}

pub(super) fn label<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    metadata.labels.as_ref()?.get(name).map(String::as_str)
}

pub(super) fn annotation<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

pub(super) fn name(metadata: &ObjectMeta) -> &str {
    metadata.name.as_deref().unwrap_or_default()
}

/// Deletes this very object.
pub(super) fn delete(kind: Kind, metadata: &ObjectMeta) -> Step {
    Step::Delete(ObjectRef { kind, name: name(metadata).to_owned(), uid: metadata.uid.clone() })
}

impl Children {
    /// Whether the object that a refused write was about still exists, if it was about this one and no later one.
    fn still_have(&self, object: &ObjectRef) -> bool {
        object.uid.is_none() || self.of(object.kind).any(|live| live.uid == object.uid)
    }

    /// What was refused and is still wanted, and a name that somebody else holds.
    pub(super) fn refused(&self, refusals: &[Refusal], steps: &[Step], uid: &str) -> Vec<Refusal> {
        let mut all: Vec<Refusal> =
            refusals.iter().filter(|refusal| self.still_have(&refusal.object)).cloned().collect();
        let taken = self.taken(steps, uid);
        let untold: Vec<Refusal> =
            taken.filter(|taken| all.iter().all(|refusal| refusal.object != taken.object)).collect();
        all.extend(untold);
        all
    }

    /// The Deployment of this name, if it is ours.
    pub(super) fn deployment(&self, wanted: &str, uid: &str) -> Option<&Deployment> {
        let live = self.get(Kind::Deployment, wanted).filter(|live| is_ours(live.metadata(), uid));
        live?.decoded()
    }

    /// The Secret with the installation's keys, which has no owner.
    pub(super) fn keys(&self, resource: &str) -> Option<&Secret> {
        self.get(Kind::Secret, &names::keys(resource))?.decoded()
    }

    /// Whether the live object carries the hash of the wanted one.
    pub(super) fn has(&self, wanted: &Object) -> bool {
        let live = self.find(wanted.kind(), wanted.name());
        let hash = |metadata| annotation(metadata, labels::SPEC_HASH);
        live.is_some_and(|live| hash(live).is_some() && hash(live) == hash(wanted.metadata()))
    }

    /// Steps whose object's name is held by somebody else, such as the children of a deleted resource of the same
    /// name, until they are gone.
    fn taken(&self, steps: &[Step], uid: &str) -> impl Iterator<Item = Refusal> {
        steps.iter().filter_map(move |step| {
            let (Step::Apply(object) | Step::Create(object)) = step else { return None };
            let live = self.find(object.kind(), object.name())?;
            // What has no owner is recognised by its labels, and those are what it was found by.
            let owned = object.metadata().owner_references.is_some();
            let taken = if owned { !is_ours(live, uid) } else { live.owner_references.is_some() };
            taken.then(|| Refusal {
                object: object.reference(),
                cause: RefusalCause::NameTaken,
                message: format!("{} exists and is not this resource's", object.reference()),
            })
        })
    }
}
