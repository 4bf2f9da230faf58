//! Waiting for what comes about by itself.

use std::time::{Duration, Instant};

use crate::Failure;

/// Between two looks.
const POLL_INTERVAL: Duration = Duration::from_millis(150);

/// Looks again and again until there is something to see; how long that took.
pub fn until<T>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> Result<Option<T>, Failure>,
) -> Result<(T, Duration), Failure> {
    let start = Instant::now();
    let mut last;
    loop {
        match look() {
            Ok(Some(seen)) => return Ok((seen, start.elapsed())),
            Ok(None) => last = String::from("not yet"),
            Err(why) => last = why.to_string(),
        }
        if start.elapsed() > within {
            return Err(format!("{what}: not within {within:?} ({last})").into());
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}
