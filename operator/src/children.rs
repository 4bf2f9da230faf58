//! The objects around a resource, as they were last seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;

use crate::kinds::{Kind, Pods};
use crate::object::Live;
use crate::steps::{Refusal, RefusalCause};

/// Objects in the resource's namespace that carry its label, regardless of their owner, by kind and name.
#[derive(Debug, Clone, Default)]
pub struct Children(BTreeMap<Kind, BTreeMap<String, Arc<Live>>>);

impl Children {
    /// Adds an object, in place of an older one of the same name.
    pub fn insert(&mut self, object: Live) {
        let name = object.metadata().name.clone().unwrap_or_default();
        self.0.entry(object.kind()).or_default().insert(name, Arc::new(object));
    }

    /// The object of this kind and name.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Live> {
        self.0.get(&kind)?.get(name).map(Arc::as_ref)
    }

    /// The metadata of the object of this kind and name.
    pub fn find(&self, kind: Kind, name: &str) -> Option<&ObjectMeta> {
        self.get(kind, name).map(Live::metadata)
    }

    /// The metadata of every object of a kind, by name.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &ObjectMeta> {
        self.0.get(&kind).into_iter().flat_map(BTreeMap::values).map(|object| object.metadata())
    }

    /// Every object of a type, by name.
    pub fn all<K>(&self) -> impl Iterator<Item = &K>
    where
        K: k8s_openapi::Resource + DeserializeOwned + Send + Sync + 'static,
    {
        let objects = self.0.get(&Kind::of::<K>());
        objects.into_iter().flat_map(BTreeMap::values).filter_map(|object| object.decoded())
    }

    /// Whether a refused write leaves pods without what they mount or run under: its object is missing, or is somebody
    /// else's. An object that stays as it was, or that no pod needs in order to start, holds up nothing.
    pub fn lack(&self, refusal: &Refusal) -> bool {
        let object = &refusal.object;
        let missing = object.uid.is_none() && self.find(object.kind, &object.name).is_none();
        object.kind.row().pods == Pods::Need && (missing || refusal.cause == RefusalCause::NameTaken)
    }
}

#[cfg(test)]
impl Children {
    /// Adds a typed object.
    pub(crate) fn put<K: k8s_openapi::Resource + serde::Serialize>(&mut self, object: &K) {
        let json = serde_json::to_vec(object).unwrap();
        self.insert(Live::parse(Kind::of::<K>(), json.into()).unwrap());
    }

    /// Removes the objects of a kind that this holds for.
    pub(crate) fn remove_if(&mut self, kind: Kind, mut condition: impl FnMut(&Live) -> bool) {
        self.0.entry(kind).or_default().retain(|_, object| !condition(object));
    }

    /// Removes all objects of a kind.
    pub(crate) fn clear(&mut self, kind: Kind) {
        self.0.remove(&kind);
    }
}
