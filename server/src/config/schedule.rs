use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::date;
use jiff::tz::TimeZone;

/// When something runs again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// This long after the run before.
    Every(Duration),
    /// At the times that a cron expression names.
    Cron {
        /// Five fields; [`parse_cron`] reads it.
        expression: String,
        /// An IANA time zone.
        time_zone: String,
    },
}

impl Schedule {
    /// The interval, where it is one.
    pub const fn interval(&self) -> Option<Duration> {
        match self {
            Self::Every(span) => Some(*span),
            Self::Cron { .. } => None,
        }
    }
}

/// Reads a cron expression of five fields, or says why it cannot.
pub fn parse_cron(expression: &str) -> Result<Cron, &'static str> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(expression).map_err(|_| "it is not a cron expression")
}

/// Whether the expression can be read and comes due at all.
pub(super) fn check_cron(expression: &str) -> Result<(), &'static str> {
    if expression.len() > 256 {
        return Err("it is too long");
    }
    let cron = parse_cron(expression)?;
    if let Some(fault) = sageapi_contract::cron_step_fault(expression) {
        return Err(fault);
    }
    let any_time = date(2024, 1, 1).to_zoned(TimeZone::UTC).map_err(|_| "it cannot be checked")?;
    cron.find_next_occurrence(&any_time, true).map(|_| ()).map_err(|_| "no date ever matches it")
}
