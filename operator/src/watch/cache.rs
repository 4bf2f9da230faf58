use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::key::Key;

/// The objects of one kind as last seen, found by their own key or by the resource that they belong to. `H` is how an
/// object is held.
#[derive(Debug)]
pub struct Cache<H>(RwLock<Inner<H>>);

#[derive(Debug)]
struct Inner<H> {
    objects: HashMap<Key, Entry<H>>,
    /// Sorted; a set would take more room than the few names in it.
    by_owner: HashMap<Key, Vec<Key>>,
}

#[derive(Debug)]
struct Entry<H> {
    uid: Option<Box<str>>,
    version: Option<Box<str>>,
    owner: Key,
    held: H,
}

impl<H> Default for Cache<H> {
    fn default() -> Self {
        Self(RwLock::new(Inner { objects: HashMap::new(), by_owner: HashMap::new() }))
    }
}

impl<H: Clone> Cache<H> {
    /// The object of this key.
    pub fn get(&self, key: &Key) -> Option<H> {
        self.read(|inner| inner.objects.get(key).map(|entry| entry.held.clone()))
    }

    /// The objects that belong to a resource, by name.
    pub fn of(&self, owner: &Key) -> Vec<H> {
        self.read(|inner| {
            let keys = inner.by_owner.get(owner).into_iter().flatten();
            keys.filter_map(|key| Some(inner.objects.get(key)?.held.clone())).collect()
        })
    }

    /// The key of every object.
    pub fn keys(&self) -> Vec<Key> {
        self.read(|inner| inner.objects.keys().cloned().collect())
    }

    /// Every object.
    pub fn all(&self) -> Vec<H> {
        self.read(|inner| inner.objects.values().map(|entry| entry.held.clone()).collect())
    }

    fn read<T>(&self, read: impl FnOnce(&Inner<H>) -> T) -> T {
        read(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<H> Cache<H> {
    /// Takes an object that was seen, or was the answer to a write, unless a newer one is known. One that belongs to no
    /// resource is not kept. Returns the owners to reconcile: none if this very version is known already.
    pub fn put(&self, metadata: &ObjectMeta, owner: Option<Key>, held: H) -> Vec<Key> {
        let key = Key::of_metadata(metadata);
        let (uid, version) = (metadata.uid.as_deref(), metadata.resource_version.as_deref());
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if inner.objects.get(&key).is_some_and(|known| !is_news(known, uid, version)) {
            return Vec::new();
        }
        let mut touched = inner.remove(&key);
        let Some(owner) = owner else { return touched };
        inner.link(&owner, &key);
        if !touched.contains(&owner) {
            touched.push(owner.clone());
        }
        let (uid, version) = (uid.map(Box::from), version.map(Box::from));
        inner.objects.insert(key, Entry { uid, version, owner, held });
        touched
    }

    /// Takes the deletion of an object. Returns the owner to reconcile.
    pub fn remove(&self, key: &Key) -> Vec<Key> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(key)
    }

    /// Takes the deletion of the object of this UID. A later one of the same name stays.
    pub fn forget(&self, key: &Key, uid: Option<&str>) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if inner.objects.get(key).is_some_and(|known| known.uid.as_deref() == uid) {
            inner.remove(key);
        }
    }

    /// Takes a complete list: a namespace, or all of them, has no other objects than these. Returns the owners to
    /// reconcile.
    pub fn retain(&self, namespace: Option<&str>, present: &HashSet<Key>) -> Vec<Key> {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let within = |key: &&Key| namespace.is_none_or(|namespace| key.namespace == namespace);
        let gone: Vec<Key> =
            inner.objects.keys().filter(within).filter(|key| !present.contains(key)).cloned().collect();
        let mut touched: Vec<Key> = gone.iter().flat_map(|key| inner.remove(key)).collect();
        touched.sort();
        touched.dedup();
        touched
    }
}

impl<H> Inner<H> {
    fn link(&mut self, owner: &Key, key: &Key) {
        let keys = self.by_owner.entry(owner.clone()).or_default();
        if let Err(at) = keys.binary_search(key) {
            keys.insert(at, key.clone());
        }
    }

    fn remove(&mut self, key: &Key) -> Vec<Key> {
        let Some(Entry { owner, .. }) = self.objects.remove(key) else { return Vec::new() };
        if let Some(keys) = self.by_owner.get_mut(&owner) {
            keys.retain(|other| other != key);
            if keys.is_empty() {
                self.by_owner.remove(&owner);
            }
        }
        vec![owner]
    }
}

/// Versions of one object grow. The answer to our own write may arrive before older events of the same object.
fn is_news<H>(known: &Entry<H>, uid: Option<&str>, version: Option<&str>) -> bool {
    if known.uid.as_deref() != uid {
        return true;
    }
    let known = known.version.as_deref();
    match (known.and_then(number), version.and_then(number)) {
        (Some(known), Some(seen)) => seen > known,
        _ => known != version,
    }
}

fn number(version: &str) -> Option<u64> {
    version.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, version: u64) -> ObjectMeta {
        ObjectMeta {
            namespace: Some("billing".to_owned()),
            name: Some(name.to_owned()),
            uid: Some(format!("uid-of-{name}")),
            resource_version: Some(version.to_string()),
            ..ObjectMeta::default()
        }
    }

    fn cache() -> Cache<String> {
        Cache::default()
    }

    fn put(cache: &Cache<String>, object: &ObjectMeta, of: &str) -> Vec<Key> {
        let owner = Key::new(object.namespace.clone().unwrap(), of);
        cache.put(object, Some(owner), object.name.clone().unwrap())
    }

    fn owner(name: &str) -> Key {
        Key::new("billing", name)
    }

    fn names(cache: &Cache<String>, of: &str) -> Vec<String> {
        cache.of(&owner(of))
    }

    #[test]
    fn an_object_is_found_by_its_owner_and_moves_with_its_label() {
        let cache = cache();
        assert_eq!(put(&cache, &object("a", 1), "prod"), [owner("prod")]);
        assert_eq!(put(&cache, &object("a", 2), "test"), [owner("prod"), owner("test")]);
        assert!(names(&cache, "prod").is_empty());
        assert_eq!(names(&cache, "test"), ["a"]);
    }

    #[test]
    fn an_event_about_what_is_known_touches_nobody() {
        let cache = cache();
        put(&cache, &object("a", 7), "prod");
        assert!(put(&cache, &object("a", 7), "prod").is_empty(), "the echo of our own write");
        assert!(put(&cache, &object("a", 6), "test").is_empty(), "an event from before it");
        assert_eq!(names(&cache, "prod"), ["a"]);
    }

    #[test]
    fn a_successor_of_the_same_name_replaces_the_old_object() {
        let cache = cache();
        put(&cache, &object("a", 7), "prod");
        let mut successor = object("a", 3);
        successor.uid = Some("another".to_owned());
        assert_eq!(put(&cache, &successor, "prod"), [owner("prod")]);
    }

    #[test]
    fn an_object_reported_gone_is_forgotten_but_not_its_successor() {
        let cache = cache();
        put(&cache, &object("a", 7), "prod");
        cache.forget(&owner("a"), Some("another"));
        assert_eq!(names(&cache, "prod"), ["a"]);
        cache.forget(&owner("a"), Some("uid-of-a"));
        assert!(names(&cache, "prod").is_empty());
    }

    #[test]
    fn what_a_new_list_no_longer_has_is_gone_in_its_namespace_only() {
        let cache = cache();
        put(&cache, &object("a", 1), "prod");
        put(&cache, &object("b", 2), "prod");
        let mut elsewhere = object("c", 3);
        elsewhere.namespace = Some("other".to_owned());
        put(&cache, &elsewhere, "prod");
        assert_eq!(cache.retain(Some("billing"), &HashSet::from([owner("b")])), [owner("prod")]);
        assert_eq!(names(&cache, "prod"), ["b"]);
        assert_eq!(cache.all().len(), 2);
        assert_eq!(cache.retain(None, &HashSet::new()).len(), 2);
    }

    #[test]
    fn an_object_that_lost_its_owner_is_dropped_and_its_owner_told() {
        let cache = cache();
        put(&cache, &object("a", 7), "prod");
        assert!(cache.put(&object("a", 6), None, "a".to_owned()).is_empty(), "an event from before");
        assert_eq!(names(&cache, "prod"), ["a"]);
        assert_eq!(cache.put(&object("a", 8), None, "a".to_owned()), [owner("prod")]);
        assert!(cache.get(&owner("a")).is_none() && names(&cache, "prod").is_empty());
    }
}
