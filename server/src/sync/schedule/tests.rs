use super::*;
use crate::model::{Clock as _, ManualClock};

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn every(seconds: u64) -> Timetable {
    Timetable::new("sync.users", &Schedule::Every(Duration::from_secs(seconds))).unwrap()
}

fn cron(expression: &str, zone: &str) -> Timetable {
    let schedule = Schedule::Cron { expression: expression.to_owned(), time_zone: zone.to_owned() };
    Timetable::new("sync.users", &schedule).unwrap()
}

#[test]
fn what_never_ran_is_due_at_once() {
    let clock = ManualClock::new(at("2026-01-01T00:00:00Z"));
    for timetable in [every(30), cron("0 3 * * *", "UTC")] {
        assert!(timetable.due(None, 0.0) <= clock.now());
    }
}

#[test]
fn an_interval_counts_from_the_run_before_and_is_stretched_by_a_tenth_at_most() {
    let clock = ManualClock::new(at("2026-01-01T00:00:00Z"));
    let (last, timetable) = (clock.now(), every(30));
    clock.advance(Duration::from_secs(29));
    assert!(timetable.due(Some(last), 0.0) > clock.now());
    clock.advance(Duration::from_secs(1));
    assert_eq!(timetable.due(Some(last), 0.0), clock.now());
    for (chance, seconds) in [(-1.0, 27), (1.0, 33), (5.0, 33), (-5.0, 27)] {
        assert_eq!(timetable.due(Some(last), chance), last.plus(Duration::from_secs(seconds)), "{chance}");
    }
}

#[test]
fn cron_is_asked_in_its_zone_and_chance_does_not_move_it() {
    let timetable = cron("30 3 * * *", "Asia/Shanghai");
    for chance in [-1.0, 0.0, 1.0] {
        let due = timetable.due(Some(at("2026-01-01T00:00:00Z")), chance);
        assert_eq!(due, at("2026-01-01T19:30:00Z"));
    }
    // An occurrence is used once.
    let due = timetable.due(Some(at("2026-01-01T19:30:00Z")), 0.0);
    assert_eq!(due, at("2026-01-02T19:30:00Z"));
}

#[test]
fn cron_lives_through_the_change_to_summer_time() {
    let timetable = cron("30 2 * * *", "Europe/Berlin");
    // On 2026-03-29 02:30 does not exist there; the run is not lost and the next day is as ever.
    let due = timetable.due(Some(at("2026-03-28T12:00:00Z")), 0.0);
    assert!(due >= at("2026-03-29T00:30:00Z") && due <= at("2026-03-29T01:30:00Z"), "{due}");
    assert_eq!(timetable.due(Some(at("2026-03-29T12:00:00Z")), 0.0), at("2026-03-30T00:30:00Z"));
}

#[test]
fn a_missed_occurrence_is_made_up_for_once() {
    let clock = ManualClock::new(at("2026-01-05T12:00:00Z"));
    let timetable = cron("0 3 * * *", "UTC");
    assert!(timetable.due(Some(at("2026-01-01T03:00:05Z")), 0.0) < clock.now());
    assert_eq!(timetable.due(Some(clock.now()), 0.0), at("2026-01-06T03:00:00Z"));
}

#[test]
fn occurrences_during_a_run_are_counted() {
    let timetable = cron("*/5 * * * *", "UTC");
    let start = at("2026-01-01T12:00:00Z");
    for (minutes, missed) in [(0, 0), (4, 0), (5, 1), (16, 3)] {
        let end = start.plus(Duration::from_mins(minutes));
        assert_eq!(timetable.missed(start, end), missed, "{minutes}");
    }
    let ages = start.plus(Duration::from_hours(24 * 365));
    assert_eq!(timetable.missed(start, ages), MAX_MISSED);
    assert_eq!(every(1).missed(start, ages), 0);
}

#[test]
fn the_wait_doubles_from_one_second_to_five_minutes() {
    let full: Vec<u64> = (0..12).map(|failures| backoff(failures, 1.0).as_secs()).collect();
    assert_eq!(full, [1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    assert_eq!(backoff(4, -1.0), Duration::from_secs(4));
    assert_eq!(backoff(u32::MAX, 1.0), MAX_BACKOFF);
    assert!(backoff(4, -9.0) >= Duration::from_secs(4) && backoff(4, 9.0) <= Duration::from_secs(8));
}

#[test]
fn a_schedule_that_cannot_be_is_named_by_its_key() {
    for (expression, zone) in [("every day", "UTC"), ("0 3 * * *", "Mars/Olympus")] {
        let schedule = Schedule::Cron { expression: expression.to_owned(), time_zone: zone.to_owned() };
        let error = Timetable::new("sync.users", &schedule).unwrap_err();
        assert!(error.to_string().starts_with("sync.users: "), "{error}");
    }
}
