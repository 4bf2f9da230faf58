use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use sageapi_crds::{SageApi, SageApiStatus};

use super::health::HealthBook;
use super::metrics::InstallationMetrics;
use super::observe::Observer;
use super::{health, progress};
use crate::children::Children;
use crate::observed::{Observed, Settings};
use crate::plan::{Ask, FollowUp, Plan, plan};
use crate::reconciler::{self, Reconciler};
use crate::steps::Refusal;
use crate::watch::{Caches, Key, SecretsAccess};
use sageapi_runtime::Clock;
use sageapi_runtime::Entropy;

/// How often Secrets are read where they may not be watched.
const SECRETS_INTERVAL: Duration = Duration::from_mins(1);

/// Reconciles SageApis.
pub struct SageApiReconciler {
    /// The cluster.
    pub client: Client,
    /// What is known of it.
    pub caches: Arc<Caches<SageApi>>,
    /// Settings of the operator that apply to every resource.
    pub settings: Settings,
    /// Whether changes of Secrets are watched, or must be polled.
    pub secrets: SecretsAccess,
    /// What instances reported about themselves.
    pub health: Arc<HealthBook>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Metrics.
    pub metrics: InstallationMetrics,
}

impl Reconciler for SageApiReconciler {
    type Resource = SageApi;
    type Observed = Observed;
    type FollowUp = FollowUp;

    async fn observe(
        &self,
        key: &Key,
        resource: &Arc<SageApi>,
        refusals: Vec<Refusal>,
    ) -> Result<Observed, kube::Error> {
        let observer = Observer { client: &self.client, caches: &self.caches, key };
        let secrets = observer.referenced_secrets(&resource.spec).await?;
        if self.secrets == SecretsAccess::Get {
            observer.refresh_own_secrets().await?;
        }
        let mut seed = [0; 128];
        self.entropy.fill(&mut seed);
        Ok(Observed {
            resource: Arc::clone(resource),
            children: observer.children()?,
            secrets,
            refusals,
            health: self.health.latest(key),
            now: self.clock.now().into(),
            seed: crate::observed::KeySeed(seed),
            settings: self.settings.clone(),
        })
    }

    fn plan(&self, observed: &Observed) -> Plan {
        let plan = plan(observed);
        let requeue = match self.secrets {
            SecretsAccess::Watch => plan.requeue,
            SecretsAccess::Get => plan.requeue.min(SECRETS_INTERVAL),
        };
        Plan { requeue, ..plan }
    }

    fn is_progress(&self, before: &SageApiStatus, after: &SageApiStatus) -> bool {
        progress::only_counts_differ(before, after)
    }

    fn before_status(&self, key: &Key, follow_up: &FollowUp) {
        self.health.want(key, follow_up.ask_health);
    }

    fn follow_up(&self, _key: &Key, follow_up: &FollowUp) {
        follow_up.metric_updates.iter().for_each(|update| self.metrics.count(update));
    }

    fn forget(&self, key: &Key) {
        self.health.want(key, Ask::Nobody);
    }

    async fn run_beside(self: Arc<Self>) {
        health::keep_asking(&self.health, &self.caches, &self.clock, &self.entropy).await;
    }
}

impl reconciler::Observed for Observed {
    fn children(&self) -> &Children {
        &self.children
    }

    fn refusals(&mut self) -> &mut Vec<Refusal> {
        &mut self.refusals
    }
}
