//! The bounded queue in front of a writer.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use super::{Command, Outcome};
use crate::domain::Error;
use crate::model::{CustomerId, Transno};

/// One customer may fill a fifth of the queue, so that others still find room.
const CUSTOMER_SHARE: usize = 5;

/// A verdict on its way to the caller who waits for it.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// A command and the caller who waits for its verdict.
pub(super) struct Waiting {
    pub command: Command,
    pub reply: Reply<Outcome>,
}

/// Commands that are committed together or not at all, and who waits for them.
pub(super) struct Group {
    pub commands: Vec<Command>,
    pub reply: Reply<Vec<Outcome>>,
}

/// What a writer commits next.
pub(super) enum Taken {
    /// Commands, each decided for itself.
    Batch(Vec<Waiting>),
    /// A group, in a commit of its own.
    Group(Group),
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

    /// Takes room for so many commands, or none of it.
    pub fn enter(&self, count: usize) -> bool {
        let enter = |n: usize| n.checked_add(count).filter(|sum| *sum <= self.capacity);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter).is_ok()
    }

    pub fn leave(&self, count: usize) {
        self.taken.fetch_sub(count, Ordering::AcqRel);
    }

    /// What one customer may have waiting.
    pub fn customer_share(&self) -> usize {
        (self.capacity / CUSTOMER_SHARE).max(1)
    }
}

/// The queue of one shard. Single commands and bulk wait apart, so that a bulk load does not stand in
/// front of everyone.
#[derive(Default)]
pub(super) struct Shard {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    single: VecDeque<Waiting>,
    bulk: VecDeque<Waiting>,
    groups: VecDeque<Group>,
    /// Commands of each customer from push to verdict.
    of_customer: HashMap<CustomerId, usize>,
    /// Transnos from push to verdict.
    under_way: HashMap<(CustomerId, Transno), usize>,
    closed: bool,
}

impl State {
    fn commands(&self) -> usize {
        self.single.len() + self.bulk.len()
    }

    fn is_empty(&self) -> bool {
        self.commands() == 0 && self.groups.is_empty()
    }

    /// Notes a command down; whether one with its transno is under way already.
    fn enter(&mut self, command: &Command) -> bool {
        let customer = &command.request.customer_id;
        *self.of_customer.entry(customer.clone()).or_default() += 1;
        let Some(transno) = command.request.action.transno() else { return false };
        let same = self.under_way.entry((customer.clone(), transno.clone())).or_default();
        *same += 1;
        *same > 1
    }
}

/// What became of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

    /// Takes one command in, or says that there is no room.
    pub fn push(&self, room: &Room, waiting: Waiting) -> Result<Pushed, Error> {
        let mut state = self.state();
        let own = state.of_customer.get(&waiting.command.request.customer_id).copied().unwrap_or(0);
        if state.closed || own >= room.customer_share() || !room.enter(1) {
            return Err(Error::Overloaded);
        }
        let pushed = if state.enter(&waiting.command) { Pushed::Behind } else { Pushed::Queued };
        state.single.push_back(waiting);
        drop(state);
        self.wake.notify_one();
        Ok(pushed)
    }

    /// Takes bulk in for which room was taken before.
    pub fn push_bulk(&self, bulk: Vec<Waiting>) -> Result<(), Vec<Waiting>> {
        let mut state = self.state();
        if state.closed {
            return Err(bulk);
        }
        for waiting in bulk {
            state.enter(&waiting.command);
            state.bulk.push_back(waiting);
        }
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Takes a group in for which room was taken before.
    pub fn push_group(&self, group: Group) -> Result<(), Group> {
        let mut state = self.state();
        if state.closed {
            return Err(group);
        }
        for command in &group.commands {
            state.enter(command);
        }
        state.groups.push_back(group);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Waits for commands and takes up to `max`. Where the last batch held `expected` commands, it
    /// waits for as many, but no longer than `delay`: under load one larger commit is cheaper than two small ones;
    /// a single command on an idle shard is taken at once. `None` once closed and empty.
    pub async fn gather(
        &self,
        max: usize,
        expected: usize,
        delay: impl Future<Output = ()>,
    ) -> Option<Taken> {
        loop {
            let notified = self.wake.notified();
            {
                let mut state = self.state();
                if let Some(group) = state.groups.pop_front() {
                    return Some(Taken::Group(group));
                }
                if !state.is_empty() {
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
                        if state.closed || state.commands() >= expected.min(max) {
                            return;
                        }
                    }
                    notified.await;
                }
            };
            tokio::select! {
                biased;
                () = enough => {}
                () = delay => {}
            }
        }
        let mut state = self.state();
        // Bulk takes at most half of a commit while single commands wait.
        let bulk_max = if state.single.is_empty() { max } else { max / 2 };
        let bulk = state.bulk.len().min(bulk_max);
        let single = state.single.len().min(max - bulk);
        let mut batch: Vec<_> = state.single.drain(..single).collect();
        batch.extend(state.bulk.drain(..bulk));
        Some(Taken::Batch(batch))
    }

    /// Gives the room of decided commands back, before their callers hear of it.
    pub fn done<'a>(&self, room: &Room, commands: impl Iterator<Item = &'a Command>) {
        let mut state = self.state();
        let mut count = 0;
        for command in commands {
            count += 1;
            let customer = &command.request.customer_id;
            release(&mut state.of_customer, customer);
            if let Some(transno) = command.request.action.transno() {
                release(&mut state.under_way, &(customer.clone(), transno.clone()));
            }
        }
        drop(state);
        room.leave(count);
    }

    /// Commands of a customer that wait or are being decided.
    pub fn of_customer(&self, customer: &CustomerId) -> usize {
        self.state().of_customer.get(customer).copied().unwrap_or(0)
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
