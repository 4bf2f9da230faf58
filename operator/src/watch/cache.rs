use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use kube::Resource;

use super::Key;

/// The objects of one kind as last seen, found by their own key or by the SageApi that they belong to.
#[derive(Debug)]
pub struct Cache<K> {
    belongs_to: fn(&K) -> Option<Key>,
    inner: RwLock<Inner<K>>,
}

#[derive(Debug)]
struct Inner<K> {
    objects: HashMap<Key, Arc<K>>,
    by_owner: HashMap<Key, BTreeSet<Key>>,
}

impl<K: Resource<DynamicType = ()>> Cache<K> {
    /// An empty cache of objects whose owner `belongs_to` tells.
    pub fn new(belongs_to: fn(&K) -> Option<Key>) -> Self {
        Self { belongs_to, inner: RwLock::new(Inner { objects: HashMap::new(), by_owner: HashMap::new() }) }
    }

    /// The object of this key.
    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.read(|inner| inner.objects.get(key).cloned())
    }

    /// The objects that belong to a SageApi, by name.
    pub fn of(&self, owner: &Key) -> Vec<Arc<K>> {
        self.read(|inner| {
            let keys = inner.by_owner.get(owner).into_iter().flatten();
            keys.filter_map(|key| inner.objects.get(key).cloned()).collect()
        })
    }

    /// Every object.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.read(|inner| inner.objects.values().cloned().collect())
    }

    /// Takes an object that was seen or was the answer to a write, unless a newer one is known. The owners to look
    /// at: none if this very version is known already.
    pub fn put(&self, object: K) -> Vec<Key> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        self.put_into(&mut inner, object)
    }

    /// Takes the deletion of an object. The owner to look at.
    pub fn remove(&self, key: &Key) -> Vec<Key> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        self.remove_from(&mut inner, key)
    }

    /// Takes it that an object of this UID is no more. One that was made anew stays.
    pub fn forget(&self, key: &Key, uid: Option<&str>) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if inner.objects.get(key).is_some_and(|known| known.meta().uid.as_deref() == uid) {
            self.remove_from(&mut inner, key);
        }
    }

    /// Takes a complete list of a namespace, or of all of them: what is not in it is gone. The owners to look at.
    pub fn replace(&self, namespace: Option<&str>, listed: Vec<K>) -> Vec<Key> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let present: BTreeSet<Key> = listed.iter().map(Key::of).collect();
        let gone: Vec<Key> = inner
            .objects
            .keys()
            .filter(|key| namespace.is_none_or(|namespace| key.namespace == namespace))
            .filter(|key| !present.contains(key))
            .cloned()
            .collect();
        let mut touched: BTreeSet<Key> =
            gone.iter().flat_map(|key| self.remove_from(&mut inner, key)).collect();
        for object in listed {
            touched.extend(self.put_into(&mut inner, object));
        }
        touched.into_iter().collect()
    }

    fn put_into(&self, inner: &mut Inner<K>, mut object: K) -> Vec<Key> {
        // Nobody reads them, and they are a third of an object.
        object.meta_mut().managed_fields = None;
        let key = Key::of(&object);
        if let Some(known) = inner.objects.get(&key)
            && !is_news(known.as_ref(), &object)
        {
            return Vec::new();
        }
        let mut touched = self.remove_from(inner, &key);
        if let Some(owner) = (self.belongs_to)(&object) {
            inner.by_owner.entry(owner.clone()).or_default().insert(key.clone());
            if !touched.contains(&owner) {
                touched.push(owner);
            }
        }
        inner.objects.insert(key, Arc::new(object));
        touched
    }

    fn remove_from(&self, inner: &mut Inner<K>, key: &Key) -> Vec<Key> {
        let Some(owner) = inner.objects.remove(key).and_then(|object| (self.belongs_to)(&object)) else {
            return Vec::new();
        };
        if let Some(keys) = inner.by_owner.get_mut(&owner) {
            keys.remove(key);
            if keys.is_empty() {
                inner.by_owner.remove(&owner);
            }
        }
        vec![owner]
    }

    fn read<T>(&self, read: impl FnOnce(&Inner<K>) -> T) -> T {
        read(&self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Versions of one object grow. The answer to our own write may come before older events of the same object do.
fn is_news<K: Resource>(known: &K, seen: &K) -> bool {
    let version = |object: &K| object.meta().resource_version.as_ref()?.parse::<u64>().ok();
    if known.meta().uid != seen.meta().uid {
        return true;
    }
    match (version(known), version(seen)) {
        (Some(known), Some(seen)) => seen > known,
        _ => known.meta().resource_version != seen.meta().resource_version,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt as _;

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
        assert_eq!(cache.replace(Some("billing"), vec![object("b", "prod", 2)]), [owner("prod")]);
        assert_eq!(names(&cache, "prod"), ["b"]);
        assert_eq!(cache.all().len(), 2);
        assert_eq!(cache.replace(None, Vec::new()).len(), 2);
    }

    #[test]
    fn what_nobody_reads_is_not_kept() {
        let cache = cache();
        let mut fat = object("a", "prod", 1);
        fat.metadata.managed_fields = Some(vec![]);
        cache.put(fat);
        assert_eq!(cache.get(&owner("a")).unwrap().metadata.managed_fields, None);
    }
}
