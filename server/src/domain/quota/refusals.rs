//! Refusals remembered for a moment, so that a flood of checks of an exhausted user costs few commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::service::{CheckAnswer, RefusedBy};
use crate::model::{CustomerId, GroupLimits, LimitKind, Timestamp, UserId};

/// How long a refusal is repeated at most.
const REMEMBERED_FOR: Duration = Duration::from_millis(250);
/// Users whose refusals are remembered.
const REMEMBERED: u64 = 10_000;

type Key = (CustomerId, UserId);

/// Refusals of this instance. Clones share them.
#[derive(Clone)]
pub struct Refusals {
    known: moka::sync::Cache<Key, Refusal>,
    /// How often something was forgotten: what was decided before that is not remembered.
    forgotten: Arc<AtomicU64>,
}

#[derive(Clone)]
struct Refusal {
    limits: GroupLimits,
    declared: i64,
    until: Timestamp,
    answer: CheckAnswer,
}

impl Refusals {
    /// None yet.
    pub fn new() -> Self {
        let known =
            moka::sync::Cache::builder().max_capacity(REMEMBERED).time_to_live(REMEMBERED_FOR * 4).build();
        Self { known, forgotten: Arc::default() }
    }

    /// The refusal of a check of as many tokens or fewer under the same limits, if it is recent: the same limit refuses this
    /// one too, unless it is larger than a request may be at all.
    pub(super) fn get(
        &self,
        key: &Key,
        limits: &GroupLimits,
        declared: i64,
        now: Timestamp,
    ) -> Option<CheckAnswer> {
        let known = self.known.get(key)?;
        if known.limits != *limits || declared < known.declared || now >= known.until {
            return None;
        }
        let mut answer = known.answer;
        let too_large = |kind| limits.of(kind).is_some_and(|limit| declared > limit);
        if too_large(LimitKind::MaxTokensPerRequest) {
            answer.refused_by = Some(RefusedBy::Limit(LimitKind::MaxTokensPerRequest));
        }
        let never = [LimitKind::MaxTokensPerRequest, LimitKind::DailyTokens, LimitKind::MonthlyTokens];
        if never.into_iter().any(too_large) {
            // Waiting does not make it smaller.
            answer.retry_after = None;
        }
        Some(answer)
    }

    /// The state of things before a decision, for [`Refusals::insert`].
    pub(super) fn epoch(&self) -> u64 {
        self.forgotten.load(Ordering::Acquire)
    }

    /// Remembers a refusal if nothing was forgotten since `epoch`, not beyond the moment at which it may be another.
    pub(super) fn insert(
        &self,
        key: Key,
        limits: GroupLimits,
        declared: i64,
        answer: CheckAnswer,
        (now, epoch): (Timestamp, u64),
    ) {
        if epoch != self.epoch() {
            return;
        }
        let span = answer.retry_after.map_or(REMEMBERED_FOR, |wait| wait.min(REMEMBERED_FOR));
        self.known.insert(key, Refusal { limits, declared, until: now.plus(span), answer });
    }

    /// Forgets a user's refusal: something of its was settled or released.
    pub fn forget(&self, customer: &CustomerId, user: &str) {
        self.forgotten.fetch_add(1, Ordering::AcqRel);
        if let Ok(user) = UserId::parse(user) {
            self.known.invalidate(&(customer.clone(), user));
        }
    }
}

impl Default for Refusals {
    fn default() -> Self {
        Self::new()
    }
}
