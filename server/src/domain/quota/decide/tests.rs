use super::super::Ring;
use super::super::counters::{release, settle, use_without_reservation};
use super::super::window::window_at;
use super::*;
use crate::model::LimitKind::{
    ConcurrentRequests as CONCURRENT, DailyTokens as DAILY, MaxTokensPerRequest as MAX,
    MonthlyTokens as MONTHLY, RequestsPerMinute as RPM,
};
use crate::model::Window;

mod closing;
mod model;

const TTL: Duration = Duration::from_secs(600);

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn noon() -> Timestamp {
    at("2026-05-28T12:00:00Z")
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn asks(tokens: impl Into<Option<i64>>) -> Check {
    Check { tokens: tokens.into(), default_reservation: None, ttl: TTL }
}

/// Limits of which only these are set.
fn only(set: &[(LimitKind, i64)]) -> GroupLimits {
    let of = |kind| set.iter().find(|(of, _)| *of == kind).map(|(_, limit)| *limit);
    GroupLimits {
        daily_tokens: of(LimitKind::DailyTokens),
        monthly_tokens: of(LimitKind::MonthlyTokens),
        requests_per_minute: of(LimitKind::RequestsPerMinute),
        max_tokens_per_request: of(LimitKind::MaxTokensPerRequest),
        concurrent_requests: of(LimitKind::ConcurrentRequests),
    }
}

/// A subject in UTC whose time stands until it is moved.
struct User {
    limits: GroupLimits,
    counters: Counters,
    now: Timestamp,
}

impl User {
    fn with(set: &[(LimitKind, i64)]) -> Self {
        Self { limits: only(set), counters: Counters::default(), now: noon() }
    }

    fn decide(&self, asked: Check) -> Decision {
        check(&self.limits, &self.counters, &asked, self.now, &TimeZone::UTC)
    }

    fn ask(&mut self, tokens: impl Into<Option<i64>>) -> Result<Reservation, LimitKind> {
        let decision = self.decide(asks(tokens));
        self.counters = decision.counters;
        decision.admitted
    }

    fn settle(&mut self, reservation: &Reservation, actual: i64) {
        self.counters = settle(&self.counters, reservation, actual, self.now);
    }

    fn release(&mut self, reservation: &Reservation) {
        self.counters = release(&self.counters, reservation, self.now);
    }

    fn uses(&mut self, event_time: Timestamp, actual: i64) {
        self.counters = use_without_reservation(&self.counters, event_time, actual, self.now, &TimeZone::UTC);
    }

    fn state(&self, kind: LimitKind) -> LimitState {
        let states = states(&self.limits, &self.counters, self.now, &TimeZone::UTC);
        *states.iter().find(|state| state.kind == kind).unwrap()
    }

    /// Used and reserved.
    fn counted(&self, kind: LimitKind) -> (i64, i64) {
        let state = self.state(kind);
        (state.used, state.reserved)
    }
}

#[test]
fn without_limits_everything_is_admitted_and_counted() {
    let mut user = User::with(&[]);
    for _ in 0..100 {
        user.ask(1_000_000).unwrap();
    }
    assert_eq!(user.decide(asks(1)).limits, []);
    user.limits = only(&[(DAILY, 1), (RPM, 1), (CONCURRENT, 1)]);
    assert_eq!(user.counted(DAILY), (0, 100_000_000));
    assert_eq!((user.state(RPM).used, user.state(CONCURRENT).used), (100, 100));
}

#[test]
fn a_limit_of_zero_refuses_all() {
    for kind in LimitKind::ALL {
        for tokens in [None, Some(-5), Some(0), Some(1), Some(i64::MAX)] {
            for limit in [0, -1, i64::MIN] {
                let decision = User::with(&[(*kind, limit)]).decide(asks(tokens));
                assert_eq!(decision.admitted, Err(*kind), "{tokens:?} at {limit}");
                assert_eq!(decision.retry_after, None, "{kind}");
                assert_eq!(decision.counters, Counters::default(), "{kind}");
                assert_eq!(decision.limits[0].remaining, 0, "{kind}");
            }
        }
    }
}

#[test]
fn used_reserved_and_declared_may_reach_a_limit_but_not_exceed_it() {
    for kind in [DAILY, MONTHLY] {
        let mut user = User::with(&[(kind, 100)]);
        let first = user.ask(60).unwrap();
        user.settle(&first, 50);
        user.ask(30).unwrap();
        assert_eq!(user.counted(kind), (50, 30));
        assert_eq!(user.ask(21), Err(kind));
        user.ask(20).unwrap();
        assert_eq!(user.state(kind).remaining, 0);
        // However little it asks for.
        for tokens in [None, Some(0), Some(1)] {
            assert_eq!(user.ask(tokens), Err(kind));
        }
    }
}

#[test]
fn a_check_that_does_not_say_takes_the_reservation_of_its_group() {
    let user = User::with(&[(DAILY, 100)]);
    let declared = |tokens, default_reservation| {
        let decision = user.decide(Check { tokens, default_reservation, ttl: TTL });
        decision.admitted.map(|reservation| reservation.declared)
    };
    assert_eq!(declared(None, Some(40)), Ok(40));
    assert_eq!(declared(None, Some(101)), Err(DAILY));
    assert_eq!(declared(Some(7), Some(40)), Ok(7));
    for (tokens, default) in [(None, None), (Some(0), Some(40)), (Some(-7), None), (None, Some(0))] {
        assert_eq!(declared(tokens, default), Ok(1));
    }
}

#[test]
fn twenty_checks_at_a_limit_of_ten_admit_ten() {
    for kind in [DAILY, MONTHLY, RPM, CONCURRENT] {
        let mut user = User::with(&[(kind, 10)]);
        let admitted = (0..20).filter(|_| user.ask(None).is_ok()).count();
        assert_eq!(admitted, 10, "{kind}");
    }
}

#[test]
fn the_first_limit_in_the_order_of_checks_is_named() {
    let mut set = vec![(MONTHLY, 0), (DAILY, 0), (RPM, 0), (CONCURRENT, 0), (MAX, 0)];
    for expected in [MAX, CONCURRENT, RPM, DAILY, MONTHLY] {
        assert_eq!(User::with(&set).ask(1), Err(expected));
        set.pop();
    }
    assert!(User::with(&set).ask(1).is_ok());
}

#[test]
fn a_refused_check_changes_nothing() {
    let mut user = User::with(&[(MONTHLY, 10), (RPM, 5)]);
    user.ask(10).unwrap();
    // Not even by the turn of a day.
    user.now = at("2026-05-29T00:00:00Z");
    let before = user.counters.clone();
    for _ in 0..10 {
        assert_eq!(user.ask(1), Err(MONTHLY));
    }
    assert_eq!(user.counters, before);
}

#[test]
fn one_request_may_not_declare_more_than_its_own_limit() {
    let mut user = User::with(&[(MAX, 100)]);
    user.ask(100).unwrap();
    let refused = user.decide(asks(101));
    assert_eq!((refused.admitted, refused.retry_after), (Err(MAX), None));
    assert_eq!(user.state(MAX), LimitState::new(MAX, 100, (0, 0), None));
}

#[test]
fn a_slot_is_free_when_its_reservation_is_settled_or_released() {
    let mut user = User::with(&[(CONCURRENT, 2)]);
    let (first, second) = (user.ask(1).unwrap(), user.ask(1).unwrap());
    let refused = user.decide(asks(1));
    assert_eq!((refused.admitted, refused.retry_after), (Err(CONCURRENT), Some(seconds(1))));
    user.settle(&first, 5);
    user.ask(1).unwrap();
    user.release(&second);
    user.ask(1).unwrap();
    assert_eq!(user.ask(1), Err(CONCURRENT));
}

#[test]
fn requests_of_the_last_minute_count_whether_settled_or_not() {
    let mut user = User::with(&[(RPM, 2)]);
    let first = user.ask(1).unwrap();
    user.release(&first);
    user.now = noon().plus(seconds(10));
    user.ask(1).unwrap();
    let refused = user.decide(asks(1));
    assert_eq!((refused.admitted, refused.retry_after), (Err(RPM), Some(seconds(51))));
    let state = user.state(RPM);
    assert_eq!((state.used, state.remaining), (2, 0));
    assert_eq!(state.resets_at, Some(noon().plus(seconds(71))));
    user.now = noon().plus(seconds(61));
    user.ask(1).unwrap();
}

#[test]
fn it_tells_how_long_to_wait_for_the_last_limit_that_refuses() {
    let mut user = User::with(&[(DAILY, 10), (MONTHLY, 100)]);
    user.ask(10).unwrap();
    assert_eq!(user.decide(asks(1)).retry_after, Some(seconds(12 * 3600)));
    // A day does not help where the month is used up.
    user.limits = only(&[(DAILY, 10), (MONTHLY, 10)]);
    let refused = user.decide(asks(1));
    assert_eq!(refused.admitted, Err(DAILY));
    assert_eq!(refused.retry_after, Some(seconds(84 * 3600)));
    // No day has room for it.
    assert_eq!(user.decide(asks(11)).retry_after, None);
    user.limits = only(&[(RPM, 1), (CONCURRENT, 1)]);
    let refused = user.decide(asks(1));
    assert_eq!((refused.admitted, refused.retry_after), (Err(CONCURRENT), Some(seconds(61))));
    assert_eq!(User::with(&[]).decide(asks(1)).retry_after, None);
}

#[test]
fn limits_are_shown_as_they_are_after_the_check() {
    let user = User::with(&[(CONCURRENT, 3), (MAX, 50), (RPM, 4), (MONTHLY, 200), (DAILY, 100)]);
    let decision = user.decide(asks(30));
    let shown = |s: &LimitState| (s.kind, s.limit, s.used, s.reserved, s.remaining, s.resets_at);
    let rows: Vec<_> = decision.limits.iter().map(shown).collect();
    let (day, month) = (at("2026-05-29T00:00:00Z"), at("2026-06-01T00:00:00Z"));
    let minute = noon().plus(seconds(61));
    let expected = [
        (DAILY, 100, 0, 30, 70, Some(day)),
        (MONTHLY, 200, 0, 30, 170, Some(month)),
        (RPM, 4, 1, 0, 3, Some(minute)),
        (MAX, 50, 0, 0, 50, None),
        (CONCURRENT, 3, 1, 0, 2, None),
    ];
    assert_eq!(rows, expected);
    let after = states(&user.limits, &decision.counters, noon(), &TimeZone::UTC);
    assert_eq!(after, decision.limits);
}

#[test]
fn a_reservation_tells_its_windows_and_its_end() {
    let reservation = User::with(&[]).ask(5).unwrap();
    let (day, month) = (at("2026-05-28T00:00:00Z"), at("2026-05-01T00:00:00Z"));
    assert_eq!(reservation, Reservation { declared: 5, day, month, expires_at: noon().plus(TTL) });
}

#[test]
fn a_lowered_limit_only_refuses() {
    let mut user = User::with(&[(DAILY, 100), (CONCURRENT, 5)]);
    let open = user.ask(80).unwrap();
    user.limits = only(&[(DAILY, 10), (CONCURRENT, 1)]);
    assert_eq!(user.ask(1), Err(CONCURRENT));
    assert_eq!(user.counted(DAILY), (0, 80));
    assert_eq!(user.state(DAILY).remaining, 0);
    user.settle(&open, 80);
    assert_eq!(user.counted(DAILY), (80, 0));
    assert_eq!(user.ask(1), Err(DAILY));
    user.limits = only(&[(DAILY, 81)]);
    user.ask(1).unwrap();
}

#[test]
fn a_clock_that_goes_back_loses_nothing() {
    let mut user = User::with(&[(DAILY, 100), (RPM, 2)]);
    user.now = at("2026-05-29T00:00:00Z");
    let open = user.ask(10).unwrap();
    user.now = at("2026-05-28T23:59:59Z");
    user.uses(user.now, 5);
    user.settle(&open, 5);
    assert_eq!(user.counted(DAILY), (10, 0));
    user.ask(1).unwrap();
    assert_eq!(user.ask(1), Err(RPM));
}

#[test]
fn numbers_at_the_edge_neither_overflow_nor_pass() {
    let mut user = User::with(&[(DAILY, i64::MAX)]);
    let open = user.ask(i64::MAX).unwrap();
    assert_eq!(user.ask(1), Err(DAILY));
    user.limits = only(&[]);
    user.ask(i64::MAX).unwrap();
    user.settle(&open, i64::MAX);
    user.uses(noon(), i64::MAX);
    user.limits = only(&[(DAILY, i64::MAX)]);
    assert_eq!(user.ask(1), Err(DAILY));
    assert_eq!((user.state(DAILY).used, user.state(DAILY).remaining), (i64::MAX, 0));
    let row = Counted {
        window: window_at(WindowKind::Day, &TimeZone::UTC, noon()),
        used: i64::MIN,
        reserved: i64::MIN,
    };
    user.counters = Counters { day: Some(row), month: Some(row), ring: Ring::default(), open: i64::MAX };
    user.limits = only(&LimitKind::ALL.iter().map(|kind| (*kind, i64::MIN)).collect::<Vec<_>>());
    assert_eq!(user.ask(i64::MAX), Err(MAX));
    user.limits = only(&[]);
    user.now = Timestamp::from_micros(i64::MAX);
    user.ask(i64::MAX).unwrap();
    assert_eq!(user.counters.open, i64::MAX);
}
