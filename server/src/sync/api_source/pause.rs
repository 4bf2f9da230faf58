//! Retry-After (RFC 9110, section 10.2.3): how long the platform asks to be left alone.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;

use super::super::source::SourceError;
use crate::model::{Entity, Timestamp};

/// No answer silences a mirror for longer.
const LONGEST: Duration = Duration::from_hours(1);

/// What an answer asks for, in seconds or as a date; at most an hour. `None` if it asks for nothing, or for what is past.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let pause = if digits {
        // Too many digits are too many seconds.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_microsecond();
        Duration::from_micros(u64::try_from(until.saturating_sub(now.micros())).ok()?)
    };
    Some(pause.min(LONGEST)).filter(|pause| !pause.is_zero())
}

/// Until when each entity must not be asked for, by the monotonic clock, and why. Never locked across an await.
#[derive(Debug, Default)]
pub(super) struct Pauses([Mutex<Option<(Duration, SourceError)>>; Entity::ALL.len()]);

impl Pauses {
    /// The error of the answer that asked for a pause, while that lasts.
    pub fn check(&self, entity: Entity, now: Duration) -> Result<(), SourceError> {
        let pause = self.0[entity as usize].lock().unwrap_or_else(PoisonError::into_inner);
        match &*pause {
            Some((until, error)) if *until > now => {
                let left = until.saturating_sub(now);
                let message = format!("{}; it is not asked again for {} s", error.message, left.as_secs());
                Err(SourceError { class: error.class, message, retry_after: Some(left) })
            }
            _ => Ok(()),
        }
    }

    /// Keeps what an answer asked for.
    pub fn note(&self, entity: Entity, now: Duration, error: &SourceError) {
        if let Some(span) = error.retry_after {
            let pause = Some((now.saturating_add(span), error.clone()));
            *self.0[entity as usize].lock().unwrap_or_else(PoisonError::into_inner) = pause;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_bounded() {
        // Thu, 28 May 2026 20:26:40 GMT.
        let now = Timestamp::from_seconds(1_780_000_000);
        for (text, seconds) in [
            ("60", Some(60)),
            (" 1 ", Some(1)),
            ("0", None),
            ("86400", Some(3600)),
            ("99999999999999999999999", Some(3600)),
            ("Thu, 28 May 2026 20:27:10 GMT", Some(30)),
            ("Thu, 28 May 2026 20:26:40 GMT", None),
            ("Thu, 28 May 2026 20:00:00 GMT", None),
            ("Fri, 29 May 2026 20:26:40 GMT", Some(3600)),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs), "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
