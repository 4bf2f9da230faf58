use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use super::key::Key;

/// Which resource refers to which Secret. Secrets are matched against it as their events arrive; none is kept.
#[derive(Debug, Default)]
pub struct References(Mutex<Index>);

#[derive(Debug, Default)]
struct Index {
    secrets: HashMap<Key, Referenced>,
    by_owner: HashMap<Key, BTreeSet<Key>>,
}

#[derive(Debug, Default)]
struct Referenced {
    owners: BTreeSet<Key>,
    /// The resourceVersion that the owners were reconciled with; `None` where there was no such Secret.
    version: Option<String>,
}

impl References {
    /// The resource `owner` is about to read these Secrets: changes from now on trigger it.
    pub fn expect<'a>(&self, owner: &Key, secrets: impl IntoIterator<Item = &'a Key>) {
        let mut index = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for secret in secrets {
            index.secrets.entry(secret.clone()).or_default().owners.insert(owner.clone());
            index.by_owner.entry(owner.clone()).or_default().insert(secret.clone());
        }
    }

    /// The resource `owner` refers to these Secrets, which were found in these versions, and to no others.
    pub fn set(&self, owner: &Key, found: &BTreeMap<Key, Option<String>>) {
        let mut index = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = index.by_owner.remove(owner).unwrap_or_default();
        for secret in before.iter().filter(|secret| !found.contains_key(secret)) {
            if let Some(referenced) = index.secrets.get_mut(secret) {
                referenced.owners.remove(owner);
                if referenced.owners.is_empty() {
                    index.secrets.remove(secret);
                }
            }
        }
        for (secret, version) in found {
            let referenced = index.secrets.entry(secret.clone()).or_default();
            referenced.owners.insert(owner.clone());
            referenced.version.clone_from(version);
        }
        if !found.is_empty() {
            index.by_owner.insert(owner.clone(), found.keys().cloned().collect());
        }
    }

    /// A Secret was seen in this version, or seen to be gone. Returns the resources to reconcile.
    pub fn seen(&self, secret: &Key, version: Option<&str>) -> BTreeSet<Key> {
        let mut index = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match index.secrets.get_mut(secret) {
            Some(referenced) if referenced.version.as_deref() != version => {
                referenced.version = version.map(ToOwned::to_owned);
                referenced.owners.clone()
            }
            _ => BTreeSet::new(),
        }
    }

    /// Whether anyone refers to the Secret.
    pub fn contains(&self, secret: &Key) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).secrets.contains_key(secret)
    }

    /// The Secrets referred to in a namespace, or anywhere, that are thought to exist.
    pub fn existing(&self, namespace: Option<&str>) -> BTreeSet<Key> {
        let index = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let existing = index.secrets.iter().filter(|(_, referenced)| referenced.version.is_some());
        let within = existing.filter(|(key, _)| namespace.is_none_or(|namespace| key.namespace == namespace));
        within.map(|(key, _)| key.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("billing", name)
    }

    fn found<const N: usize>(secrets: [(&str, Option<&str>); N]) -> BTreeMap<Key, Option<String>> {
        secrets.into_iter().map(|(name, version)| (key(name), version.map(ToOwned::to_owned))).collect()
    }

    #[test]
    fn only_a_change_of_a_secret_that_is_referred_to_is_told_and_once() {
        let index = References::default();
        index.set(&key("prod"), &found([("db", Some("4")), ("late", None)]));
        index.set(&key("test"), &found([("db", Some("4"))]));
        assert!(index.seen(&key("foreign"), Some("9")).is_empty());
        assert!(index.seen(&key("db"), Some("4")).is_empty(), "as it was read");
        assert_eq!(index.seen(&key("db"), Some("5")), BTreeSet::from([key("prod"), key("test")]));
        assert!(index.seen(&key("db"), Some("5")).is_empty());
        assert_eq!(index.seen(&key("late"), Some("6")), BTreeSet::from([key("prod")]), "it appeared");
        assert_eq!(index.seen(&key("late"), None), BTreeSet::from([key("prod")]), "it went");
    }

    #[test]
    fn a_change_while_a_secret_is_being_read_is_not_missed() {
        let index = References::default();
        index.expect(&key("prod"), [&key("db")]);
        assert_eq!(index.seen(&key("db"), Some("5")), BTreeSet::from([key("prod")]));
        index.set(&key("prod"), &found([("db", Some("4"))]));
        assert_eq!(index.seen(&key("db"), Some("5")), BTreeSet::from([key("prod")]));
    }

    #[test]
    fn nothing_is_kept_of_a_secret_that_nobody_refers_to_any_more() {
        let index = References::default();
        index.set(&key("prod"), &found([("db", Some("4")), ("old", Some("1"))]));
        index.set(&key("prod"), &found([("db", Some("4"))]));
        assert!(index.contains(&key("db")) && !index.contains(&key("old")));
        index.set(&key("prod"), &BTreeMap::new());
        assert!(index.existing(None).is_empty());
    }
}
