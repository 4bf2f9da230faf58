//! Until when this process may write. The election extends the claim, the client checks it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Until when this process may write, on its own monotonic clock.
#[derive(Debug, Default)]
pub struct Claim(AtomicU64);

impl Claim {
    /// Whether the claim, at `now`, lasts for longer than `span`.
    pub fn covers(&self, now: Duration, span: Duration) -> bool {
        micros(now.saturating_add(span)) < self.0.load(Ordering::Acquire)
    }

    /// The claim lasts until `until`.
    pub fn extend_until(&self, until: Duration) {
        self.0.store(micros(until), Ordering::Release);
    }

    /// The claim is over.
    pub fn give_up(&self) {
        self.0.store(0, Ordering::Release);
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
