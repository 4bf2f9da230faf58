use std::collections::BTreeMap;
use std::sync::Arc;

use kube::Resource;
use kube::core::{DeserializeGuard, DynamicObject};

use super::cache::Cache;
use super::key::Key;
use super::references::References;
use super::triggers::Triggers;
use crate::children::Children;
use crate::kinds::{self, Kind};
use crate::object::Live;

/// A custom resource, or why it cannot be decoded.
pub type Decoded<R> = Result<Arc<R>, Arc<str>>;

/// What is known of one kind of custom resource and of the objects around it.
#[derive(Debug)]
pub struct Caches<R> {
    /// The resources.
    pub resources: Arc<Cache<Decoded<R>>>,
    /// The objects around them.
    pub children: Arc<ChildCaches>,
    /// The Secrets that they refer to.
    pub references: Arc<References>,
    /// Which of them to reconcile.
    pub triggers: Arc<Triggers>,
}

impl<R> Caches<R> {
    /// Empty caches. Objects of these kinds belong to the resource whose name is in their label `owner_label`.
    pub fn new(owner_label: &'static str, children: impl Iterator<Item = Kind>) -> Self {
        let by_kind = children.map(|kind| (kind, Arc::default())).collect();
        Self {
            resources: Arc::default(),
            children: Arc::new(ChildCaches { owner_label, by_kind }),
            references: Arc::default(),
            triggers: Arc::default(),
        }
    }
}

impl<R: Resource> Caches<R> {
    /// Takes a resource that was seen, or was the answer to a write. Returns what to reconcile.
    pub fn put(&self, mut resource: DeserializeGuard<R>) -> Vec<Key>
    where
        DeserializeGuard<R>: Resource,
    {
        kinds::prune(&mut resource);
        let metadata = resource.meta().clone();
        let decoded = resource.0.map(Arc::new).map_err(|error| error.error.into());
        self.resources.put(&metadata, Some(Key::of_metadata(&metadata)), decoded)
    }
}

/// The objects around resources, as JSON: a decoded object of Kubernetes is mostly room for fields that it does not
/// have, and takes several times the memory.
#[derive(Debug)]
pub struct ChildCaches {
    owner_label: &'static str,
    by_kind: BTreeMap<Kind, Arc<Cache<Arc<[u8]>>>>,
}

impl ChildCaches {
    /// Each kind and its cache.
    pub(super) fn kinds(&self) -> impl Iterator<Item = (Kind, &Arc<Cache<Arc<[u8]>>>)> {
        self.by_kind.iter().map(|(kind, cache)| (*kind, cache))
    }

    /// The objects of a kind around a resource.
    pub fn list(&self, kind: Kind, owner: &Key) -> serde_json::Result<Vec<Live>> {
        let objects = self.by_kind.get(&kind).into_iter().flat_map(|cache| cache.of(owner));
        objects.map(|json| Live::parse(kind, json)).collect()
    }

    /// All objects around a resource.
    pub fn around(&self, owner: &Key) -> serde_json::Result<Children> {
        let mut children = Children::default();
        for kind in self.by_kind.keys() {
            self.list(*kind, owner)?.into_iter().for_each(|object| children.insert(object));
        }
        Ok(children)
    }

    /// Takes an object that was seen, or was the answer to a write. Returns what to reconcile.
    pub fn put(&self, object: &Live) -> Vec<Key> {
        let metadata = object.metadata();
        // An owner reference could not be selected by; a label can.
        let owner = metadata.labels.as_ref().and_then(|labels| labels.get(self.owner_label));
        let owner = owner.and_then(|owner| Some(Key::new(metadata.namespace.as_ref()?, owner)));
        let cache = self.by_kind.get(&object.kind());
        cache.map(|cache| cache.put(metadata, owner, Arc::clone(object.json()))).unwrap_or_default()
    }

    /// Takes an object as a watch shows it.
    pub(super) fn read(&self, kind: Kind, object: DynamicObject) -> Vec<Key> {
        let key = Key::of(&object);
        match Live::read(kind, object) {
            Ok(object) => self.put(&object),
            Err(error) => {
                tracing::error!(%kind, %key, %error, "the object cannot be decoded and is left alone");
                Vec::new()
            }
        }
    }

    /// Takes the deletion of an object.
    pub fn remove(&self, kind: Kind, key: &Key) {
        if let Some(cache) = self.by_kind.get(&kind) {
            cache.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use sageapi_crds::SageApi;
    use serde_json::json;

    use super::*;
    use crate::labels;

    fn empty() -> Caches<SageApi> {
        Caches::new(labels::INSTANCE, Kind::children())
    }

    fn key(name: &str) -> Key {
        Key::new("billing", name)
    }

    fn config_map(version: &str) -> serde_json::Value {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"config.yaml": "log: {level: \"info\"}\n"}, "immutable": true,
            "metadata": {
                "name": "a", "namespace": "billing", "uid": "u", "resourceVersion": version,
                "labels": {labels::INSTANCE: "prod"}, "annotations": {"team": "billing"},
            },
        })
    }

    fn put(caches: &ChildCaches, object: &serde_json::Value) -> Vec<Key> {
        caches.read(Kind::ConfigMap, serde_json::from_value(object.clone()).unwrap())
    }

    #[test]
    fn what_nobody_reads_is_not_kept() {
        let caches = empty().children;
        let mut fat = config_map("1");
        fat["metadata"]["managedFields"] = json!([{"manager": "kubectl"}]);
        fat["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = "{}".into();
        assert_eq!(put(&caches, &fat), [key("prod")]);
        let kept = caches.list(Kind::ConfigMap, &key("prod")).unwrap();
        assert_eq!(kept[0].to_value().unwrap(), config_map("1"));

        let caches = empty();
        let mut resource = json!({
            "apiVersion": "sageapi.io/v1alpha1", "kind": "SageApi", "metadata": fat["metadata"].clone(),
            "spec": {"database": {"mysql": {"urlSecretRef": {"name": "db"}}}},
        });
        resource["metadata"]["name"] = "prod".into();
        assert_eq!(caches.put(serde_json::from_value(resource).unwrap()), [key("prod")]);
        let metadata = caches.resources.get(&key("prod")).unwrap().unwrap().metadata.clone();
        assert_eq!(metadata.managed_fields, None);
        assert_eq!(metadata.annotations.unwrap().into_keys().collect::<Vec<_>>(), ["team"]);
    }

    #[test]
    fn an_object_held_as_json_is_read_as_it_was_put() {
        let caches = empty().children;
        assert_eq!(put(&caches, &config_map("7")), [key("prod")]);
        let children = caches.around(&key("prod")).unwrap();
        let whole: ConfigMap = serde_json::from_value(config_map("7")).unwrap();
        assert_eq!(children.all::<ConfigMap>().collect::<Vec<_>>(), [&whole]);
        assert!(put(&caches, &config_map("6")).is_empty(), "an event from before it");
    }

    #[test]
    fn a_resource_that_cannot_be_decoded_is_known_with_the_reason() {
        let caches = empty();
        let resource = json!({
            "apiVersion": "sageapi.io/v1alpha1", "kind": "SageApi",
            "metadata": {"name": "prod", "namespace": "billing"}, "spec": {"instances": "many"},
        });
        assert_eq!(caches.put(serde_json::from_value(resource).unwrap()), [key("prod")]);
        assert!(caches.resources.get(&key("prod")).unwrap().is_err());
    }
}
