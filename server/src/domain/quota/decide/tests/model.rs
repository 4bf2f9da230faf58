//! Random histories of a subject, beside a model that keeps every event and counts from nothing.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::super::counters::{release, settle, use_without_reservation};
use super::super::super::window::window_at;
use super::*;

#[derive(Debug, Clone)]
enum Step {
    Check { tokens: Option<i64>, default_reservation: Option<i64>, ttl: u64 },
    Settle { which: usize, actual: i64 },
    Release { which: usize },
    Use { ago: u64, actual: i64 },
    Wait { micros: u64 },
    Limits(GroupLimits),
    Zone(&'static str),
}

/// What happened, and nothing that was computed from it but windows.
#[derive(Default)]
struct Model {
    open: Vec<Reservation>,
    /// Seconds in which requests were admitted.
    admitted: Vec<i64>,
    /// Tokens used, by window.
    used: BTreeMap<(&'static str, Timestamp), i64>,
}

impl Model {
    /// Used and reserved in a window.
    fn counted(&self, kind: WindowKind, start: Timestamp) -> (i64, i64) {
        let used = self.used.get(&(kind.as_str(), start)).copied().unwrap_or(0);
        let reserved =
            self.open.iter().filter(|open| start_of(open, kind) == start).map(|open| open.declared);
        (used, reserved.sum())
    }

    fn in_minute(&self, now: Timestamp) -> i64 {
        self.admitted.iter().filter(|second| **second >= now.seconds() - 60).count() as i64
    }

    fn refuses(
        &self,
        limits: &GroupLimits,
        declared: i64,
        now: Timestamp,
        windows: [Window; 2],
    ) -> Option<LimitKind> {
        let tokens = |kind, window: Window| {
            let (used, reserved) = self.counted(kind, window.start);
            used + reserved + declared
        };
        let wanted = [
            (MAX, declared),
            (CONCURRENT, self.open.len() as i64 + 1),
            (RPM, self.in_minute(now) + 1),
            (DAILY, tokens(WindowKind::Day, windows[0])),
            (MONTHLY, tokens(WindowKind::Month, windows[1])),
        ];
        let above = |(kind, wanted): &(LimitKind, i64)| limits.of(*kind).is_some_and(|limit| *wanted > limit);
        wanted.iter().find(|row| above(row)).map(|(kind, _)| *kind)
    }

    fn uses(&mut self, kind: WindowKind, start: Timestamp, actual: i64) {
        *self.used.entry((kind.as_str(), start)).or_default() += actual;
    }
}

fn start_of(reservation: &Reservation, kind: WindowKind) -> Timestamp {
    match kind {
        WindowKind::Day => reservation.day,
        WindowKind::Month => reservation.month,
    }
}

const KINDS: [WindowKind; 2] = [WindowKind::Day, WindowKind::Month];

fn limits() -> impl Strategy<Value = GroupLimits> {
    let limit = |max: i64| prop::option::weighted(0.6, prop_oneof![1 => Just(0), 9 => 1..max]);
    (limit(300), limit(600), limit(6), limit(100), limit(5)).prop_map(
        |(daily_tokens, monthly_tokens, requests_per_minute, max_tokens_per_request, concurrent_requests)| {
            GroupLimits {
                daily_tokens,
                monthly_tokens,
                requests_per_minute,
                max_tokens_per_request,
                concurrent_requests,
            }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let wait = prop_oneof![3 => 0..2_000_000u64, 3 => 0..60_000_000u64, 2 => 0..40_000_000_000u64,
        1 => 0..2_000_000_000_000u64];
    prop_oneof![
        8 => (prop::option::of(-1..60i64), prop::option::of(0..60i64), 1..3600u64)
            .prop_map(|(tokens, default_reservation, ttl)| Step::Check { tokens, default_reservation, ttl }),
        3 => (any::<usize>(), 0..80i64).prop_map(|(which, actual)| Step::Settle { which, actual }),
        2 => any::<usize>().prop_map(|which| Step::Release { which }),
        1 => (0..100_000_000_000u64, 0..50i64).prop_map(|(ago, actual)| Step::Use { ago, actual }),
        4 => wait.prop_map(|micros| Step::Wait { micros }),
        1 => limits().prop_map(Step::Limits),
    ]
}

fn zone_step() -> impl Strategy<Value = Step> {
    let zones = ["UTC", "Asia/Shanghai", "America/New_York", "Pacific/Apia", "Pacific/Kiritimati"];
    prop_oneof![9 => step(), 1 => prop::sample::select(zones.to_vec()).prop_map(Step::Zone)]
}

/// Takes one of the open reservations.
fn take(open: &mut Vec<Reservation>, which: usize) -> Option<Reservation> {
    (!open.is_empty()).then(|| open.swap_remove(which % open.len()))
}

fn used_plus_reserved(counted: Option<Counted>) -> i64 {
    counted.map_or(0, |counted| counted.used + counted.reserved)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_decision_is_that_of_a_model_that_counts_from_nothing(
        start in 1_293_840_000_000_000..1_400_000_000_000_000i64,
        zone in prop::sample::select(vec!["UTC", "America/New_York", "Pacific/Apia"]),
        first in limits(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let (zone, mut limits, mut now) = (TimeZone::get(zone).unwrap(), first, Timestamp::from_micros(start));
        let (mut counters, mut model) = (Counters::default(), Model::default());
        for step in steps {
            let windows = KINDS.map(|kind| window_at(kind, &zone, now));
            match step {
                Step::Wait { micros } => now = now.plus(Duration::from_micros(micros)),
                Step::Limits(new) => limits = new,
                Step::Zone(_) => {}
                Step::Check { tokens, default_reservation, ttl } => {
                    for expired in model.open.extract_if(.., |open| open.expires_at <= now) {
                        counters = release(&counters, &expired, now);
                    }
                    let asked = Check { tokens, default_reservation, ttl: Duration::from_secs(ttl) };
                    let decision = check(&limits, &counters, &asked, now, &zone);
                    if let Some(kind) = model.refuses(&limits, asked.declared(), now, windows) {
                        prop_assert_eq!(decision.admitted, Err(kind));
                        prop_assert_eq!(&decision.counters, &counters);
                    } else {
                        let reservation = decision.admitted.unwrap();
                        let starts = KINDS.map(|kind| start_of(&reservation, kind));
                        prop_assert_eq!(starts, windows.map(|window| window.start));
                        model.open.push(reservation);
                        model.admitted.push(now.seconds());
                        for (limit, counted) in [
                            (limits.daily_tokens, decision.counters.day),
                            (limits.monthly_tokens, decision.counters.month),
                        ] {
                            prop_assert!(limit.is_none_or(|limit| used_plus_reserved(counted) <= limit));
                        }
                    }
                    counters = decision.counters;
                }
                Step::Settle { which, actual } => if let Some(closed) = take(&mut model.open, which) {
                    counters = settle(&counters, &closed, actual, now);
                    for kind in KINDS {
                        model.uses(kind, start_of(&closed, kind), actual);
                    }
                },
                Step::Release { which } => if let Some(closed) = take(&mut model.open, which) {
                    counters = release(&counters, &closed, now);
                },
                Step::Use { ago, actual } => {
                    let event_time = now.minus(Duration::from_micros(ago));
                    counters = use_without_reservation(&counters, event_time, actual, now, &zone);
                    for kind in KINDS {
                        model.uses(kind, window_at(kind, &zone, event_time).start, actual);
                    }
                }
            }
            prop_assert_eq!(counters.open, model.open.len() as i64);
            let all = only(&LimitKind::ALL.iter().map(|kind| (*kind, 1_000_000)).collect::<Vec<_>>());
            let shown = states(&all, &counters, now, &zone);
            let windows = KINDS.map(|kind| window_at(kind, &zone, now));
            for (state, (kind, window)) in shown.iter().zip(KINDS.into_iter().zip(windows)) {
                prop_assert_eq!((state.used, state.reserved), model.counted(kind, window.start));
                prop_assert_eq!(state.resets_at, Some(window.end));
            }
            prop_assert_eq!(shown[2].used, model.in_minute(now));
        }
    }

    #[test]
    fn waiting_as_long_as_told_is_enough(
        first in limits(), asked in 1..60i64, steps in prop::collection::vec((1..60i64, 0..3_000_000u64), 0..30),
    ) {
        let zone = TimeZone::get("America/New_York").unwrap();
        let (mut counters, mut now, mut open) = (Counters::default(), noon(), Vec::new());
        for (tokens, wait) in steps {
            now = now.plus(Duration::from_micros(wait));
            let decision = check(&first, &counters, &asks(tokens), now, &zone);
            open.extend(decision.admitted);
            counters = decision.counters;
        }
        let refused = check(&first, &counters, &asks(asked), now, &zone);
        if refused.admitted.is_err() && let Some(wait) = refused.retry_after {
            // Slots get free only by what others do.
            let later = now.plus(wait);
            for open in &open {
                counters = settle(&counters, open, open.declared, now);
            }
            prop_assert!(check(&first, &counters, &asks(asked), later, &zone).admitted.is_ok());
        }
        if refused.admitted.is_err() && refused.retry_after.is_none() {
            for days in [0, 1, 40, 400] {
                let later = now.plus(Duration::from_secs(days * 86_400));
                prop_assert!(check(&first, &counters, &asks(asked), later, &zone).admitted.is_err());
            }
        }
    }

    #[test]
    fn whatever_happens_limits_hold_and_nothing_stays_reserved(
        start in 1_293_840_000_000_000..1_400_000_000_000_000i64,
        first in limits(),
        steps in prop::collection::vec(zone_step(), 1..120),
    ) {
        let (mut zone, mut limits, mut now) = (TimeZone::UTC, first, Timestamp::from_micros(start));
        let (mut counters, mut open) = (Counters::default(), Vec::new());
        let mut last = [Timestamp::from_micros(0); 2];
        for step in steps {
            match step {
                Step::Wait { micros } => now = now.plus(Duration::from_micros(micros)),
                Step::Limits(new) => limits = new,
                Step::Zone(name) => zone = TimeZone::get(name).unwrap(),
                Step::Check { tokens, default_reservation, ttl } => {
                    let asked = Check { tokens, default_reservation, ttl: Duration::from_secs(ttl) };
                    let decision = check(&limits, &counters, &asked, now, &zone);
                    counters = decision.counters;
                    let Ok(reservation) = decision.admitted else { continue };
                    open.push(reservation);
                    for state in decision.limits {
                        prop_assert!(state.used + state.reserved <= state.limit || state.kind == MAX);
                    }
                }
                Step::Settle { which, actual } => if let Some(closed) = take(&mut open, which) {
                    counters = settle(&counters, &closed, actual, now);
                },
                Step::Release { which } => if let Some(closed) = take(&mut open, which) {
                    counters = release(&counters, &closed, now);
                },
                Step::Use { ago, actual } => {
                    let event_time = now.minus(Duration::from_micros(ago));
                    counters = use_without_reservation(&counters, event_time, actual, now, &zone);
                }
            }
            prop_assert_eq!(counters.open, open.len() as i64);
            // Rows only follow each other: the newest is never replaced by one that overlaps it.
            for (counted, end) in [counters.day, counters.month].into_iter().zip(&mut last) {
                let Some(Counted { window, used, reserved }) = counted else { continue };
                prop_assert!(used >= 0 && reserved >= 0);
                prop_assert!(window.end == *end || window.start >= *end);
                *end = window.end;
            }
        }
        for open in &open {
            counters = release(&counters, open, now);
        }
        prop_assert_eq!(counters.open, 0);
        for counted in [counters.day, counters.month].into_iter().flatten() {
            prop_assert!(counted.reserved == 0 || counted.window.has_ended(now));
        }
    }
}
