//! What a kind of custom resource brings to the controller: how it is observed, and what is decided about it.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use kube::Resource;
use kube::core::object::HasStatus;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::children::Children;
use crate::steps::{Refusal, Step};
use crate::watch::Key;

/// A custom resource that can be reconciled.
pub trait CustomResource:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + HasStatus<Status: Clone + PartialEq + Serialize + Send + Sync>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
}

impl<R> CustomResource for R where
    R: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + HasStatus<Status: Clone + PartialEq + Serialize + Send + Sync>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

/// The status of the resource of a reconciler.
pub type StatusOf<R> = <<R as Reconciler>::Resource as HasStatus>::Status;
/// The plan of a reconciler.
pub type PlanOf<R> = Plan<StatusOf<R>, <R as Reconciler>::FollowUp>;

/// The planner of one kind of custom resource. Everything else (queue, election, watches, writes, retries, status,
/// events) is the controller's.
pub trait Reconciler: Send + Sync + 'static {
    /// The resource.
    type Resource: CustomResource;
    /// What a plan is based on.
    type Observed: Observed + Send + Sync;
    /// What else is done once the status is written.
    type FollowUp: Send + Sync;

    /// Observes the cluster around the resource. `refusals` are what the API server refused before.
    fn observe(
        &self,
        key: &Key,
        resource: &Arc<Self::Resource>,
        refusals: Vec<Refusal>,
    ) -> impl Future<Output = Result<Self::Observed, kube::Error>> + Send;

    /// Decides what to do. Pure: the same observation gives the same plan.
    fn plan(&self, observed: &Self::Observed) -> PlanOf<Self>;

    /// Whether the two statuses differ in progress alone, which need not be written at once.
    fn is_progress(&self, before: &StatusOf<Self>, after: &StatusOf<Self>) -> bool;

    /// Follows up on a plan before its status is written, whether that succeeds or not.
    fn before_status(&self, _key: &Key, _follow_up: &Self::FollowUp) {}

    /// Follows up on a plan whose status is written.
    fn follow_up(&self, key: &Key, follow_up: &Self::FollowUp);

    /// The resource is gone: forgets what was kept about it.
    fn forget(&self, key: &Key);

    /// Work beside the reconciles, for as long as this replica leads.
    fn run_beside(self: Arc<Self>) -> impl Future<Output = ()> + Send;
}

/// What a plan is based on.
pub trait Observed {
    /// The objects around the resource.
    fn children(&self) -> &Children;
    /// What the API server refused.
    fn refusals(&mut self) -> &mut Vec<Refusal>;
}

/// What to do now.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan<S, F> {
    /// In this order. If one is refused, the others are done all the same; but if pods then lack its object, only those
    /// that do not depend on pods ([`Step::is_independent_of_pods`]).
    pub steps: Vec<Step>,
    /// The whole status as it should be. It is written if it differs from the resource's, after the steps; a step that
    /// was refused is reported by the next plan. `None`: the resource is being deleted.
    pub status: Option<S>,
    /// Emitted once the status is written.
    pub events: Vec<Note>,
    /// Done once the status is written.
    pub follow_up: F,
    /// When to reconcile again if nothing happens before; the controller adds jitter.
    pub requeue: Duration,
}

/// An event about the resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Whether it is of type Warning.
    pub warning: bool,
    /// A word for programs.
    pub reason: &'static str,
    /// What was done or tried, as a word; distinguishes notes of one reason.
    pub action: &'static str,
    /// For people; at most [`NOTE_MAX_BYTES`].
    pub message: String,
}

/// Longest [`Note::message`]. The API takes 1,024.
pub const NOTE_MAX_BYTES: usize = 1000;
