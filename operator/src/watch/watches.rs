use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Secret;
use kube::core::{DeserializeGuard, DynamicObject, PartialObjectMeta};
use kube::{Api, Client, Resource};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::caches::Caches;
use super::feed::Feed;
use super::scope::{Scope, SecretsAccess};
use super::sink::{Keep, Match, Sink};
use crate::heartbeats::Heartbeats;
use crate::kinds::{Kind, Selector};
use crate::metrics::{KindLabel, Metrics};
use sageapi_runtime::Clock;

/// How many lists are under way at a time: each holds one page. More than one, so that a slow list does not hold up all
/// others.
const LISTS: usize = 2;

/// Metrics of watches.
#[derive(Debug, Clone)]
pub struct WatchMetrics {
    /// When each watch last showed a sign of life.
    pub heartbeats: Heartbeats,
    /// Watches that failed and were started again.
    pub restarts: Family<KindLabel, Counter>,
}

impl WatchMetrics {
    /// Registers them.
    pub fn register(metrics: &mut Metrics, heartbeats: Heartbeats) -> Self {
        let restarts: Family<KindLabel, Counter> =
            metrics.register("watch_restarts", "Watches that failed and were restarted", Family::default());
        for kind in Kind::all().filter(|kind| kind.row().watched.is_some()) {
            drop(restarts.get_or_create(&KindLabel { kind: kind.name() }));
        }
        Self { heartbeats, restarts }
    }
}

/// Starts watches and knows when every cache is filled.
pub struct Watches {
    client: Client,
    scope: Scope,
    clock: Arc<dyn Clock>,
    metrics: WatchMetrics,
    tasks: TaskTracker,
    stop: CancellationToken,
    synced: Arc<Semaphore>,
    lists: Arc<Semaphore>,
    started: u32,
}

impl Watches {
    /// No watch yet.
    pub fn new(
        client: Client,
        scope: Scope,
        clock: Arc<dyn Clock>,
        metrics: WatchMetrics,
        stop: CancellationToken,
    ) -> Self {
        Self {
            client,
            scope,
            clock,
            metrics,
            tasks: TaskTracker::new(),
            stop,
            synced: Arc::new(Semaphore::new(0)),
            lists: Arc::new(Semaphore::new(LISTS)),
            started: 0,
        }
    }

    /// Starts every watch that fills these caches.
    pub fn start<R>(&mut self, kind: Kind, caches: &Arc<Caches<R>>)
    where
        R: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        R: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let watches_secrets = self.scope.secrets == SecretsAccess::Watch;
        for namespace in self.namespaces() {
            let store = Arc::clone(caches);
            let put = move |resource: DeserializeGuard<R>| store.put(resource);
            let (cache, triggers) = (Arc::clone(&caches.resources), Arc::clone(&caches.triggers));
            self.feed(kind, self.api(namespace.as_deref()), Keep::new(cache, put, namespace, triggers));
        }
        for (kind, cache) in
            caches.children.kinds().filter(|(kind, _)| watches_secrets || *kind != Kind::Secret)
        {
            for namespace in self.namespaces() {
                let store = Arc::clone(&caches.children);
                let put = move |object: DynamicObject| store.read(kind, object);
                let (cache, triggers) = (Arc::clone(cache), Arc::clone(&caches.triggers));
                let api = match &namespace {
                    Some(namespace) => {
                        Api::namespaced_with(self.client.clone(), namespace, &kind.api_resource())
                    }
                    None => Api::all_with(self.client.clone(), &kind.api_resource()),
                };
                self.feed(kind, api, Keep::new(cache, put, namespace, triggers));
            }
        }
        for namespace in self.namespaces().into_iter().filter(|_| watches_secrets) {
            let (references, triggers) = (Arc::clone(&caches.references), Arc::clone(&caches.triggers));
            let api = self.api::<PartialObjectMeta<Secret>>(namespace.as_deref());
            self.feed_selected(Kind::Secret, None, api, Match::new(references, namespace, triggers));
        }
    }

    /// Waits until every cache has been filled once.
    pub async fn synced(&self) {
        // The semaphore is never closed.
        let _permits = self.synced.acquire_many(self.started).await;
    }

    /// Waits for the watches to end, after the stop.
    pub async fn ended(self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// The namespaces to watch one by one; `None` stands for all at once.
    fn namespaces(&self) -> Vec<Option<String>> {
        if self.scope.namespaces.is_empty() {
            return vec![None];
        }
        self.scope.namespaces.iter().cloned().map(Some).collect()
    }

    fn api<K>(&self, namespace: Option<&str>) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    fn feed<K>(&mut self, kind: Kind, api: Api<K>, sink: impl Sink<K> + 'static)
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let selector = kind.row().watched.and_then(Selector::to_label_selector);
        self.feed_selected(kind, selector, api, sink);
    }

    fn feed_selected<K>(
        &mut self,
        kind: Kind,
        selector: Option<String>,
        api: Api<K>,
        sink: impl Sink<K> + 'static,
    ) where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let feed = Feed {
            api,
            selector,
            kind,
            may_be_absent: kind.row().may_be_absent,
            lists: Arc::clone(&self.lists),
            clock: Arc::clone(&self.clock),
            heartbeats: self.metrics.heartbeats.clone(),
            restarts: self.metrics.restarts.clone(),
        };
        self.started += 1;
        let (stop, synced) = (self.stop.clone(), Arc::clone(&self.synced));
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = feed.run(sink, || synced.add_permits(1)) => {}
            }
        });
    }
}
