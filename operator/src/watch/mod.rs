//! What is known of the cluster: caches kept by watches, on every replica, and who is to be looked at when something
//! changes.
//!
//! One object that cannot be decoded stops nothing: a SageApi is decoded one by one, and all else is Kubernetes' own.

mod cache;
mod feed;
mod key;
mod references;
mod slim;
mod triggers;

use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::{Api, Client, Resource, ResourceExt as _};
use sageapi_crds::SageApi;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::cache::Cache;
use self::feed::{Feed, Keep, Match, Sink};
pub use self::key::Key;
pub use self::references::References;
pub use self::triggers::Triggers;
use crate::labels;
use crate::metrics::Metrics;
use sageapi_runtime::Clock;

/// A SageApi, or why it could not be understood.
pub type Decoded = DeserializeGuard<SageApi>;

/// Where to look.
#[derive(Debug, Clone)]
pub struct Scope {
    /// These namespaces; all of them if empty.
    pub namespaces: Vec<String>,
    /// Whether Secrets may be watched; else they are read again from time to time.
    pub secrets: SecretsAccess,
}

/// What the operator may do with Secrets that it did not make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SecretsAccess {
    /// Watch their metadata: changes are seen at once
    Watch,
    /// Only read the ones referred to, once a minute
    Get,
}

/// The caches of one process.
#[derive(Debug)]
pub struct Caches {
    /// The SageApis.
    pub sageapis: Arc<Cache<Decoded>>,
    /// Children.
    pub service_accounts: Arc<Cache<ServiceAccount>>,
    /// Children.
    pub secrets: Arc<Cache<Secret>>,
    /// Children.
    pub config_maps: Arc<Cache<ConfigMap>>,
    /// Children.
    pub jobs: Arc<Cache<Job>>,
    /// Children.
    pub services: Arc<Cache<Service>>,
    /// Children.
    pub network_policies: Arc<Cache<NetworkPolicy>>,
    /// Children.
    pub deployments: Arc<Cache<Deployment>>,
    /// Children.
    pub budgets: Arc<Cache<PodDisruptionBudget>>,
    /// Children of Deployments.
    pub replica_sets: Arc<Cache<ReplicaSet>>,
    /// Children of ReplicaSets and Jobs.
    pub pods: Arc<Cache<Pod>>,
    /// Who refers to which Secret.
    pub references: Arc<References>,
    /// Whom something happened to.
    pub triggers: Arc<Triggers>,
}

impl Default for Caches {
    fn default() -> Self {
        Self {
            sageapis: Arc::new(Cache::new(|object| Some(Key::of(object)))),
            service_accounts: by_label(),
            secrets: by_label(),
            config_maps: by_label(),
            jobs: by_label(),
            services: by_label(),
            network_policies: by_label(),
            deployments: by_label(),
            budgets: by_label(),
            replica_sets: slim_by_label(slim::replica_set),
            pods: slim_by_label(slim::pod),
            references: Arc::default(),
            triggers: Arc::default(),
        }
    }
}

/// What belongs to a SageApi says so by label: children by ownerReference alone could not be selected.
fn by_label<K: Resource<DynamicType = ()> + Serialize + DeserializeOwned>() -> Arc<Cache<K>> {
    slim_by_label(|_| {})
}

fn slim_by_label<K: Resource<DynamicType = ()> + Serialize + DeserializeOwned>(
    slim: fn(&mut K),
) -> Arc<Cache<K>> {
    let belongs_to = |object: &K| Some(Key::new(object.namespace()?, object.labels().get(labels::INSTANCE)?));
    Arc::new(Cache::compact(belongs_to, slim))
}

/// How many lists are under way at a time: each holds one page. More than one, so that a list which is slow does not
/// hold up all others.
const LISTS: usize = 2;

/// Starts watches and knows when every cache is filled.
pub struct Watches {
    client: Client,
    scope: Scope,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
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
        metrics: Arc<Metrics>,
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

    /// Starts every watch that fills the caches.
    pub fn start(&mut self, caches: &Caches) {
        let managed = format!("{}={}", labels::MANAGED_BY, labels::OPERATOR);
        let ours = format!("{}={}", labels::NAME, labels::SERVER);
        self.keep("SageApi", None, &caches.sageapis, caches);
        self.keep("ServiceAccount", Some(&managed), &caches.service_accounts, caches);
        self.keep("ConfigMap", Some(&managed), &caches.config_maps, caches);
        self.keep("Job", Some(&managed), &caches.jobs, caches);
        self.keep("Service", Some(&managed), &caches.services, caches);
        self.keep("NetworkPolicy", Some(&managed), &caches.network_policies, caches);
        self.keep("Deployment", Some(&managed), &caches.deployments, caches);
        self.keep("PodDisruptionBudget", Some(&managed), &caches.budgets, caches);
        self.keep("ReplicaSet", Some(&ours), &caches.replica_sets, caches);
        self.keep("Pod", Some(&ours), &caches.pods, caches);
        if self.scope.secrets == SecretsAccess::Watch {
            self.keep("Secret", Some(&managed), &caches.secrets, caches);
            self.each_namespace(|watches, namespace| {
                let references = Arc::clone(&caches.references);
                let sink = Match::new(references, namespace.clone(), Arc::clone(&caches.triggers));
                watches.feed::<PartialObjectMeta<Secret>>("Secret", None, namespace, sink);
            });
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

    fn keep<K>(&mut self, kind: &'static str, selector: Option<&str>, cache: &Arc<Cache<K>>, caches: &Caches)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        self.each_namespace(|watches, namespace| {
            let sink = Keep::new(Arc::clone(cache), namespace.clone(), Arc::clone(&caches.triggers));
            watches.feed(kind, selector, namespace, sink);
        });
    }

    fn each_namespace(&mut self, mut start: impl FnMut(&mut Self, Option<String>)) {
        if self.scope.namespaces.is_empty() {
            return start(self, None);
        }
        for namespace in self.scope.namespaces.clone() {
            start(self, Some(namespace));
        }
    }

    fn feed<K>(
        &mut self,
        kind: &'static str,
        selector: Option<&str>,
        namespace: Option<String>,
        sink: impl Sink<K> + 'static,
    ) where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let api = match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), &namespace),
            None => Api::all(self.client.clone()),
        };
        let feed = Feed {
            api,
            selector: selector.map(ToOwned::to_owned),
            kind,
            lists: Arc::clone(&self.lists),
            clock: Arc::clone(&self.clock),
            metrics: Arc::clone(&self.metrics),
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
