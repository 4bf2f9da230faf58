//! Whether a request is within the limits of its subject.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::counters::{Counted, Counters, Reservation};
use crate::model::{GroupLimits, LimitKind, Timestamp, WindowKind};

/// The order in which limits are asked: the first that refuses is named.
const ORDER: [LimitKind; 5] = [
    LimitKind::MaxTokensPerRequest,
    LimitKind::ConcurrentRequests,
    LimitKind::RequestsPerMinute,
    LimitKind::DailyTokens,
    LimitKind::MonthlyTokens,
];
/// When to ask again for a slot: one can get free at any time.
const SLOT_RETRY: Duration = Duration::from_secs(1);

/// What a caller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// How many tokens the request will use at most, if the caller says.
    pub tokens: Option<i64>,
    /// How many its group reserves if the caller does not say.
    pub default_reservation: Option<i64>,
    /// How long the reservation stays open unless it is settled before.
    pub ttl: Duration,
}

/// How far a subject is from one of its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitState {
    /// What is limited.
    pub kind: LimitKind,
    /// The limit: tokens or requests.
    pub limit: i64,
    /// How much of it is used: tokens, requests of the last minute, or open reservations.
    pub used: i64,
    /// How many tokens are reserved.
    pub reserved: i64,
    /// How much is left, never below 0.
    pub remaining: i64,
    /// When nothing that counts now counts any more; `None` where no time makes it so.
    pub resets_at: Option<Timestamp>,
}

/// What was decided about a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What was reserved, or the limit that refused it.
    pub admitted: Result<Reservation, LimitKind>,
    /// The limits of the subject after this check, in the order of [`LimitKind::ALL`]. Kinds without a limit are absent.
    pub limits: Vec<LimitState>,
    /// Where it was refused, how long to wait until the same check may be admitted. `None` if waiting does not help.
    pub retry_after: Option<Duration>,
    /// What is counted now. As before, if it was refused.
    pub counters: Counters,
}

impl Check {
    /// How many tokens are reserved. At least 1, so that a limit of 0 and an exhausted one refuse all.
    pub fn declared(&self) -> i64 {
        self.tokens.or(self.default_reservation).unwrap_or(0).max(1)
    }

    /// How much of a limit it takes.
    fn takes(&self, kind: LimitKind) -> i64 {
        match kind {
            LimitKind::DailyTokens | LimitKind::MonthlyTokens | LimitKind::MaxTokensPerRequest => {
                self.declared()
            }
            LimitKind::RequestsPerMinute | LimitKind::ConcurrentRequests => 1,
        }
    }
}

impl LimitState {
    fn new(kind: LimitKind, limit: i64, (used, reserved): (i64, i64), resets_at: Option<Timestamp>) -> Self {
        let remaining = limit.saturating_sub(used.saturating_add(reserved)).max(0);
        Self { kind, limit, used, reserved, remaining, resets_at }
    }

    /// Whether so much more is above the limit. Exact: two `i64` and a third do not overflow an `i128`.
    fn refuses(&self, more: i64) -> bool {
        i128::from(self.used) + i128::from(self.reserved) + i128::from(more) > i128::from(self.limit)
    }
}

/// Decides whether a request is admitted, all or nothing. Reservations that have expired are to be released before.
pub fn check(
    limits: &GroupLimits,
    counters: &Counters,
    check: &Check,
    now: Timestamp,
    zone: &TimeZone,
) -> Decision {
    let subject = Subject::at(counters, now, zone);
    let before = subject.states(limits);
    let refusing: Vec<_> = before.iter().filter(|state| state.refuses(check.takes(state.kind))).collect();
    let first = ORDER.into_iter().find(|kind| refusing.iter().any(|state| state.kind == *kind));
    if let Some(kind) = first {
        // Of several that refuse, the last to let it pass decides.
        let passes: Option<Vec<_>> =
            refusing.iter().map(|state| subject.passes_at(state, check.takes(state.kind))).collect();
        let retry_at = passes.and_then(|times| times.into_iter().max());
        let retry_after = retry_at.map(|at| time_between(now, at));
        return Decision { admitted: Err(kind), limits: before, retry_after, counters: counters.clone() };
    }
    let declared = check.declared();
    let reservation = Reservation {
        declared,
        day: subject.day.window.start,
        month: subject.month.window.start,
        expires_at: now.plus(check.ttl),
    };
    let mut counters = Counters {
        day: Some(subject.day.reserve(declared)),
        month: Some(subject.month.reserve(declared)),
        ring: counters.ring.clone(),
        open: counters.open.saturating_add(1),
    };
    counters.ring.add(now);
    let limits = states(limits, &counters, now, zone);
    Decision { admitted: Ok(reservation), limits, retry_after: None, counters }
}

/// How far a subject is from its limits, in the order of [`LimitKind::ALL`]. Kinds without a limit are absent.
pub fn states(limits: &GroupLimits, counters: &Counters, now: Timestamp, zone: &TimeZone) -> Vec<LimitState> {
    Subject::at(counters, now, zone).states(limits)
}

/// What counts of a subject at a time.
struct Subject<'a> {
    counters: &'a Counters,
    day: Counted,
    month: Counted,
    now: Timestamp,
}

impl<'a> Subject<'a> {
    fn at(counters: &'a Counters, now: Timestamp, zone: &TimeZone) -> Self {
        let current = |kind, newest| Counted::current(kind, newest, zone, now);
        let day = current(WindowKind::Day, counters.day);
        let month = current(WindowKind::Month, counters.month);
        Self { counters, day, month, now }
    }

    fn states(&self, limits: &GroupLimits) -> Vec<LimitState> {
        let set = |kind: &LimitKind| limits.of(*kind).map(|limit| self.state(*kind, limit));
        LimitKind::ALL.iter().filter_map(set).collect()
    }

    fn state(&self, kind: LimitKind, limit: i64) -> LimitState {
        let tokens = |counted: &Counted| {
            LimitState::new(kind, limit, (counted.used, counted.reserved), counted.window.ends())
        };
        match kind {
            LimitKind::DailyTokens => tokens(&self.day),
            LimitKind::MonthlyTokens => tokens(&self.month),
            LimitKind::RequestsPerMinute => {
                let requests = i64::try_from(self.counters.ring.count(self.now)).unwrap_or(i64::MAX);
                LimitState::new(kind, limit, (requests, 0), self.counters.ring.empty_at(self.now))
            }
            LimitKind::MaxTokensPerRequest => LimitState::new(kind, limit, (0, 0), None),
            LimitKind::ConcurrentRequests => LimitState::new(kind, limit, (self.counters.open, 0), None),
        }
    }

    /// When a limit that refuses so much now lets it pass, at the latest; `None` if it never does.
    fn passes_at(&self, state: &LimitState, takes: i64) -> Option<Timestamp> {
        if takes > state.limit {
            return None;
        }
        match state.kind {
            LimitKind::DailyTokens | LimitKind::MonthlyTokens => state.resets_at,
            LimitKind::RequestsPerMinute => {
                self.counters.ring.free_at(self.now, u64::try_from(state.limit).unwrap_or(0))
            }
            LimitKind::ConcurrentRequests => Some(self.now.plus(SLOT_RETRY)),
            LimitKind::MaxTokensPerRequest => None,
        }
    }
}

/// From one time to a later one; nothing to an earlier one.
fn time_between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(to.micros().saturating_sub(from.micros())).unwrap_or(0))
}

#[cfg(test)]
mod tests;
