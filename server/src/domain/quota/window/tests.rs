use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;

const DAY: WindowKind = WindowKind::Day;
const MONTH: WindowKind = WindowKind::Month;
const LAST: i64 = i64::MAX;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn hours(window: &Window) -> f64 {
    window.end.seconds_since(window.start) / 3600.0
}

#[test]
fn days_and_months_begin_and_end_with_the_clocks_of_their_zone() {
    for (name, kind, now, start, end) in [
        ("UTC", DAY, "2026-05-28T20:26:40.5Z", "2026-05-28T00:00:00Z", "2026-05-29T00:00:00Z"),
        ("UTC", DAY, "2026-05-28T00:00:00Z", "2026-05-28T00:00:00Z", "2026-05-29T00:00:00Z"),
        ("UTC", DAY, "2026-05-28T23:59:59.999999Z", "2026-05-28T00:00:00Z", "2026-05-29T00:00:00Z"),
        // 23 hours, and 25.
        ("America/New_York", DAY, "2026-03-08T12:00:00Z", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"),
        ("America/New_York", DAY, "2026-03-09T03:59:59Z", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"),
        ("America/New_York", DAY, "2026-11-01T05:30:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"),
        ("America/New_York", DAY, "2026-11-01T06:30:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"),
        ("America/New_York", MONTH, "2026-03-01T05:00:00Z", "2026-03-01T05:00:00Z", "2026-04-01T04:00:00Z"),
        ("America/New_York", MONTH, "2026-11-30T23:00:00Z", "2026-11-01T04:00:00Z", "2026-12-01T05:00:00Z"),
        // Half an hour less, and more.
        ("Australia/Lord_Howe", DAY, "2026-10-03T15:00:00Z", "2026-10-03T13:30:00Z", "2026-10-04T13:00:00Z"),
        ("Australia/Lord_Howe", DAY, "2026-04-04T13:00:00Z", "2026-04-04T13:00:00Z", "2026-04-05T13:30:00Z"),
        ("Asia/Kathmandu", DAY, "2026-01-01T18:14:59Z", "2025-12-31T18:15:00Z", "2026-01-01T18:15:00Z"),
        ("Asia/Kathmandu", DAY, "2026-01-01T18:15:00Z", "2026-01-01T18:15:00Z", "2026-01-02T18:15:00Z"),
        // No midnight: the day begins at one.
        ("America/Sao_Paulo", DAY, "2018-11-04T02:59:59Z", "2018-11-03T03:00:00Z", "2018-11-04T03:00:00Z"),
        ("America/Sao_Paulo", DAY, "2018-11-04T03:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"),
        ("America/Sao_Paulo", DAY, "2018-02-18T02:30:00Z", "2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z"),
        // From midnight to 44 minutes and 30 seconds after.
        ("Africa/Monrovia", DAY, "1972-01-07T00:44:30Z", "1972-01-07T00:44:30Z", "1972-01-08T00:00:00Z"),
        // No 30 December.
        ("Pacific/Apia", DAY, "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"),
        ("Pacific/Apia", DAY, "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"),
        ("Pacific/Apia", MONTH, "2011-12-30T10:00:00Z", "2011-12-01T10:00:00Z", "2011-12-31T10:00:00Z"),
        // Midnight twice: at 01:00 the clocks go back to it.
        ("Atlantic/Azores", DAY, "2026-10-25T01:00:00Z", "2026-10-25T00:00:00Z", "2026-10-26T01:00:00Z"),
        ("Atlantic/Azores", DAY, "2026-10-24T23:59:59Z", "2026-10-24T00:00:00Z", "2026-10-25T00:00:00Z"),
        // Midnight twice: at 00:01 the clocks go back to 23:01, but the day has begun.
        ("America/St_Johns", DAY, "2005-10-30T02:29:59Z", "2005-10-29T02:30:00Z", "2005-10-30T02:30:00Z"),
        ("America/St_Johns", DAY, "2005-10-30T03:00:00Z", "2005-10-30T02:30:00Z", "2005-10-31T03:30:00Z"),
        // Ends of months and years.
        ("Asia/Shanghai", DAY, "2024-02-29T15:59:59Z", "2024-02-28T16:00:00Z", "2024-02-29T16:00:00Z"),
        ("Asia/Shanghai", MONTH, "2024-02-29T15:59:59Z", "2024-01-31T16:00:00Z", "2024-02-29T16:00:00Z"),
        ("Asia/Shanghai", MONTH, "2026-02-28T16:00:00Z", "2026-02-28T16:00:00Z", "2026-03-31T16:00:00Z"),
        ("UTC", MONTH, "2024-01-31T23:59:59Z", "2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z"),
        ("UTC", DAY, "2024-02-29T12:00:00Z", "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"),
        ("UTC", DAY, "2025-12-31T23:59:59.999999Z", "2025-12-31T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("UTC", MONTH, "2025-12-31T23:59:59.999999Z", "2025-12-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("Pacific/Kiritimati", MONTH, "2025-12-31T10:00:00Z", "2025-12-31T10:00:00Z", "2026-01-31T10:00:00Z"),
    ] {
        let expected = Window { start: at(start), end: at(end) };
        assert_eq!(window_at(kind, &zone(name), at(now)), expected, "{kind} of {now} in {name}");
    }
}

#[test]
fn a_day_begins_after_the_gap_that_its_midnight_is_in() {
    // From 23:30 on Sunday to 00:30 on Monday.
    let zone = TimeZone::posix("EST5EDT,M3.2.0/23:30,M11.1.0").unwrap();
    let [sunday, monday, tuesday] =
        ["2026-03-08T05:00:00Z", "2026-03-09T04:30:00Z", "2026-03-10T04:00:00Z"].map(at);
    assert_eq!(window_at(DAY, &zone, sunday), Window { start: sunday, end: monday });
    assert_eq!(window_at(DAY, &zone, monday), Window { start: monday, end: tuesday });
}

#[test]
fn a_day_is_as_long_as_its_clocks_make_it() {
    for (name, now, length) in [
        ("America/New_York", "2026-03-08T12:00:00Z", 23.0),
        ("America/New_York", "2026-06-08T12:00:00Z", 24.0),
        ("America/New_York", "2026-11-01T12:00:00Z", 25.0),
        ("Australia/Lord_Howe", "2026-10-03T15:00:00Z", 23.5),
        ("Australia/Lord_Howe", "2026-04-05T00:00:00Z", 24.5),
    ] {
        let window = window_at(DAY, &zone(name), at(now));
        assert!((hours(&window) - length).abs() < 1e-9, "{now} in {name}: {window:?}");
    }
}

#[test]
fn the_first_and_the_last_instant_are_in_a_window() {
    for name in ["UTC", "Pacific/Kiritimati", "Etc/GMT+12", "America/New_York"] {
        for kind in [DAY, MONTH] {
            let first = window_at(kind, &zone(name), Timestamp::from_micros(0));
            assert_eq!(first.start, Timestamp::from_micros(0), "{kind} in {name}");
            assert!(first.end > first.start, "{kind} in {name}");
            let last = window_at(kind, &zone(name), Timestamp::from_micros(LAST));
            assert!(last.contains(Timestamp::from_micros(LAST)), "{kind} in {name}: {last:?}");
            assert_eq!(last.ends(), None, "{kind} in {name}");
        }
    }
}

#[test]
fn a_stored_window_is_current_until_it_ends_whatever_the_zone_is_now() {
    let stored = window_at(DAY, &zone("UTC"), at("2026-05-28T12:00:00Z"));
    for now in ["2026-05-28T00:00:00Z", "2026-05-28T20:00:00Z", "2026-05-28T23:59:59.999999Z"] {
        assert_eq!(next_window(DAY, &zone("Asia/Shanghai"), Some(&stored), at(now)), stored, "{now}");
    }
}

#[test]
fn a_changed_zone_begins_at_the_end_of_the_old_window() {
    let stored = window_at(DAY, &zone("UTC"), at("2026-05-28T12:00:00Z"));
    let new = next_window(DAY, &zone("Asia/Shanghai"), Some(&stored), at("2026-05-29T01:00:00Z"));
    assert_eq!(new, Window { start: stored.end, end: at("2026-05-29T16:00:00Z") });
    // Already the day after there: as long as a whole one.
    let new = next_window(DAY, &zone("Asia/Shanghai"), Some(&stored), at("2026-05-29T17:00:00Z"));
    assert_eq!(new, Window { start: at("2026-05-29T16:00:00Z"), end: at("2026-05-30T16:00:00Z") });
    let month = window_at(MONTH, &zone("UTC"), at("2026-05-28T12:00:00Z"));
    let new = next_window(MONTH, &zone("America/New_York"), Some(&month), at("2026-06-01T00:00:00Z"));
    assert_eq!(new, Window { start: month.end, end: at("2026-06-01T04:00:00Z") });
}

#[test]
fn after_a_pause_a_window_is_one_day_long() {
    let stored = window_at(DAY, &zone("UTC"), at("2026-05-28T12:00:00Z"));
    let new = next_window(DAY, &zone("UTC"), Some(&stored), at("2026-06-28T12:00:00Z"));
    assert_eq!(new, Window { start: at("2026-06-28T00:00:00Z"), end: at("2026-06-29T00:00:00Z") });
}

#[test]
fn a_time_before_the_newest_window_counts_as_its_start() {
    let stored = window_at(DAY, &zone("UTC"), at("2026-05-28T12:00:00Z"));
    assert_eq!(next_window(DAY, &zone("UTC"), Some(&stored), at("2026-05-01T00:00:00Z")), stored);
}

#[test]
fn a_zone_that_is_no_longer_known_counts_as_none() {
    let default = zone("Asia/Shanghai");
    let named = |name: &str| zone_of(Some(&ZoneName::stored(name)), &default);
    assert_eq!(named("America/New_York"), zone("America/New_York"));
    assert_eq!(named("Mars/Olympus"), default);
    assert_eq!(zone_of(None, &default), default);
}

/// Windows follow each other from one instant on, and each is the window of its first and its last instant.
fn check_chain(kind: WindowKind, name: &str, from: Timestamp, count: usize) {
    let zone = zone(name);
    let mut window = window_at(kind, &zone, from);
    assert!(window.contains(from), "{kind} of {from} in {name}: {window:?}");
    for _ in 0..count {
        assert!(window.start < window.end, "{kind} in {name}: {window:?}");
        let last = Timestamp::from_micros(window.end.micros() - 1);
        for inside in [window.start, last] {
            assert_eq!(window_at(kind, &zone, inside), window, "{kind} of {inside} in {name}");
        }
        let Some(end) = window.ends() else { return };
        let next = window_at(kind, &zone, end);
        assert_eq!(next.start, end, "{kind} in {name}");
        window = next;
    }
}

#[test]
fn windows_follow_each_other_over_every_change_of_every_zone() {
    for name in jiff::tz::db().available() {
        let name = name.as_str();
        // Every change since 1970 that a table has, and the years by which rules go on.
        let changes = zone(name);
        let changes = changes.following(jiff::Timestamp::UNIX_EPOCH);
        for change in changes.take_while(|change| change.timestamp().as_second() < 2_000_000_000) {
            let before = Timestamp::from_seconds(change.timestamp().as_second() - 90_000);
            check_chain(DAY, name, before, 3);
        }
        check_chain(MONTH, name, Timestamp::from_seconds(1_300_000_000), 14);
    }
}

const ZONES: &[&str] = &[
    "UTC",
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Asia/Shanghai",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Africa/Monrovia",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Pacific/Kwajalein",
];

proptest! {
    #[test]
    fn windows_are_contiguous_and_contain_their_instant(
        name in prop::sample::select(ZONES), month: bool, micros in 0..5_000_000_000_000_000i64,
    ) {
        let kind = if month { MONTH } else { DAY };
        check_chain(kind, name, Timestamp::from_micros(micros), 3);
    }

    #[test]
    fn no_instant_makes_it_panic(name in prop::sample::select(ZONES), month: bool, micros: i64) {
        let now = Timestamp::from_micros(micros);
        let window = window_at(if month { MONTH } else { DAY }, &zone(name), now);
        prop_assert!(window.contains(now));
    }

    #[test]
    fn windows_of_a_subject_never_overlap_whatever_its_zones_are(
        month: bool,
        start in 0..2_000_000_000_000_000i64,
        steps in prop::collection::vec((prop::sample::select(ZONES), -100_000_000_000..400_000_000_000i64), 1..20),
    ) {
        let kind = if month { MONTH } else { DAY };
        let (mut now, mut last) = (start, None::<Window>);
        for (name, step) in steps {
            now += step;
            let at = Timestamp::from_micros(now);
            let window = next_window(kind, &zone(name), last.as_ref(), at);
            prop_assert!(window.start < window.end);
            prop_assert!(!window.has_ended(at));
            if let Some(last) = last {
                prop_assert!(window == last || window.start >= last.end);
                prop_assert!(window == last || window.contains(at));
            }
            last = Some(window);
        }
    }
}
