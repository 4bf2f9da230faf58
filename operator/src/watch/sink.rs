use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use kube::Resource;

use super::cache::Cache;
use super::key::Key;
use super::references::References;
use super::triggers::Triggers;

/// Takes the events of one watch.
pub(super) trait Sink<K>: Send {
    /// A complete list begins.
    fn list_begins(&mut self);
    /// An object of the list.
    fn listed(&mut self, object: K);
    /// The list is complete.
    fn list_ends(&mut self);
    /// A new or changed object.
    fn changed(&mut self, object: K);
    /// A deleted object.
    fn deleted(&mut self, object: &K);
}

/// Keeps objects in a cache, and triggers their owners.
pub(super) struct Keep<H, P> {
    cache: Arc<Cache<H>>,
    /// Puts an object into the cache, and returns whom to trigger.
    put: P,
    namespace: Option<String>,
    triggers: Arc<Triggers>,
    /// What the list under way has shown so far.
    present: HashSet<Key>,
}

impl<H, P> Keep<H, P> {
    pub fn new(cache: Arc<Cache<H>>, put: P, namespace: Option<String>, triggers: Arc<Triggers>) -> Self {
        Self { cache, put, namespace, triggers, present: HashSet::new() }
    }
}

impl<K, H, P> Sink<K> for Keep<H, P>
where
    K: Resource,
    H: Send + Sync,
    P: Fn(K) -> Vec<Key> + Send,
{
    fn list_begins(&mut self) {
        self.present.clear();
    }

    fn listed(&mut self, object: K) {
        self.present.insert(Key::of(&object));
        self.changed(object);
    }

    fn list_ends(&mut self) {
        let present = std::mem::take(&mut self.present);
        self.triggers.add(self.cache.retain(self.namespace.as_deref(), &present));
    }

    fn changed(&mut self, object: K) {
        self.triggers.add((self.put)(object));
    }

    fn deleted(&mut self, object: &K) {
        self.triggers.add(self.cache.remove(&Key::of(object)));
    }
}

/// Keeps nothing, not even a list, and triggers the resources that refer to a Secret.
pub(super) struct Match {
    references: Arc<References>,
    namespace: Option<String>,
    triggers: Arc<Triggers>,
    /// Of the Secrets referred to, those that the list has not shown yet.
    missing: BTreeSet<Key>,
}

impl Match {
    pub fn new(references: Arc<References>, namespace: Option<String>, triggers: Arc<Triggers>) -> Self {
        Self { references, namespace, triggers, missing: BTreeSet::new() }
    }
}

impl<K: Resource> Sink<K> for Match {
    fn list_begins(&mut self) {
        self.missing = self.references.existing(self.namespace.as_deref());
    }

    fn listed(&mut self, secret: K) {
        self.missing.remove(&Key::of(&secret));
        self.changed(secret);
    }

    fn list_ends(&mut self) {
        for secret in std::mem::take(&mut self.missing) {
            self.triggers.add(self.references.seen(&secret, None));
        }
    }

    fn changed(&mut self, secret: K) {
        let version = secret.meta().resource_version.as_deref();
        self.triggers.add(self.references.seen(&Key::of(&secret), version));
    }

    fn deleted(&mut self, secret: &K) {
        self.triggers.add(self.references.seen(&Key::of(secret), None));
    }
}
