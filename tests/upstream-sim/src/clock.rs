//! The time of day, as a parameter.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time in microseconds since 1970 UTC. Tests pass their own.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The machine's clock.
pub fn system_now() -> Now {
    Arc::new(|| {
        #[expect(clippy::disallowed_methods, reason = "the one place where the simulator reads the clock")]
        let now = SystemTime::now();
        now.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    })
}

/// RFC 3339 in UTC with six decimals.
pub(crate) fn rfc3339(micros: i64) -> String {
    let at = jiff::Timestamp::from_microsecond(micros).unwrap_or_default();
    format!("{at:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc_with_six_decimals() {
        assert_eq!(rfc3339(1_780_000_000_000_250), "2026-05-28T20:26:40.000250Z");
    }
}
