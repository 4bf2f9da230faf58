//! From what is seen to what is done: pure, and the only place that decides.
//!
//! A plan holds the steps up to the first closed gate. What a gate waits for is observed again by the next
//! reconcile, so that nothing is remembered but what the status says.

mod attempt;
mod children;
mod conditions;
mod database;
mod decide;
mod events;
mod garbage;
mod migration;
mod refusal;
mod status;
mod sync;
mod withdrawn;
mod workload;

pub(crate) use decide::context as render_context;

use std::time::Duration;

use sageapi_crds::{Phase, Reason, SageApiStatus};

use crate::object::{Object, ObjectRef};
use crate::observed::Observed;

/// What to do now.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// In this order. Where one is refused, the others are followed; but if pods would lack its object, only those that
    /// do not rest on it ([`Step::stands_alone`]).
    pub steps: Vec<Step>,
    /// The whole status as it should be. To be written if it differs from the resource's, after the steps; of a
    /// step that was refused the next plan speaks ([`Observed::refusals`]).
    /// `None`: the resource is being deleted.
    pub status: Option<SageApiStatus>,
    /// To be emitted once the status is written.
    pub events: Vec<Note>,
    /// To be counted once the status is written.
    pub metric_updates: Vec<MetricUpdate>,
    /// When to look again if nothing happens before; the runtime adds jitter.
    pub requeue: Duration,
    /// Which instance should be asked for its health now and then.
    pub ask_health: Ask,
}

/// Which instance to ask for its health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ask {
    /// None.
    #[default]
    Nobody,
    /// Any: none is available, and one that is not may tell why.
    Any,
    /// One that serves.
    Serving,
}

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Server-side apply, unless the live object is already so. One that exists must be ours.
    Apply(Object),
    /// Make it, and never change it. If one exists, what was seen is out of date: look again.
    Create(Object),
    /// Delete the one of this UID, after the status is written.
    Delete(ObjectRef),
}

impl Step {
    /// Whether it can be followed while pods lack what they mount or run under.
    pub(crate) fn stands_alone(&self) -> bool {
        matches!(
            self,
            Self::Apply(Object::Service(_) | Object::NetworkPolicy(_) | Object::PodDisruptionBudget(_))
        )
    }
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

/// Something to count.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricUpdate {
    /// A migration's Job ended.
    Migration {
        /// succeeded, refused, failed, unavailable.
        result: &'static str,
        /// How long its container ran, where that is known.
        seconds: Option<f64>,
    },
    /// The Deployment's pod template changes.
    Rollout {
        /// install, image, secrets or spec.
        trigger: &'static str,
    },
}

/// In one word where the installation stands, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Assessment {
    phase: Phase,
    reason: Reason,
    message: String,
    requeue: Duration,
    /// Whether it stays so until a human acts.
    stalled: bool,
}

/// Without any event, the next look: what a watch missed is put right by then.
const RESYNC: Duration = Duration::from_mins(10);

impl Assessment {
    /// Something is under way, or waited for.
    fn new(phase: Phase, reason: Reason, message: impl Into<String>, requeue: Duration) -> Self {
        Self { phase, reason, message: message.into(), requeue, stalled: false }
    }

    /// A human is needed.
    fn stalled(phase: Phase, reason: Reason, message: impl Into<String>) -> Self {
        Self { stalled: true, ..Self::new(phase, reason, message, RESYNC) }
    }
}

/// What to do about what is seen.
pub fn plan(observed: &Observed) -> Plan {
    if observed.resource.metadata.deletion_timestamp.is_some() {
        // The children go by their owner references.
        return Plan {
            steps: Vec::new(),
            status: None,
            events: Vec::new(),
            metric_updates: Vec::new(),
            requeue: RESYNC,
            ask_health: Ask::Nobody,
        };
    }
    decide::Decision::about(observed).into_plan()
}

#[cfg(test)]
mod tests;
