use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::queue::{DEBOUNCE, Queue, jittered};
use super::reconcile::{Outcome, reconcile};
use crate::reconciler::Reconciler;
use crate::watch::Key;

/// How long reconciles under way may take after the stop.
const DRAIN: Duration = Duration::from_secs(10);
/// After so many conflicts in a row something is wrong, and the wait grows as after a failure.
const CONFLICTS: u32 = 5;

/// Reconciles one kind of resource whenever this replica leads.
pub struct Controller<R: Reconciler> {
    /// What reconciles need.
    pub context: Arc<Context<R>>,
    /// How many are under way at a time.
    pub concurrency: usize,
    /// Whether this replica leads.
    pub leading: watch::Receiver<bool>,
}

impl<R: Reconciler> Controller<R> {
    /// Works whenever this replica leads, until `stop`; then lets what is under way end, within a bound.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                known = until(&mut self.leading, true) => if !known { return },
            }
            self.lead(&stop).await;
        }
    }

    async fn lead(&mut self, stop: &CancellationToken) {
        let mut term = Term::new(Arc::clone(&self.context), self.concurrency);
        let beside = tokio::spawn(Arc::clone(&self.context.reconciler).run_beside());
        loop {
            term.start_due();
            tokio::select! {
                () = stop.cancelled() => {
                    term.drain().await;
                    break;
                }
                // Writes under way are not waited for: none starts any more, and each is bounded.
                _ = until(&mut self.leading, false) => break,
                keys = self.context.caches.triggers.take() => term.trigger(keys),
                () = term.step() => {}
            }
        }
        beside.abort();
        term.report([0; 3]);
    }
}

/// Waits until this replica leads, or does not; false if the election is over.
async fn until(leading: &mut watch::Receiver<bool>, wanted: bool) -> bool {
    leading.wait_for(|leads| *leads == wanted).await.is_ok()
}

/// One term of leadership.
struct Term<R: Reconciler> {
    context: Arc<Context<R>>,
    concurrency: usize,
    queue: Queue,
    conflicts: BTreeMap<Key, u32>,
    running: JoinSet<Outcome>,
    keys: BTreeMap<Id, Key>,
    /// This term's share of the gauges, which all controllers add to.
    reported: [i64; 3],
}

impl<R: Reconciler> Term<R> {
    /// Begins with every resource: nobody knows what the previous leader left undone.
    fn new(context: Arc<Context<R>>, concurrency: usize) -> Self {
        let now = context.clock.monotonic();
        let mut queue = Queue::default();
        for key in context.caches.resources.keys() {
            queue.add(key, now);
        }
        Self {
            context,
            concurrency,
            queue,
            conflicts: BTreeMap::new(),
            running: JoinSet::new(),
            keys: BTreeMap::new(),
            reported: [0; 3],
        }
    }

    fn trigger(&mut self, keys: impl IntoIterator<Item = Key>) {
        let at = self.context.clock.monotonic() + DEBOUNCE;
        for key in keys {
            self.queue.add(key, at);
        }
    }

    fn start_due(&mut self) {
        let now = self.context.clock.monotonic();
        while self.running.len() < self.concurrency {
            let Some(key) = self.queue.pop(now) else { break };
            let task = self.running.spawn(reconcile(Arc::clone(&self.context), key.clone()));
            self.keys.insert(task.id(), key);
        }
        let counts = [self.running.len(), self.queue.depth(now), self.queue.in_backoff()];
        self.report(counts.map(|count| i64::try_from(count).unwrap_or(i64::MAX)));
    }

    fn report(&mut self, counts: [i64; 3]) {
        let metrics = &self.context.metrics;
        let gauges = [&metrics.active, &metrics.queue_depth, &metrics.in_backoff];
        for ((gauge, before), now) in gauges.into_iter().zip(&mut self.reported).zip(counts) {
            gauge.inc_by(now - *before);
            *before = now;
        }
    }

    /// Waits until a reconcile ends, or until the next is due and there is room for it.
    async fn step(&mut self) {
        let full = self.running.len() >= self.concurrency;
        let due = self.queue.next().filter(|_| !full);
        let wait = due.map(|at| at.saturating_sub(self.context.clock.monotonic()));
        tokio::select! {
            Some(ended) = self.running.join_next_with_id() => {
                let (id, outcome) = match ended {
                    Ok((id, outcome)) => (id, outcome),
                    Err(error) => {
                        tracing::error!(%error, "a reconcile panicked; it is retried");
                        (error.id(), Outcome::Failed(None))
                    }
                };
                self.ended(id, &outcome);
            }
            () = tokio::time::sleep(wait.unwrap_or(Duration::MAX)), if wait.is_some() => {}
            else => std::future::pending().await,
        }
    }

    fn ended(&mut self, id: Id, outcome: &Outcome) {
        let Some(key) = self.keys.remove(&id) else { return };
        let unit = self.context.entropy.unit();
        let conflicts = match outcome {
            Outcome::Conflict(_) => self.conflicts.get(&key).map_or(1, |before| before + 1),
            _ => 0,
        };
        let wait = match *outcome {
            Outcome::Gone => None,
            Outcome::Done(after) => Some(jittered(after, unit)),
            Outcome::Conflict(after) if conflicts < CONFLICTS => Some(after),
            Outcome::NotLeader(after) => Some(after),
            Outcome::Conflict(_) => Some(self.queue.failed(&key, unit)),
            Outcome::Failed(retry_after) => {
                Some(self.queue.failed(&key, unit).max(retry_after.unwrap_or_default()))
            }
        };
        if matches!(outcome, Outcome::Gone | Outcome::Done(_)) {
            self.queue.succeeded(&key);
        }
        if conflicts == 0 {
            self.conflicts.remove(&key);
        } else {
            self.conflicts.insert(key.clone(), conflicts);
        }
        let again = wait.map(|wait| self.context.clock.monotonic() + wait);
        self.queue.done(&key, again);
    }

    async fn drain(&mut self) {
        let rest = async { while self.running.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, rest).await.is_err() {
            tracing::warn!("reconciles under way did not end in time and are aborted");
        }
    }
}
