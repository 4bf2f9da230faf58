use std::time::Duration;

use sageapi_crds::{Phase, Reason};

/// The state of the installation, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assessment {
    pub(super) phase: Phase,
    pub(super) reason: Reason,
    pub(super) message: String,
    pub(super) requeue: Duration,
    /// Whether it stays so until a human acts.
    pub(super) stalled: bool,
}

/// The next reconcile if nothing happens before: it corrects what a watch missed.
pub(super) const RESYNC: Duration = Duration::from_mins(10);

impl Assessment {
    /// Something is under way, or waited for.
    pub(super) fn new(phase: Phase, reason: Reason, message: impl Into<String>, requeue: Duration) -> Self {
        Self { phase, reason, message: message.into(), requeue, stalled: false }
    }

    /// A human is needed.
    pub(super) fn stalled(phase: Phase, reason: Reason, message: impl Into<String>) -> Self {
        Self { stalled: true, ..Self::new(phase, reason, message, RESYNC) }
    }
}
