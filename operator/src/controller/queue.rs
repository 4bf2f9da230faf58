use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::watch::Key;

/// How long after a change a resource is reconciled, so that changes made together cost one reconcile. Later changes do
/// not postpone it, so that a busy object is not starved.
pub const DEBOUNCE: Duration = Duration::from_millis(100);

const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MOST: Duration = Duration::from_mins(5);

/// Which resources to reconcile, and when. Each key waits once, and runs once at a time. Pure: time is a parameter.
#[derive(Debug, Default)]
pub struct Queue {
    due: HashMap<Key, Duration>,
    order: BTreeSet<(Duration, Key)>,
    /// Under way, and when it is due again.
    running: HashMap<Key, Option<Duration>>,
    failures: HashMap<Key, u32>,
}

impl Queue {
    /// The key is due at `at`, or earlier if it was already.
    pub fn add(&mut self, key: Key, at: Duration) {
        if let Some(again) = self.running.get_mut(&key) {
            *again = Some(again.map_or(at, |before| before.min(at)));
            return;
        }
        if let Some(before) = self.due.get(&key).copied() {
            if before <= at {
                return;
            }
            self.order.remove(&(before, key.clone()));
        }
        self.due.insert(key.clone(), at);
        self.order.insert((at, key));
    }

    /// Takes the key that has been due for longest; it is under way from now on.
    pub fn pop(&mut self, now: Duration) -> Option<Key> {
        let (at, key) = self.order.first().filter(|(at, _)| *at <= now)?.clone();
        self.order.remove(&(at, key.clone()));
        self.due.remove(&key);
        self.running.insert(key.clone(), None);
        Some(key)
    }

    /// When the next key is due.
    pub fn next(&self) -> Option<Duration> {
        self.order.first().map(|(at, _)| *at)
    }

    /// A reconcile ended; the next is due at `again` at the latest.
    pub fn done(&mut self, key: &Key, again: Option<Duration>) {
        let wanted = self.running.remove(key).flatten();
        if let Some(at) = wanted.into_iter().chain(again).min() {
            self.add(key.clone(), at);
        }
    }

    /// A reconcile failed once more: how long to wait, `unit` being a random number between 0 and 1.
    pub fn failed(&mut self, key: &Key, unit: f64) -> Duration {
        let failures = self.failures.entry(key.clone()).or_insert(0);
        let delay = BACKOFF_FIRST.saturating_mul(1_u32 << (*failures).min(16)).min(BACKOFF_MOST);
        *failures += 1;
        jittered(delay, unit)
    }

    /// A reconcile did not fail.
    pub fn succeeded(&mut self, key: &Key) {
        self.failures.remove(key);
    }

    /// How many keys are due.
    pub fn depth(&self, now: Duration) -> usize {
        self.order.iter().take_while(|(at, _)| *at <= now).count()
    }

    /// How many keys failed last time.
    pub fn in_backoff(&self) -> usize {
        self.failures.len()
    }
}

/// The span give or take a fifth, so that what started together spreads out.
pub fn jittered(span: Duration, unit: f64) -> Duration {
    span.mul_f64(0.8 + 0.4 * unit.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("billing", name)
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_key_waits_once_and_the_earliest_wish_counts() {
        let mut queue = Queue::default();
        queue.add(key("a"), ms(600));
        queue.add(key("a"), ms(100));
        queue.add(key("a"), ms(300));
        assert_eq!(queue.next(), Some(ms(100)));
        assert_eq!(queue.pop(ms(99)), None);
        assert_eq!(queue.pop(ms(100)), Some(key("a")));
        assert_eq!(queue.pop(ms(1_000)), None);
    }

    #[test]
    fn a_key_under_way_is_not_run_beside_itself_but_after() {
        let mut queue = Queue::default();
        queue.add(key("a"), ms(0));
        assert_eq!(queue.pop(ms(0)), Some(key("a")));
        queue.add(key("a"), ms(50));
        assert_eq!(queue.pop(ms(60)), None);
        queue.done(&key("a"), Some(ms(600_000)));
        assert_eq!(queue.pop(ms(60)), Some(key("a")));
        queue.done(&key("a"), Some(ms(600_000)));
        assert_eq!(queue.next(), Some(ms(600_000)));
    }

    #[test]
    fn a_key_that_wants_nothing_more_is_forgotten() {
        let mut queue = Queue::default();
        queue.add(key("a"), ms(0));
        queue.pop(ms(0)).unwrap();
        queue.done(&key("a"), None);
        assert_eq!((queue.next(), queue.depth(ms(1))), (None, 0));
    }

    #[test]
    fn failures_wait_longer_and_longer_up_to_five_minutes() {
        let mut queue = Queue::default();
        let waits: Vec<u64> = (0..12).map(|_| queue.failed(&key("a"), 0.5).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(queue.in_backoff(), 1);
        queue.succeeded(&key("a"));
        assert_eq!(queue.failed(&key("a"), 0.0), ms(800));
        assert_eq!(queue.failed(&key("b"), 1.0), ms(1_200));
    }
}
