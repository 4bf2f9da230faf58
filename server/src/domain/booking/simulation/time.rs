//! Time that passes when nothing else happens.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::model::{Clock as _, ManualClock, Timestamp};

/// Turns that tasks get between two moments.
const TURNS: u32 = 2;

/// Who waits, by when and in the order in which they began to.
type Waiting = BTreeMap<(Timestamp, u64), oneshot::Sender<()>>;

/// Simulated time. It jumps from one moment that a task waits for to the next.
pub struct Time {
    /// Shows it.
    pub clock: Arc<ManualClock>,
    waiting: Mutex<Waiting>,
    count: AtomicU64,
}

impl Time {
    pub fn new(start: Timestamp) -> Self {
        Self { clock: ManualClock::new(start), waiting: Mutex::default(), count: AtomicU64::new(0) }
    }

    pub async fn sleep(&self, span: Duration) {
        let (wake, woken) = oneshot::channel();
        let place = (self.clock.now().plus(span), self.count.fetch_add(1, Ordering::SeqCst));
        self.waiting.lock().unwrap().insert(place, wake);
        woken.await.unwrap();
    }

    /// The outcome of `work`, or `None` if it takes longer.
    pub async fn timeout<T>(&self, span: Duration, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.sleep(span) => None,
        }
    }

    /// Lets time pass for as long as `history` lasts.
    pub async fn pass<T>(&self, history: impl Future<Output = T>) -> T {
        let passing = async {
            loop {
                for _ in 0..TURNS {
                    tokio::task::yield_now().await;
                }
                self.next();
            }
        };
        tokio::select! {
            biased;
            done = history => done,
            () = passing => unreachable!("time does not end"),
        }
    }

    /// Jumps to the next moment that a task still waits for.
    fn next(&self) {
        let mut waiting = self.waiting.lock().unwrap();
        while let Some(((at, _), wake)) = waiting.pop_first() {
            if !wake.is_closed() {
                let span = at.micros() - self.clock.now().micros();
                self.clock.advance(Duration::from_micros(u64::try_from(span).unwrap_or(0)));
                // It may have given up this very moment.
                let _ = wake.send(());
                return;
            }
        }
    }
}
