use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Key;

/// What kubectl leaves on whatever it applies: a second copy of the object, which nobody reads.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The objects of one kind as last seen, found by their own key or by the SageApi that they belong to.
#[derive(Debug)]
pub struct Cache<K> {
    belongs_to: fn(&K) -> Option<Key>,
    /// Takes from an object what nobody reads.
    slim: fn(&mut K),
    form: Form<K>,
    inner: RwLock<Inner<K>>,
}

/// How objects are held.
#[derive(Debug)]
enum Form<K> {
    Decoded,
    /// As JSON, and decoded by every read. A decoded object of Kubernetes is mostly room for fields that it does not
    /// have, and takes several times the memory.
    Json {
        write: fn(&K) -> serde_json::Result<Vec<u8>>,
        read: fn(&[u8]) -> serde_json::Result<K>,
    },
}

#[derive(Debug)]
enum Body<K> {
    Decoded(Arc<K>),
    Json(Box<[u8]>),
}

#[derive(Debug)]
struct Entry<K> {
    uid: Option<Box<str>>,
    version: Option<Box<str>>,
    owner: Option<Key>,
    body: Body<K>,
}

#[derive(Debug)]
struct Inner<K> {
    objects: HashMap<Key, Entry<K>>,
    /// Sorted; a set would take more room than the few names in it.
    by_owner: HashMap<Key, Vec<Key>>,
}

impl<K: Resource<DynamicType = ()> + Serialize + DeserializeOwned> Cache<K> {
    /// An empty cache of objects whose owner `belongs_to` tells, held as JSON without what `slim` takes from them.
    pub fn compact(belongs_to: fn(&K) -> Option<Key>, slim: fn(&mut K)) -> Self {
        let form = Form::Json { write: serde_json::to_vec, read: |json| serde_json::from_slice(json) };
        Self { slim, form, ..Self::new(belongs_to) }
    }
}

impl<K: Resource<DynamicType = ()>> Cache<K> {
    /// An empty cache of objects whose owner `belongs_to` tells.
    pub fn new(belongs_to: fn(&K) -> Option<Key>) -> Self {
        let inner = Inner { objects: HashMap::new(), by_owner: HashMap::new() };
        Self { belongs_to, slim: |_| {}, form: Form::Decoded, inner: RwLock::new(inner) }
    }

    /// The object of this key.
    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.read(|inner| inner.objects.get(key).and_then(|entry| self.object(entry)))
    }

    /// The objects that belong to a SageApi, by name.
    pub fn of(&self, owner: &Key) -> Vec<Arc<K>> {
        self.read(|inner| {
            let keys = inner.by_owner.get(owner).into_iter().flatten();
            keys.filter_map(|key| self.object(inner.objects.get(key)?)).collect()
        })
    }

    /// Every object.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.read(|inner| inner.objects.values().filter_map(|entry| self.object(entry)).collect())
    }

    /// Takes an object that was seen or was the answer to a write, unless a newer one is known. The owners to look
    /// at: none if this very version is known already.
    pub fn put(&self, mut object: K) -> Vec<Key> {
        prune(&mut object);
        (self.slim)(&mut object);
        let key = Key::of(&object);
        let entry = self.entry(object);
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = inner.objects.get(&key)
            && !is_news(known, &entry)
        {
            return Vec::new();
        }
        let mut touched = inner.remove(&key);
        if let Some(owner) = &entry.owner {
            inner.link(owner, &key);
            if !touched.contains(owner) {
                touched.push(owner.clone());
            }
        }
        inner.objects.insert(key, entry);
        touched
    }

    /// Takes the deletion of an object. The owner to look at.
    pub fn remove(&self, key: &Key) -> Vec<Key> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner).remove(key)
    }

    /// Takes it that an object of this UID is no more. One that was made anew stays.
    pub fn forget(&self, key: &Key, uid: Option<&str>) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if inner.objects.get(key).is_some_and(|known| known.uid.as_deref() == uid) {
            inner.remove(key);
        }
    }

    /// Takes it that a namespace, or all of them, has no other objects than these. The owners to look at.
    pub fn retain(&self, namespace: Option<&str>, present: &HashSet<Key>) -> Vec<Key> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let within = |key: &&Key| namespace.is_none_or(|namespace| key.namespace == namespace);
        let gone: Vec<Key> =
            inner.objects.keys().filter(within).filter(|key| !present.contains(key)).cloned().collect();
        let mut touched: Vec<Key> = gone.iter().flat_map(|key| inner.remove(key)).collect();
        touched.sort();
        touched.dedup();
        touched
    }

    fn entry(&self, object: K) -> Entry<K> {
        let meta = object.meta();
        let (uid, version) = (boxed(meta.uid.as_deref()), boxed(meta.resource_version.as_deref()));
        let owner = (self.belongs_to)(&object);
        let json = match &self.form {
            Form::Decoded => None,
            Form::Json { write, .. } => write(&object).ok(),
        };
        let body = match json {
            // A copy: cut to its length, what was written into would leave holes between objects that stay for long.
            Some(json) => Body::Json(Box::from(json.as_slice())),
            None => Body::Decoded(Arc::new(object)),
        };
        Entry { uid, version, owner, body }
    }

    fn object(&self, entry: &Entry<K>) -> Option<Arc<K>> {
        match (&entry.body, &self.form) {
            (Body::Decoded(object), _) => Some(Arc::clone(object)),
            (Body::Json(json), Form::Json { read, .. }) => read(json).ok().map(Arc::new),
            (Body::Json(_), Form::Decoded) => None,
        }
    }

    fn read<T>(&self, read: impl FnOnce(&Inner<K>) -> T) -> T {
        read(&self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<K> Inner<K> {
    fn link(&mut self, owner: &Key, key: &Key) {
        let keys = self.by_owner.entry(owner.clone()).or_default();
        if let Err(at) = keys.binary_search(key) {
            keys.insert(at, key.clone());
        }
    }

    fn remove(&mut self, key: &Key) -> Vec<Key> {
        let Some(owner) = self.objects.remove(key).and_then(|entry| entry.owner) else {
            return Vec::new();
        };
        if let Some(keys) = self.by_owner.get_mut(&owner) {
            keys.retain(|other| other != key);
            if keys.is_empty() {
                self.by_owner.remove(&owner);
            }
        }
        vec![owner]
    }
}

/// What nobody reads is not kept, and is half of an object.
fn prune<K: Resource>(object: &mut K) {
    object.meta_mut().managed_fields = None;
    if object.meta().annotations.is_some() {
        object.annotations_mut().remove(LAST_APPLIED);
    }
}

fn boxed(text: Option<&str>) -> Option<Box<str>> {
    text.map(Box::from)
}

/// Versions of one object grow. The answer to our own write may come before older events of the same object do.
fn is_news<K>(known: &Entry<K>, seen: &Entry<K>) -> bool {
    let version = |entry: &Entry<K>| entry.version.as_ref()?.parse::<u64>().ok();
    if known.uid != seen.uid {
        return true;
    }
    match (version(known), version(seen)) {
        (Some(known), Some(seen)) => seen > known,
        _ => known.version != seen.version,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn object(name: &str, owner: &str, version: u64) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.namespace = Some("billing".to_owned());
        object.metadata.name = Some(name.to_owned());
        object.metadata.uid = Some(format!("uid-of-{name}"));
        object.metadata.resource_version = Some(version.to_string());
        object.labels_mut().insert("owner".to_owned(), owner.to_owned());
        object
    }

    fn cache() -> Cache<ConfigMap> {
        Cache::new(|object| Some(Key::new(object.namespace()?, object.labels().get("owner")?)))
    }

    fn compact() -> Cache<ConfigMap> {
        Cache::compact(cache().belongs_to, |_| {})
    }

    fn owner(name: &str) -> Key {
        Key::new("billing", name)
    }

    fn names(cache: &Cache<ConfigMap>, of: &str) -> Vec<String> {
        cache.of(&owner(of)).iter().map(|object| object.name_any()).collect()
    }

    #[test]
    fn an_object_is_found_by_its_owner_and_moves_with_its_label() {
        let cache = cache();
        assert_eq!(cache.put(object("a", "prod", 1)), [owner("prod")]);
        assert_eq!(cache.put(object("a", "test", 2)), [owner("prod"), owner("test")]);
        assert!(names(&cache, "prod").is_empty());
        assert_eq!(names(&cache, "test"), ["a"]);
    }

    #[test]
    fn an_event_about_what_is_known_touches_nobody() {
        let cache = cache();
        cache.put(object("a", "prod", 7));
        assert!(cache.put(object("a", "prod", 7)).is_empty(), "the echo of our own write");
        assert!(cache.put(object("a", "test", 6)).is_empty(), "an event from before it");
        assert_eq!(names(&cache, "prod"), ["a"]);
    }

    #[test]
    fn an_object_made_anew_under_the_same_name_replaces_the_old_one() {
        let cache = cache();
        cache.put(object("a", "prod", 7));
        let mut anew = object("a", "prod", 3);
        anew.metadata.uid = Some("another".to_owned());
        assert_eq!(cache.put(anew), [owner("prod")]);
    }

    #[test]
    fn what_is_said_to_be_gone_is_forgotten_but_not_what_took_its_name() {
        let cache = cache();
        cache.put(object("a", "prod", 7));
        cache.forget(&owner("a"), Some("another"));
        assert_eq!(names(&cache, "prod"), ["a"]);
        cache.forget(&owner("a"), Some("uid-of-a"));
        assert!(names(&cache, "prod").is_empty());
    }

    #[test]
    fn what_a_new_list_no_longer_has_is_gone_in_its_namespace_only() {
        let cache = cache();
        cache.put(object("a", "prod", 1));
        cache.put(object("b", "prod", 2));
        let mut elsewhere = object("c", "prod", 3);
        elsewhere.metadata.namespace = Some("other".to_owned());
        cache.put(elsewhere);
        assert_eq!(cache.retain(Some("billing"), &HashSet::from([owner("b")])), [owner("prod")]);
        assert_eq!(names(&cache, "prod"), ["b"]);
        assert_eq!(cache.all().len(), 2);
        assert_eq!(cache.retain(None, &HashSet::new()).len(), 2);
    }

    #[test]
    fn what_nobody_reads_is_not_kept() {
        for cache in [cache(), compact()] {
            let mut fat = object("a", "prod", 1);
            fat.metadata.managed_fields = Some(vec![]);
            fat.annotations_mut().insert(LAST_APPLIED.to_owned(), "{}".to_owned());
            fat.annotations_mut().insert("team".to_owned(), "billing".to_owned());
            cache.put(fat);
            let kept = cache.get(&owner("a")).unwrap();
            assert_eq!(kept.metadata.managed_fields, None);
            assert_eq!(kept.annotations().keys().collect::<Vec<_>>(), ["team"]);
        }
    }

    #[test]
    fn an_object_held_as_json_is_read_as_it_was_put() {
        let cache = compact();
        let mut whole = object("a", "prod", 7);
        whole.data = Some([("config.yaml".to_owned(), "log: {level: \"info\"}\n".to_owned())].into());
        whole.immutable = Some(true);
        assert_eq!(cache.put(whole.clone()), [owner("prod")]);
        assert_eq!(cache.get(&owner("a")).as_deref(), Some(&whole));
        assert_eq!(cache.of(&owner("prod")), [Arc::new(whole)]);
        assert!(cache.put(object("a", "prod", 6)).is_empty(), "an event from before it");
    }
}
