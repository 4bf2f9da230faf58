//! Conditions: what is said now, merged with what was said before.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sageapi_crds::{Condition, ConditionStatus, ConditionType, Reason, SageApiStatus};

/// Longest message in bytes.
const MESSAGE_MAX: usize = 900;

/// What is said now, by type.
#[derive(Debug, Clone, Default)]
pub(super) struct Conditions {
    said: BTreeMap<ConditionType, (ConditionStatus, Reason, String)>,
}

impl Conditions {
    /// Says something of a type; the last word counts.
    pub(super) fn set(
        &mut self,
        of: ConditionType,
        status: ConditionStatus,
        reason: Reason,
        message: impl Into<String>,
    ) {
        self.said.insert(of, (status, reason, message.into()));
    }

    /// Says that it is true.
    pub(super) fn yes(&mut self, of: ConditionType, reason: Reason, message: impl Into<String>) {
        self.set(of, ConditionStatus::True, reason, message);
    }

    /// Says that it is false.
    pub(super) fn no(&mut self, of: ConditionType, reason: Reason, message: impl Into<String>) {
        self.set(of, ConditionStatus::False, reason, message);
    }

    /// What is said of a type, if anything.
    pub(super) fn status(&self, of: ConditionType) -> Option<ConditionStatus> {
        self.said.get(&of).map(|(status, ..)| *status)
    }

    /// Takes back what was said for one of these reasons.
    pub(super) fn clear(&mut self, of: ConditionType, reasons: &[Reason]) {
        if self.said.get(&of).is_some_and(|(_, reason, _)| reasons.contains(reason)) {
            self.said.remove(&of);
        }
    }

    /// Every type, in order. A type of which nothing is said stays as it was. The time is that of the last change of
    /// status, not of reason or message.
    pub(super) fn over(
        self,
        previous: &SageApiStatus,
        generation: Option<i64>,
        now: Timestamp,
    ) -> Vec<Condition> {
        let now = whole_seconds(now);
        ConditionType::ALL
            .iter()
            .map(|of| {
                let before = previous.condition(*of);
                let unknown = || {
                    let before = before.cloned();
                    before.map_or_else(
                        || ("Unknown".to_owned(), Reason::Pending.to_string(), "not checked yet".to_owned()),
                        |before| (before.status, before.reason, before.message),
                    )
                };
                let (status, reason, message) = match self.said.get(of) {
                    Some((status, reason, message)) => {
                        (status.to_string(), reason.to_string(), cut(message, MESSAGE_MAX))
                    }
                    None => unknown(),
                };
                let since = before.filter(|before| before.status == status);
                Condition {
                    type_: of.to_string(),
                    last_transition_time: since
                        .map_or(now.clone(), |before| before.last_transition_time.clone()),
                    status,
                    reason,
                    message,
                    observed_generation: generation,
                }
            })
            .collect()
    }
}

/// Times in a status have no fractions, as everywhere in Kubernetes.
pub(super) fn whole_seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

/// The beginning of a text, at most so many bytes.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most.saturating_sub(3)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}...", &text[..end])
}

/// Whether the database is unusable for now, and recovers by itself.
pub(super) fn is_trouble(reason: Reason) -> bool {
    matches!(reason, Reason::Unreachable | Reason::StorageFull)
}
