//! What is counted of users: told from the usage records and reservations of each commit alone, and compared with the
//! counters that the engine wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::tz::TimeZone;

use super::rows::Rows;
use crate::domain::quota::window_at;
use crate::model::{
    CounterKind, CustomerId, GroupLimits, QuotaCounter, QuotaReservation, RecordId, ReservationState,
    ReservationUse, Timestamp, UsageRecord, Window, WindowKind,
};
use crate::store::LedgerChanges;

/// The users of each customer.
pub const USERS: [&str; 2] = ["alice", "bob"];
const KINDS: [(WindowKind, CounterKind); 2] =
    [(WindowKind::Day, CounterKind::Day), (WindowKind::Month, CounterKind::Month)];
const MINUTE: Duration = Duration::from_mins(1);

/// A user of a customer.
pub type Subject = (CustomerId, String);

/// What a user may use: each kind of limit is somebody's, and few histories do not come to it.
pub fn limits_of(user: &str) -> GroupLimits {
    if user == USERS[0] {
        GroupLimits {
            daily_tokens: Some(30),
            monthly_tokens: Some(70),
            max_tokens_per_request: Some(14),
            concurrent_requests: Some(2),
            ..GroupLimits::default()
        }
    } else {
        GroupLimits { monthly_tokens: Some(30), requests_per_minute: Some(3), ..GroupLimits::default() }
    }
}

/// Where a user's days begin.
pub fn zone_of(user: &str) -> TimeZone {
    if user == USERS[0] { TimeZone::UTC } else { jiff::tz::offset(8).to_time_zone() }
}

/// Tokens counted in one window.
#[derive(Clone, Copy)]
struct Counts {
    end: Timestamp,
    used: i64,
    reserved: i64,
}

/// What must be counted.
#[derive(Default)]
pub struct Tally {
    /// By subject, the name of the kind of window, and its start.
    windows: BTreeMap<(Subject, &'static str), BTreeMap<Timestamp, Counts>>,
    /// When checks were admitted by the database's clock, which does not go back here.
    admitted: BTreeMap<Subject, Vec<Timestamp>>,
    /// A closed reservation, whenever one was written.
    pub closings: Vec<RecordId>,
    /// Reservations by what usage settled them.
    pub settled: BTreeMap<RecordId, RecordId>,
}

/// Whose quotas a transaction is about.
#[derive(Default)]
pub struct Touched {
    subjects: BTreeSet<Subject>,
    admitted: Vec<QuotaReservation>,
    /// Tokens of usage that may have come after a check of the same transaction.
    tokens: BTreeMap<Subject, i64>,
}

fn subject_of(made: &QuotaReservation) -> Subject {
    (made.customer_id.clone(), made.user_id.clone())
}

fn start_of(made: &QuotaReservation, kind: WindowKind) -> Timestamp {
    match kind {
        WindowKind::Day => made.day_start,
        WindowKind::Month => made.month_start,
    }
}

fn is_open(made: &QuotaReservation) -> bool {
    made.state == ReservationState::Open
}

impl Tally {
    /// Counts what a transaction is about to write. What it was before still stands in the rows.
    pub fn take_in(
        rows: &mut Rows,
        changes: &LedgerChanges,
        times: &BTreeMap<CustomerId, Timestamp>,
    ) -> Touched {
        let (tally, known) = (&mut rows.tally, &rows.quota_reservations);
        let mut touched = Touched::default();
        for usage in &changes.usage {
            let time = times[&usage.customer_id];
            let settles = usage.reservation_use == Some(ReservationUse::Settled);
            let reserved = usage.reservation_id.filter(|_| settles).map(|id| known[&id].user_id.clone());
            let Some(user) = usage.details.user_id.clone().or(reserved) else { continue };
            let subject = (usage.customer_id.clone(), user);
            if settles {
                let made = &known[&usage.reservation_id.unwrap()];
                assert_eq!(subject_of(made), subject, "another's reservation: {usage:?}");
                let before = tally.settled.insert(made.id, usage.id);
                assert!(before.is_none() && is_open(made), "settled twice: {made:?} by {usage:?}");
                tally.count(&subject, usage.total_tokens, time, |kind| Some(start_of(made, kind)));
            } else {
                tally.use_freely(&subject, usage, time);
            }
            *touched.tokens.entry(subject.clone()).or_default() += usage.total_tokens;
            touched.subjects.insert(subject);
        }
        let mut made: Vec<_> = changes.quota_reservations.iter().collect();
        made.sort_by_key(|made| made.created_at);
        for made in made {
            let (subject, time) = (subject_of(made), times[&made.customer_id]);
            match known.get(&made.id) {
                None => {
                    tally.admit(made, &subject);
                    touched.admitted.push(made.clone());
                }
                Some(before) => {
                    assert!(is_open(before), "it was closed: {before:?}, {made:?}");
                    assert!(made.expires_at >= before.expires_at, "{before:?}, {made:?}");
                    let in_time = before.expires_at > time;
                    assert_eq!(in_time, made.state != ReservationState::Expired, "at {time}: {made:?}");
                    if !is_open(made) {
                        tally.close(made, &subject, time);
                    }
                    let settled = tally.settled.contains_key(&made.id);
                    assert_eq!(settled, made.state == ReservationState::Settled, "{made:?}");
                }
            }
            touched.subjects.insert(subject);
        }
        touched
    }

    /// The window of a kind that the subject is in at that time.
    fn current(
        &self,
        subject: &Subject,
        (kind, counter): (WindowKind, CounterKind),
        time: Timestamp,
    ) -> Window {
        let newest =
            self.windows.get(&(subject.clone(), counter.as_str())).and_then(BTreeMap::last_key_value);
        match newest {
            // Also after the clock went back.
            Some((start, counts)) if time < counts.end => Window { start: *start, end: counts.end },
            _ => window_at(kind, &zone_of(&subject.1), time),
        }
    }

    fn counts(&mut self, subject: &Subject, counter: CounterKind, window: Window) -> &mut Counts {
        let windows = self.windows.entry((subject.clone(), counter.as_str())).or_default();
        windows.entry(window.start).or_insert(Counts { end: window.end, used: 0, reserved: 0 })
    }

    /// Counts tokens where that window is the current one.
    fn count(
        &mut self,
        subject: &Subject,
        tokens: i64,
        time: Timestamp,
        start: impl Fn(WindowKind) -> Option<Timestamp>,
    ) {
        for kind in KINDS {
            let current = self.current(subject, kind, time);
            if start(kind.0) == Some(current.start) && tokens > 0 {
                self.counts(subject, kind.1, current).used += tokens;
            }
        }
    }

    /// Counts usage without a reservation: by its own time.
    fn use_freely(&mut self, subject: &Subject, usage: &UsageRecord, time: Timestamp) {
        let current = KINDS.map(|kind| (kind.0, self.current(subject, kind, time)));
        let counts = |window: &Window| usage.event_time >= time || window.contains(usage.event_time);
        self.count(subject, usage.total_tokens, time, |kind| {
            let (_, window) = current.iter().find(|(of, _)| *of == kind)?;
            counts(window).then_some(window.start)
        });
    }

    fn admit(&mut self, made: &QuotaReservation, subject: &Subject) {
        assert!(is_open(made) && made.declared > 0 && made.expires_at > made.created_at, "{made:?}");
        for kind in KINDS {
            let current = self.current(subject, kind, made.created_at);
            assert_eq!(start_of(made, kind.0), current.start, "the {} of {made:?}", kind.0);
            self.counts(subject, kind.1, current).reserved += made.declared;
        }
        let admitted = self.admitted.entry(subject.clone()).or_default();
        let last = admitted.last().copied().unwrap_or_default();
        admitted.push(made.created_at.max(last));
        let Some(most) = limits_of(&subject.1).requests_per_minute else { return };
        let Some(place) = (admitted.len() - 1).checked_sub(usize::try_from(most).unwrap()) else { return };
        let minute = admitted[place].plus(MINUTE);
        assert!(admitted[admitted.len() - 1] >= minute, "more than {most} in a minute: {admitted:?}");
    }

    fn close(&mut self, made: &QuotaReservation, subject: &Subject, time: Timestamp) {
        self.closings.push(made.id);
        for kind in KINDS {
            let current = self.current(subject, kind, time);
            if start_of(made, kind.0) == current.start {
                self.counts(subject, kind.1, current).reserved -= made.declared;
            }
        }
    }

    /// All of whom something was counted.
    pub fn subjects(&self) -> BTreeSet<Subject> {
        self.windows.keys().map(|(subject, _)| subject.clone()).collect()
    }
}

impl Touched {
    /// What was written is what the transaction had to count, and none of the checks that it admitted exceeds a limit.
    pub fn check(&self, rows: &Rows) {
        for subject in &self.subjects {
            assert_counted(rows, subject);
        }
        for made in &self.admitted {
            let (subject, limits) = (subject_of(made), limits_of(&made.user_id));
            let above = |amount: i64, limit: Option<i64>| limit.is_some_and(|limit| amount > limit);
            assert!(!above(made.declared, limits.max_tokens_per_request), "{made:?}");
            let theirs = rows.quota_reservations.values().filter(|other| subject_of(other) == subject);
            let open: Vec<_> = theirs.filter(|other| is_open(other)).collect();
            let count = i64::try_from(open.len()).unwrap();
            assert!(!above(count, limits.concurrent_requests), "{count} at the same time: {made:?}");
            for (kind, counter) in KINDS {
                let start = start_of(made, kind);
                let of_window = open.iter().filter(|other| start_of(other, kind) == start);
                let reserved: i64 = of_window.map(|other| other.declared).sum();
                let used = rows.tally.windows[&(subject.clone(), counter.as_str())][&start].used;
                let later = self.tokens.get(&subject).copied().unwrap_or_default();
                let limit = if kind == WindowKind::Day { limits.daily_tokens } else { limits.monthly_tokens };
                let comes_to = used + reserved - later;
                assert!(!above(comes_to, limit), "{comes_to} of {limit:?} tokens a {kind}: {made:?}");
            }
        }
    }
}

/// The counters of a user are what was to be counted.
pub fn assert_counted(rows: &Rows, subject: &Subject) {
    let (customer, user) = subject;
    let theirs = |row: &&QuotaCounter| (&row.customer_id, &row.user_id) == (customer, user);
    let found: Vec<_> = rows.quota_counters.values().filter(theirs).collect();
    for (_, counter) in KINDS {
        let of_kind = found.iter().filter(|row| row.kind == counter);
        let of_kind = of_kind.map(|row| (row.window_start, (row.window_end, row.used, row.reserved)));
        let windows = rows.tally.windows.get(&(subject.clone(), counter.as_str()));
        let expected = windows.into_iter().flatten();
        let expected = expected.map(|(start, c)| (*start, (c.end, c.used, c.reserved)));
        let (of_kind, expected): (BTreeMap<_, _>, BTreeMap<_, _>) = (of_kind.collect(), expected.collect());
        assert_eq!(of_kind, expected, "what is counted of {subject:?} by {counter}");
        assert!(of_kind.values().all(|(_, used, reserved)| *used >= 0 && *reserved >= 0), "{of_kind:?}");
    }
    let live = found.iter().find(|row| row.kind == CounterKind::Live).map_or(0, |row| row.reserved);
    let open = rows.quota_reservations.values().filter(|made| is_open(made) && subject_of(made) == *subject);
    assert_eq!(usize::try_from(live), Ok(open.count()), "open reservations of {subject:?}");
}
