//! From what is seen to what is done: pure, and the only place that decides.
//!
//! A plan holds the steps up to the first closed gate. What a gate waits for is observed again by the next
//! reconcile, so that nothing is remembered but what the status says.

use std::time::Duration;

use sageapi_crds::SageApiStatus;

use crate::object::{Object, ObjectRef};
use crate::observed::Observed;

/// What to do now.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// In this order; the rest is left when one fails.
    pub steps: Vec<Step>,
    /// The whole status as it should be. To be written if it differs from the resource's, after the steps and
    /// only if all were done; of a step that was refused the next plan speaks ([`Observed::refusals`]).
    /// `None`: the resource is being deleted.
    pub status: Option<SageApiStatus>,
    /// To be emitted once the status is written.
    pub events: Vec<Note>,
    /// To be counted once the status is written.
    pub tallies: Vec<Tally>,
    /// When to look again if nothing happens before; the runtime adds jitter.
    pub requeue: Duration,
    /// Whether a ready instance should be asked for its health now and then.
    pub ask_health: bool,
}

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Server-side apply, unless the live object is already so. One that exists must be ours.
    Apply(Object),
    /// Make it, and never change it. One that exists and is ours is as good, whatever is in it.
    Create(Object),
    /// Delete the one of this UID.
    Delete(ObjectRef),
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
pub enum Tally {
    /// A migration's Job ended.
    Migration {
        /// succeeded, refused, failed, unavailable.
        result: &'static str,
        /// How long its container ran, where that is known.
        seconds: Option<f64>,
    },
    /// The Deployment's pod template changes.
    Rollout {
        /// install, image, secrets, config or spec.
        trigger: &'static str,
    },
}

/// What to do about what is seen.
pub fn plan(_observed: &Observed) -> Plan {
    Plan {
        steps: Vec::new(),
        status: None,
        events: Vec::new(),
        tallies: Vec::new(),
        requeue: Duration::from_mins(10),
        ask_health: false,
    }
}
