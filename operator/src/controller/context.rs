use std::collections::BTreeMap;
use std::sync::Arc;

use kube::Client;
use kube::runtime::events::Recorder;

use super::apply::Contested;
use super::metrics::ControllerMetrics;
use super::refused::Refused;
use super::written::Written;
use crate::reconciler::Reconciler;
use crate::watch::{Caches, Key};
use sageapi_runtime::Clock;
use sageapi_runtime::Entropy;

/// What every reconcile needs.
pub struct Context<R: Reconciler> {
    /// The cluster.
    pub client: Client,
    /// What is known of it.
    pub caches: Arc<Caches<R::Resource>>,
    /// What observes and decides.
    pub reconciler: Arc<R>,
    /// Emits events.
    pub recorder: Recorder,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Metrics.
    pub metrics: ControllerMetrics,
    /// Children that something else keeps changing back.
    pub(super) contested: Contested,
    /// Writes that the API server refused.
    pub(super) refused: Refused,
    /// When statuses were written.
    pub(super) written: Written,
}

impl<R: Reconciler> Context<R> {
    /// A context in which nothing has happened yet.
    pub fn new(
        client: Client,
        caches: Arc<Caches<R::Resource>>,
        reconciler: Arc<R>,
        recorder: Recorder,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        metrics: ControllerMetrics,
    ) -> Self {
        Self {
            client,
            caches,
            reconciler,
            recorder,
            clock,
            entropy,
            metrics,
            contested: Contested::default(),
            refused: Refused::default(),
            written: Written::default(),
        }
    }

    /// The resource is gone: nothing is kept about it.
    pub(super) fn forget(&self, key: &Key) {
        self.caches.references.set(key, &BTreeMap::new());
        self.refused.keep(key, &[]);
        self.written.forget(key);
        self.reconciler.forget(key);
    }
}
