//! What is counted of a subject, and what becomes of a reservation.
//!
//! These functions give what is counted afterwards; rows that differ from before are to be written. Tokens are whole
//! numbers and never negative; sums that exceed an `i64` stay at its maximum.

use jiff::tz::TimeZone;

use super::ring::Ring;
use super::window::next_window;
use crate::model::{Timestamp, Window, WindowKind};

/// Tokens counted in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// The window. Its start names the row.
    pub window: Window,
    /// Tokens used in it.
    pub used: i64,
    /// Tokens reserved in it by reservations that are still open.
    pub reserved: i64,
}

/// What is counted of a subject. The default is a subject of whom nothing was counted yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Its newest day, which may have ended.
    pub day: Option<Counted>,
    /// Its newest month, which may have ended.
    pub month: Option<Counted>,
    /// Its requests of the last minute.
    pub ring: Ring,
    /// Its open reservations.
    pub open: i64,
}

/// What an admitted check reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    /// How many tokens, at least 1.
    pub declared: i64,
    /// The start of the day in which they are reserved.
    pub day: Timestamp,
    /// The start of the month in which they are reserved.
    pub month: Timestamp,
    /// From when on it reserves nothing.
    pub expires_at: Timestamp,
}

impl Counted {
    /// The current window of a kind: the newest, or an empty one once that has ended.
    pub(super) fn current(kind: WindowKind, newest: Option<Self>, zone: &TimeZone, now: Timestamp) -> Self {
        let window = next_window(kind, zone, newest.as_ref().map(|newest| &newest.window), now);
        newest.filter(|newest| newest.window == window).unwrap_or(Self { window, used: 0, reserved: 0 })
    }

    /// After a reservation was made in it.
    pub(super) fn reserve(self, declared: i64) -> Self {
        Self { reserved: self.reserved.saturating_add(declared.max(0)), ..self }
    }

    /// After a reservation that was made in the window with this start was closed, with so much used.
    fn close(self, start: Timestamp, declared: i64, actual: i64, now: Timestamp) -> Self {
        if self.window.start != start || self.window.has_ended(now) {
            return self;
        }
        Self { reserved: self.reserved.saturating_sub(declared.max(0)).max(0), ..self.used(actual) }
    }

    /// After so much was used in it.
    fn used(self, actual: i64) -> Self {
        Self { used: self.used.saturating_add(actual.max(0)), ..self }
    }
}

/// Closes an open reservation for which `actual` tokens were used: they count in the windows that it was made in, unless
/// those have ended, and its slot is free. That it is open, and so closed only once, is for the caller to know.
#[must_use]
pub fn settle(counters: &Counters, reservation: &Reservation, actual: i64, now: Timestamp) -> Counters {
    let close = |newest: Option<Counted>, start: Timestamp| {
        newest.map(|newest| newest.close(start, reservation.declared, actual, now))
    };
    Counters {
        day: close(counters.day, reservation.day),
        month: close(counters.month, reservation.month),
        ring: counters.ring.clone(),
        open: counters.open.saturating_sub(1).max(0),
    }
}

/// Closes an open reservation for which nothing was used: it was released, or it has expired. Its request stays
/// counted for its minute.
#[must_use]
pub fn release(counters: &Counters, reservation: &Reservation, now: Timestamp) -> Counters {
    settle(counters, reservation, 0, now)
}

/// Counts tokens that were used without an open reservation. What was used in a window that has ended does not count
/// any more; what was used later than now counts now.
#[must_use]
pub fn use_without_reservation(
    counters: &Counters,
    event_time: Timestamp,
    actual: i64,
    now: Timestamp,
    zone: &TimeZone,
) -> Counters {
    let count = |kind: WindowKind, newest: Option<Counted>| {
        let current = Counted::current(kind, newest, zone, now);
        // A clock that went back must not put what was used now before the window of now.
        let counts = event_time >= now || current.window.contains(event_time);
        if counts && actual > 0 { Some(current.used(actual)) } else { newest }
    };
    Counters {
        day: count(WindowKind::Day, counters.day),
        month: count(WindowKind::Month, counters.month),
        ring: counters.ring.clone(),
        open: counters.open,
    }
}
