//! Events: they report changes, never states.

use sageapi_crds::{ConditionType, Phase, Reason, SageApiStatus};

use super::assessment::Assessment;
use super::conditions::cut;
use crate::reconciler::{NOTE_MAX_BYTES, Note};

/// Notes about what changed from one status to the next.
pub(super) fn notes(before: &SageApiStatus, assessment: &Assessment, failed: Option<&str>) -> Vec<Note> {
    let mut notes = Vec::new();
    if let Some(failed) = failed {
        notes.push(note(true, "MigrationFailed", "Migrate", failed));
    }
    let phase_before = before.phase.as_deref();
    let changed =
        phase_before != Some(assessment.phase.as_str()) || cause(before) != Some(assessment.reason.as_str());
    if !changed {
        return notes;
    }
    let reason = assessment.reason.as_str();
    match assessment.phase {
        // Reported above, attempt by attempt.
        Phase::MigrationFailed if failed.is_some() => {}
        Phase::Invalid => notes.push(note(true, reason, "Validate", &assessment.message)),
        Phase::Resolving => notes.push(note(true, reason, "Resolve", &assessment.message)),
        Phase::Blocked
            if matches!(assessment.reason, Reason::NameConflict | Reason::Forbidden | Reason::Rejected) =>
        {
            notes.push(note(true, reason, "Apply", &assessment.message));
        }
        Phase::Blocked | Phase::MigrationFailed => {
            notes.push(note(true, reason, "Migrate", &assessment.message));
        }
        Phase::Degraded => notes.push(note(true, reason, "Serve", &assessment.message)),
        // Of progress only what blocks it is worth an event.
        Phase::Migrating | Phase::Rolling => {
            if !matches!(assessment.reason, Reason::MigrationPending | Reason::RolloutInProgress) {
                notes.push(note(true, reason, "Roll", &assessment.message));
            }
        }
        Phase::Paused if phase_before.is_some() => {
            notes.push(note(false, reason, "Pause", &assessment.message));
        }
        Phase::Paused => {}
        Phase::Ready => notes.push(note(false, reason, "Serve", &assessment.message)),
    }
    notes
}

/// The cause in the previous status: the reason of Stalled or else of Reconciling.
fn cause(before: &SageApiStatus) -> Option<&str> {
    let stalled = before.condition(ConditionType::Stalled).filter(|stalled| stalled.status == "True");
    stalled
        .or_else(|| before.condition(ConditionType::Reconciling))
        .map(|condition| condition.reason.as_str())
}

pub(super) fn note(warning: bool, reason: &'static str, action: &'static str, message: &str) -> Note {
    Note { warning, reason, action, message: cut(message, NOTE_MAX_BYTES) }
}
