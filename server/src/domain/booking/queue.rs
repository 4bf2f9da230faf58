//! The queue in front of a writer, and the order in which it is served.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::command::{Command, Reply};
use super::outcome::Outcome;
use crate::model::CustomerId;

#[cfg(test)]
mod tests;

/// How many transactions after a repetition look for further ones before they decide.
const LOOKING: u32 = 32;

/// Commands that are committed together or not at all, and their caller.
pub(super) struct Group {
    pub commands: Vec<Command>,
    pub reply: Reply<Vec<Outcome>>,
}

/// What a writer commits next.
pub(super) enum Taken {
    /// Commands, each decided for itself.
    Batch(Vec<Command>),
    /// A group, in a commit of its own.
    Group(Group),
}

/// The queue of one shard.
#[derive(Default)]
pub(super) struct Shard {
    state: Mutex<State>,
    wake: Notify,
    /// Transactions that still look for repetitions before they decide.
    looking: AtomicU32,
}

#[derive(Default)]
struct State {
    open: Lanes,
    /// Customers that another transaction keeps locked.
    parked_customers: BTreeSet<CustomerId>,
    /// What waits for one of those.
    parked: Lanes,
    /// What was taken last was a group.
    group_was_last: bool,
    /// Whether bulk has its turn where a commit has one place only.
    bulk_is_next: bool,
    closed: bool,
}

/// What waits, by how it is served, so that a bulk load does not hold up everyone else.
#[derive(Default)]
pub(super) struct Lanes {
    pub single: VecDeque<Command>,
    pub bulk: VecDeque<Command>,
    pub groups: VecDeque<Group>,
}

impl Lanes {
    /// Commands outside of groups.
    fn commands(&self) -> usize {
        self.single.len() + self.bulk.len()
    }

    fn is_empty(&self) -> bool {
        self.commands() == 0 && self.groups.is_empty()
    }

    /// Takes out, in order, what is chosen by its commands.
    fn extract(&mut self, chosen: impl Fn(&[Command]) -> bool) -> Self {
        let one = |command: &Command| chosen(std::slice::from_ref(command));
        Self {
            single: part(&mut self.single, one),
            bulk: part(&mut self.bulk, one),
            groups: part(&mut self.groups, |group| chosen(&group.commands)),
        }
    }

    fn append(&mut self, mut more: Self) {
        self.single.append(&mut more.single);
        self.bulk.append(&mut more.bulk);
        self.groups.append(&mut more.groups);
    }
}

fn part<T>(lane: &mut VecDeque<T>, chosen: impl Fn(&T) -> bool) -> VecDeque<T> {
    let (taken, left) = std::mem::take(lane).into_iter().partition(chosen);
    *lane = left;
    taken
}

fn concerns(parked_customers: &BTreeSet<CustomerId>, commands: &[Command]) -> bool {
    !parked_customers.is_empty()
        && commands.iter().any(|command| parked_customers.contains(&command.request.customer_id))
}

impl State {
    /// What comes in goes to the end of its lane, or is parked.
    fn take_in(&mut self, mut more: Lanes) {
        let parked_customers = &self.parked_customers;
        self.parked.append(more.extract(|commands| concerns(parked_customers, commands)));
        self.open.append(more);
    }

    /// The next group, if it is a group's turn: after each of them whatever else waits has its own.
    fn next_group(&mut self) -> Option<Group> {
        if self.group_was_last && self.open.commands() > 0 {
            return None;
        }
        let group = self.open.groups.pop_front()?;
        self.group_was_last = true;
        Some(group)
    }

    /// The next commands. Bulk takes at most half of a commit while single ones wait.
    fn next_batch(&mut self, max: usize) -> Vec<Command> {
        self.group_was_last = false;
        let lanes = &mut self.open;
        let bulk_max = match (lanes.single.is_empty(), max) {
            (true, _) => max,
            (false, 1) => {
                self.bulk_is_next = !self.bulk_is_next;
                usize::from(!self.bulk_is_next)
            }
            (false, _) => max / 2,
        };
        let bulk = lanes.bulk.len().min(bulk_max);
        let single = lanes.single.len().min(max - bulk);
        let mut batch: Vec<_> = lanes.single.drain(..single).collect();
        batch.extend(lanes.bulk.drain(..bulk));
        batch
    }
}

impl Shard {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what comes is taken to be new: where repetitions were seen recently, looking for them first is cheaper
    /// than to be refused by the database.
    pub fn expects_new(&self) -> bool {
        self.looking.load(Relaxed) == 0
    }

    /// Notes what a transaction found that looked for repetitions, or was refused for one.
    pub fn looked_up(&self, repetitions: bool) {
        // Only the shard's one writer does.
        let left = self.looking.load(Relaxed);
        self.looking.store(if repetitions { LOOKING } else { left.saturating_sub(1) }, Relaxed);
    }

    /// Takes in what has room, unless the shard is closed.
    pub fn push(&self, more: Lanes) -> Result<(), Lanes> {
        let mut state = self.state();
        if state.closed {
            return Err(more);
        }
        state.take_in(more);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Waits for commands and takes up to `max`. A `busy` writer, whose last commit was full, waits until the next one is
    /// full too, but no longer than `delay`: then one large commit is cheaper than two small ones. Else what came during
    /// the last commit is taken at once, for waiting would only add to everyone's time. `None` once closed and empty.
    pub async fn gather(&self, max: usize, busy: bool, delay: impl Future<Output = ()>) -> Option<Taken> {
        loop {
            let notified = self.wake.notified();
            {
                let mut state = self.state();
                if let Some(group) = state.next_group() {
                    return Some(Taken::Group(group));
                }
                if state.open.commands() > 0 {
                    break;
                }
                if state.closed && state.parked.is_empty() {
                    return None;
                }
            }
            notified.await;
        }
        if busy {
            let enough = async {
                loop {
                    let notified = self.wake.notified();
                    {
                        let state = self.state();
                        if state.closed || state.open.commands() >= max {
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
        Some(Taken::Batch(self.state().next_batch(max)))
    }

    /// Parks these customers and what waits for them. `taken` was taken from this shard; what of it may go on is given
    /// back.
    pub fn park(&self, customers: Vec<CustomerId>, mut taken: Lanes) -> Lanes {
        let mut state = self.state();
        state.parked_customers.extend(customers);
        let State { parked_customers, open, parked, .. } = &mut *state;
        // First what has waited longest.
        parked.append(taken.extract(|commands| concerns(parked_customers, commands)));
        parked.append(open.extract(|commands| concerns(parked_customers, commands)));
        taken
    }

    /// The customers that are parked.
    pub fn parked_customers(&self) -> Vec<CustomerId> {
        self.state().parked_customers.iter().cloned().collect()
    }

    /// A customer can be locked again; what waited for it comes first.
    pub fn unpark(&self, customer: &CustomerId) {
        let mut state = self.state();
        state.parked_customers.remove(customer);
        let State { parked_customers, open, parked, .. } = &mut *state;
        let mut back = parked.extract(|commands| !concerns(parked_customers, commands));
        back.append(std::mem::take(open));
        *open = back;
        drop(state);
        self.wake.notify_one();
    }

    /// Takes out what is parked and entered the queue before that time.
    pub fn take_overdue(&self, before: Duration) -> Lanes {
        let overdue = |commands: &[Command]| commands.iter().any(|command| command.since < before);
        let overdue = self.state().parked.extract(overdue);
        self.wake.notify_one();
        overdue
    }

    /// Takes nothing in any more; what waits is still served.
    pub fn close(&self) {
        self.state().closed = true;
        self.wake.notify_one();
    }
}
