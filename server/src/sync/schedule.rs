//! When an entity is due, and how long to wait after a failure. Pure: time and chance are given.

#[cfg(test)]
mod tests;

use std::time::Duration;

use croner::Cron;
use jiff::Zoned;
use jiff::tz::TimeZone;

use super::error::SyncError;
use crate::config::{Schedule, parse_cron};
use crate::model::Timestamp;

/// How far a run moves from its time, either way, so that instances and entities spread out.
const JITTER: f64 = 0.1;
/// Missed occurrences are counted no further.
const MAX_MISSED: u64 = 1000;
/// The longest wait after failures of the upstream.
const MAX_BACKOFF: Duration = Duration::from_mins(5);

/// A schedule, ready to be asked.
#[derive(Debug, Clone)]
pub(super) enum Timetable {
    /// This long after the run before.
    Every(Duration),
    /// At the times of an expression in a zone.
    Cron(Box<Cron>, TimeZone),
}

impl Timetable {
    /// Takes a schedule of the configuration.
    pub fn new(key: &'static str, schedule: &Schedule) -> Result<Self, SyncError> {
        let wrong = |reason| SyncError::Configuration { key, reason };
        Ok(match schedule {
            Schedule::Every(span) => Self::Every(*span),
            Schedule::Cron { expression, time_zone } => {
                let cron = parse_cron(expression).map_err(|e| wrong(e.to_owned()))?;
                let zone = TimeZone::get(time_zone).map_err(|e| wrong(e.to_string()))?;
                Self::Cron(Box::new(cron), zone)
            }
        })
    }

    /// When the next run is due after one that ended well at `last`; at once if there was none.
    /// `chance` from -1 to 1 says how far an interval is stretched. What fell due while nobody ran
    /// is made up for once.
    pub fn due(&self, last: Option<Timestamp>, chance: f64) -> Timestamp {
        let Some(last) = last else { return Timestamp::default() };
        match self {
            Self::Every(span) => last.plus(span.mul_f64(1.0 + JITTER * chance.clamp(-1.0, 1.0))),
            Self::Cron(cron, zone) => {
                occurrence_after(cron, zone, last).unwrap_or(Timestamp::from_micros(i64::MAX))
            }
        }
    }

    /// How many runs fell due while one was under way. An interval starts at a run's end: none.
    pub fn missed(&self, started: Timestamp, ended: Timestamp) -> u64 {
        let Self::Cron(cron, zone) = self else { return 0 };
        let (mut count, mut at) = (0, started);
        while let Some(next) = occurrence_after(cron, zone, at).filter(|next| *next <= ended) {
            count += 1;
            if count == MAX_MISSED {
                break;
            }
            at = next;
        }
        count
    }
}

fn occurrence_after(cron: &Cron, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let after = Zoned::new(jiff::Timestamp::from_microsecond(after.micros()).ok()?, zone.clone());
    let next = cron.find_next_occurrence(&after, false).ok()?;
    Some(Timestamp::from_micros(next.timestamp().as_microsecond()))
}

/// The wait after so many failures in a row: 1, 2, 4 ... 300 s. `chance` from -1 to 1 takes off up
/// to half of it.
pub(super) fn backoff(failures: u32, chance: f64) -> Duration {
    let doubled = 1u64 << failures.saturating_sub(1).min(10);
    let full = Duration::from_secs(doubled).min(MAX_BACKOFF);
    full.mul_f64(0.75 + 0.25 * chance.clamp(-1.0, 1.0))
}
