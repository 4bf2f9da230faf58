//! Windows: the days and months of a time zone.
//!
//! A day begins at the first instant whose date there is that day or a later one. So days and months follow each other
//! without gap or overlap, whatever the clocks there do: a day of 23 or 25 hours, a midnight that is skipped or comes
//! twice, a day that does not exist.

use jiff::ToSpan as _;
use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use crate::model::{Timestamp, Window, WindowKind, ZoneName};

/// Changes of a zone that are looked at to find the one that skips a midnight: it is the first or, where only a name
/// changed just before, the second.
const MAX_TRANSITIONS: usize = 2;

/// The zone in which a group's windows are, or `default` for a group that names none. A name that was known when it
/// was stored and is no longer counts as none.
pub fn zone_of(name: Option<&ZoneName>, default: &TimeZone) -> TimeZone {
    name.and_then(|name| TimeZone::get(name.as_str()).ok()).unwrap_or_else(|| default.clone())
}

/// The day or month of a zone that contains an instant.
pub fn window_at(kind: WindowKind, zone: &TimeZone, now: Timestamp) -> Window {
    let mut day = first_day(kind, zone.to_datetime(now.into()).date());
    let mut start = day_start(zone, day);
    while let Some(next) = following(kind, day) {
        let window = Window { start, end: day_start(zone, next) };
        if !window.has_ended(now) {
            return window;
        }
        // The clocks were put back over midnight: the date is yesterday's again, but the next day has begun.
        (day, start) = (next, window.end);
    }
    Window { start, end: Timestamp::from_micros(i64::MAX) }
}

/// The current window of a subject whose newest one is `last`: that one until it ends, then the day or month of the
/// zone that contains `now`, or what is left of it where it began before `last` ended, as it does when the zone
/// changed. So no two windows of a subject overlap. A time before `last` counts as its start.
pub fn next_window(kind: WindowKind, zone: &TimeZone, last: Option<&Window>, now: Timestamp) -> Window {
    match last {
        Some(last) if !last.has_ended(now) => *last,
        Some(last) => {
            let window = window_at(kind, zone, now);
            Window { start: window.start.max(last.end), end: window.end }
        }
        None => window_at(kind, zone, now),
    }
}

/// The first day of the window that a day is in.
fn first_day(kind: WindowKind, day: Date) -> Date {
    match kind {
        WindowKind::Day => day,
        WindowKind::Month => day.first_of_month(),
    }
}

/// The first day of the window that follows.
fn following(kind: WindowKind, day: Date) -> Option<Date> {
    match kind {
        WindowKind::Day => day.tomorrow().ok(),
        WindowKind::Month => day.checked_add(1.month()).ok(),
    }
}

/// The first instant whose date in a zone is this day or a later one.
fn day_start(zone: &TimeZone, day: Date) -> Timestamp {
    let midnight = day.to_datetime(Time::midnight());
    let with = |offset: Offset| offset.to_timestamp(midnight).ok();
    let start = match zone.to_ambiguous_timestamp(midnight).offset() {
        AmbiguousOffset::Unambiguous { offset } => with(offset),
        // Midnight comes twice; the earlier offset gives the first.
        AmbiguousOffset::Fold { before, .. } => with(before),
        // There is no midnight, and the day begins when the clocks are put forward. Where they skip from before midnight,
        // that is not midnight in the offset before.
        AmbiguousOffset::Gap { before, after } => with(after)
            .and_then(|from| {
                let mut transitions = zone.following(from).take(MAX_TRANSITIONS);
                transitions.find(|transition| transition.offset() == after).map(|found| found.timestamp())
            })
            .or_else(|| with(before)),
    };
    // What jiff cannot represent lies after 9999-12-30.
    start.map_or(Timestamp::from_micros(i64::MAX), |start| Timestamp::from_micros(start.as_microsecond()))
}

#[cfg(test)]
mod tests;
