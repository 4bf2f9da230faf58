use std::collections::{BTreeSet, HashSet};
use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use super::{Cache, Key, References, Triggers};
use crate::client::brief;
use crate::metrics::{KindLabel, Metrics};
use sageapi_runtime::Clock;

/// Objects in a page of a list. Decoded, with the managers of all its fields, an object takes some 50 KB.
const PAGE: u32 = 50;

/// What becomes of the events of one watch.
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

/// One watch: a kind, in one namespace or in all.
pub(super) struct Feed<K> {
    pub api: Api<K>,
    pub selector: Option<String>,
    pub kind: &'static str,
    /// Whose turn it is to list: memory at the start, when every watch lists, is that of a few pages.
    pub lists: Arc<Semaphore>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
}

impl<K> Feed<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    /// Watches for ever; `synced` is told once, after the first complete list.
    pub async fn run(self, mut sink: impl Sink<K>, synced: impl FnOnce()) {
        let config = watcher::Config {
            label_selector: self.selector.clone(),
            page_size: Some(PAGE),
            ..watcher::Config::default()
        };
        let mut events = pin!(watcher(self.api.clone(), config).default_backoff());
        let mut synced = Some(synced);
        let mut failing = false;
        let mut turn = None;
        while let Some(event) = events.next().await {
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    drop(turn.take());
                    self.failed(&error, std::mem::replace(&mut failing, true));
                    continue;
                }
            };
            if !matches!(event, watcher::Event::Init) && std::mem::take(&mut failing) {
                tracing::info!(kind = self.kind, "the watch works again");
            }
            self.metrics.heartbeats.seen(self.kind, self.clock.monotonic());
            match event {
                watcher::Event::Init => {
                    // The first page is not asked for before the next turn of this loop. The semaphore is never closed.
                    turn = self.lists.acquire().await.ok();
                    sink.list_begins();
                }
                watcher::Event::InitApply(object) => sink.listed(object),
                watcher::Event::InitDone => {
                    sink.list_ends();
                    drop(turn.take());
                    if let Some(synced) = synced.take() {
                        synced();
                    }
                }
                watcher::Event::Apply(object) => sink.changed(object),
                watcher::Event::Delete(object) => sink.deleted(&object),
            }
        }
    }

    fn failed(&self, error: &watcher::Error, already: bool) {
        self.metrics.watch_restarts.get_or_create(&KindLabel { kind: self.kind }).inc();
        let (cause, code) = match error {
            watcher::Error::InitialListFailed(cause)
            | watcher::Error::WatchStartFailed(cause)
            | watcher::Error::WatchFailed(cause) => (brief(cause), code(cause)),
            watcher::Error::WatchError(status) => (status.message.clone(), status.code),
            watcher::Error::NoResourceVersion => (error.to_string(), 0),
        };
        // An expired version is the ordinary end of a watch; what goes on failing is said once.
        if code == 410 || already {
            tracing::debug!(kind = self.kind, cause, "the watch failed");
            return;
        }
        let advice = match code {
            403 => "grant this service account list and watch on it (the chart's RBAC does)",
            404 => "install its definition: sageapi-operator crd | kubectl apply --server-side -f -",
            _ => "it is tried again",
        };
        tracing::warn!(kind = self.kind, cause, advice, "the watch failed");
    }
}

fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        _ => 0,
    }
}

/// Keeps what it sees in a cache, and tells whom it concerns.
pub(super) struct Keep<K> {
    cache: Arc<Cache<K>>,
    namespace: Option<String>,
    triggers: Arc<Triggers>,
    /// What the list under way has shown so far.
    present: HashSet<Key>,
}

impl<K> Keep<K> {
    pub fn new(cache: Arc<Cache<K>>, namespace: Option<String>, triggers: Arc<Triggers>) -> Self {
        Self { cache, namespace, triggers, present: HashSet::new() }
    }
}

impl<K> Sink<K> for Keep<K>
where
    K: Resource<DynamicType = ()> + Send + Sync,
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
        self.triggers.add(self.cache.put(object));
    }

    fn deleted(&mut self, object: &K) {
        self.triggers.add(self.cache.remove(&Key::of(object)));
    }
}

/// Keeps nothing, not even of a list, and tells whom a Secret concerns.
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
