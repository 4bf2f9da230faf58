//! What becomes of reservations, and of what is used without one.

use super::*;

#[test]
fn more_may_be_used_than_was_declared() {
    let mut user = User::with(&[(DAILY, 100)]);
    let open = user.ask(10).unwrap();
    user.settle(&open, 1000);
    assert_eq!(user.counted(DAILY), (1000, 0));
    assert_eq!(user.state(DAILY).remaining, 0);
    assert_eq!(user.ask(1), Err(DAILY));
}

#[test]
fn what_is_settled_late_counts_only_in_windows_that_last() {
    let mut user = User::with(&[(DAILY, 100), (MONTHLY, 1000)]);
    let (before, used) = (user.ask(10).unwrap(), user.ask(20).unwrap());
    user.settle(&used, 20);
    user.now = at("2026-05-29T00:00:00Z");
    let counters = user.counters.clone();
    assert_eq!((user.counted(DAILY), user.counted(MONTHLY)), ((0, 0), (20, 10)));
    // The day has ended, though no other has begun yet.
    user.settle(&before, 7);
    assert_eq!((user.counted(DAILY), user.counted(MONTHLY)), ((0, 0), (27, 0)));
    assert_eq!(user.counters.day, counters.day);
    // And with a new one.
    user.counters = counters;
    user.ask(3).unwrap();
    user.settle(&before, 7);
    assert_eq!((user.counted(DAILY), user.counted(MONTHLY)), ((0, 3), (27, 3)));
    assert_eq!(user.counters.open, 1);
}

#[test]
fn a_new_window_is_a_new_row() {
    let mut user = User::with(&[(DAILY, 10), (MONTHLY, 15)]);
    user.ask(10).unwrap();
    user.now = at("2026-05-29T00:00:00Z");
    assert_eq!(user.ask(6), Err(MONTHLY));
    user.ask(5).unwrap();
    user.now = at("2026-06-01T00:00:00Z");
    user.ask(10).unwrap();
    let month = Window { start: user.now, end: at("2026-07-01T00:00:00Z") };
    assert_eq!(user.counters.month, Some(Counted { window: month, used: 0, reserved: 10 }));
    assert_eq!(user.counters.open, 3);
}

#[test]
fn what_is_closed_twice_leaves_nothing_below_zero() {
    let mut user = User::with(&[(DAILY, 100), (CONCURRENT, 9)]);
    let open = user.ask(10).unwrap();
    for _ in 0..3 {
        user.release(&open);
    }
    assert_eq!((user.counted(DAILY), user.counters.open), ((0, 0), 0));
    user.counters = release(&Counters::default(), &open, user.now);
    assert_eq!(user.counters, Counters::default());
}

#[test]
fn usage_without_a_reservation_counts_in_the_windows_of_its_time() {
    let mut user = User::with(&[(DAILY, 100), (MONTHLY, 100)]);
    for (event_time, day, month) in [
        ("2026-04-30T23:59:59Z", 0, 0),
        ("2026-05-27T23:59:59Z", 0, 7),
        ("2026-05-28T00:00:00Z", 7, 14),
        ("2026-05-28T12:00:00Z", 14, 21),
        // A clock that is ahead.
        ("2026-06-01T00:00:00Z", 21, 28),
    ] {
        user.uses(at(event_time), 7);
        assert_eq!((user.counted(DAILY), user.counted(MONTHLY)), ((day, 0), (month, 0)), "{event_time}");
    }
    assert_eq!((user.counters.open, user.state(DAILY).remaining), (0, 79));
    user.now = at("2026-05-29T12:00:00Z");
    user.uses(at("2026-05-28T12:00:00Z"), 7);
    assert_eq!((user.counted(DAILY), user.counted(MONTHLY)), ((0, 0), (35, 0)));
}

#[test]
fn usage_that_counts_nowhere_makes_no_row() {
    let mut user = User::with(&[]);
    user.uses(at("2026-04-30T23:59:59Z"), 7);
    user.uses(noon(), 0);
    user.uses(noon(), -7);
    assert_eq!(user.counters, Counters::default());
}
