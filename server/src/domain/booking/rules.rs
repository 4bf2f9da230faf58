//! What the configuration, and the state of the database, say about deciding.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::model::{Mode, Timestamp};

/// How far ahead of the database's clock usage may be said to happen.
pub const MAX_AHEAD: Duration = Duration::from_mins(5);

/// Rules that hold for every command of a transaction.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Whether charges may go below zero, for customers that have no mode of their own.
    pub mode: Mode,
    /// The time zone of the days of usage.
    pub usage_zone: TimeZone,
    /// How long usage records are kept; `None`: for ever.
    pub usage_retention: Option<Duration>,
    /// Whether the primary is to be told of usage: this is an edge.
    pub forward_usage: bool,
    /// Usage records before it may have been deleted.
    pub usage_floor: Timestamp,
}

/// Before when usage may have been deleted, as an instance read it last. Deletion stays a day behind it, so that it need not
/// be fresh. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct UsageFloor(Arc<AtomicI64>);

impl UsageFloor {
    /// The one read last.
    pub fn get(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Acquire))
    }

    /// Raises it; it never falls.
    pub fn raise(&self, to: Timestamp) {
        self.0.fetch_max(to.micros(), Ordering::AcqRel);
    }
}

impl Rules {
    /// Of a primary that keeps usage for ever, in days of UTC.
    pub fn of(mode: Mode) -> Self {
        Self {
            mode,
            usage_zone: TimeZone::UTC,
            usage_retention: None,
            forward_usage: false,
            usage_floor: Timestamp::default(),
        }
    }

    /// Before when usage is refused at `now`: a repetition of what was deleted must not count twice.
    pub(super) fn oldest_usage(&self, now: Timestamp) -> Timestamp {
        let kept = self.usage_retention.map_or(Timestamp::default(), |retention| now.minus(retention));
        let undeleted = match self.usage_floor {
            floor if floor == Timestamp::default() => floor,
            floor => floor.plus(MAX_AHEAD),
        };
        kept.max(undeleted)
    }
}
