//! The bounded queue in front of a writer.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::{Booked, Command};
use crate::domain::Error;
use crate::model::{CustomerId, Transno};

/// One customer may fill a fifth of the queue, so that others still find room.
const CUSTOMER_SHARE: usize = 5;

/// A command and the caller who waits for its verdict.
pub(super) struct Waiting {
    pub command: Command,
    pub reply: oneshot::Sender<Result<Booked, Error>>,
}

/// How many commands may wait, over all shards.
pub(super) struct Room {
    capacity: usize,
    taken: AtomicUsize,
}

impl Room {
    pub fn new(capacity: usize) -> Self {
        Self { capacity, taken: AtomicUsize::new(0) }
    }

    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    fn enter(&self) -> bool {
        let enter = |n| (n < self.capacity).then_some(n + 1);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter).is_ok()
    }

    fn leave(&self, count: usize) {
        self.taken.fetch_sub(count, Ordering::AcqRel);
    }
}

/// The queue of one shard.
#[derive(Default)]
pub(super) struct Shard {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Commands of each customer from push to verdict.
    of_customer: HashMap<CustomerId, usize>,
    /// Transnos from push to verdict.
    under_way: HashMap<(CustomerId, Transno), usize>,
    closed: bool,
}

/// What became of a push.
pub(super) enum Pushed {
    /// It waits for its turn.
    Queued,
    /// It waits behind a command with the same transno.
    Behind,
}

impl Shard {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a command in, or says that there is no room.
    pub fn push(&self, room: &Room, waiting: Waiting) -> Result<Pushed, Error> {
        let mut state = self.state();
        let customer = &waiting.command.request.customer_id;
        let own = state.of_customer.get(customer).copied().unwrap_or(0);
        if state.closed || own >= (room.capacity / CUSTOMER_SHARE).max(1) || !room.enter() {
            return Err(Error::Overloaded);
        }
        *state.of_customer.entry(customer.clone()).or_default() += 1;
        let transno = (customer.clone(), waiting.command.request.transno.clone());
        let same = state.under_way.entry(transno).or_default();
        *same += 1;
        let pushed = if *same > 1 { Pushed::Behind } else { Pushed::Queued };
        state.waiting.push_back(waiting);
        drop(state);
        self.wake.notify_one();
        Ok(pushed)
    }

    /// Waits for commands and takes up to `max`. Where the last batch held `expected` commands, it
    /// waits up to `delay` for as many: under load one larger commit is cheaper than two small ones;
    /// a single command on an idle shard is taken at once. `None` once closed and empty.
    pub async fn gather(&self, max: usize, expected: usize, delay: Duration) -> Option<Vec<Waiting>> {
        loop {
            let notified = self.wake.notified();
            {
                let state = self.state();
                if !state.waiting.is_empty() {
                    break;
                }
                if state.closed {
                    return None;
                }
            }
            notified.await;
        }
        if expected > 1 {
            let enough = async {
                loop {
                    let notified = self.wake.notified();
                    {
                        let state = self.state();
                        if state.closed || state.waiting.len() >= expected.min(max) {
                            return;
                        }
                    }
                    notified.await;
                }
            };
            // Running out of time is the ordinary end of this wait.
            let _ = tokio::time::timeout(delay, enough).await;
        }
        let mut state = self.state();
        let count = state.waiting.len().min(max);
        Some(state.waiting.drain(..count).collect())
    }

    /// Gives the room of decided commands back, before their callers hear of it.
    pub fn done<'a>(&self, room: &Room, commands: impl Iterator<Item = &'a Command>) {
        let mut state = self.state();
        let mut count = 0;
        for command in commands {
            count += 1;
            let request = &command.request;
            release(&mut state.of_customer, &request.customer_id);
            release(&mut state.under_way, &(request.customer_id.clone(), request.transno.clone()));
        }
        drop(state);
        room.leave(count);
    }

    /// Takes nothing in any more; what waits is still served.
    pub fn close(&self) {
        self.state().closed = true;
        self.wake.notify_one();
    }
}

fn release<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
