//! Waiting for what has no event to wait for, and measuring how long it took.

use std::time::Duration;

use sageapi_server::model::{Clock, SystemClock};

/// Between two looks.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Looks again and again until `look` finds something; gives it, and how long that took. Fails the test
/// once `within` is over.
pub async fn until<T, F>(what: &str, within: Duration, mut look: impl FnMut() -> F) -> (T, Duration)
where
    F: Future<Output = Option<T>>,
{
    let clock = SystemClock::new();
    let started = clock.monotonic();
    loop {
        if let Some(found) = look().await {
            return (found, clock.monotonic().saturating_sub(started));
        }
        let waited = clock.monotonic().saturating_sub(started);
        assert!(waited < within, "{what}: not within {within:?}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// The least value that so many per cent of all do not exceed (nearest rank).
pub fn percentile(values: &mut [Duration], percent: usize) -> Duration {
    values.sort_unstable();
    values[(values.len() * percent).div_ceil(100).max(1) - 1]
}
