//! The loop of the leader: what is due is reconciled, a few at a time, each resource never beside itself.

mod apply;
mod health;
pub(crate) mod live;
mod observe;
mod probe;
mod queue;
mod reconcile;
mod refused;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::runtime::events::Recorder;
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

pub use self::apply::Contested;
pub use self::health::HealthBook;
use self::queue::{DEBOUNCE, Queue, jittered};
use self::reconcile::{Outcome, reconcile};
pub use self::refused::Refused;
pub use self::status::Written;
use crate::metrics::Metrics;
use crate::observed::Settings;
use crate::watch::{Caches, Key, SecretsAccess};
use sageapi_runtime::{Clock, Entropy};

/// How long reconciles under way may go on after the stop.
const DRAIN: Duration = Duration::from_secs(10);
/// After so many collisions in a row something is wrong, and the wait grows as after a failure.
const COLLISIONS: u32 = 5;

/// What every reconcile needs.
pub struct Context {
    /// The cluster.
    pub client: Client,
    /// What is known of it.
    pub caches: Arc<Caches>,
    /// What holds for every resource alike.
    pub settings: Settings,
    /// Whether changes of Secrets are seen, or must be looked for.
    pub secrets: SecretsAccess,
    /// What instances said of themselves.
    pub health: HealthBook,
    /// What others keep changing back.
    pub contested: Contested,
    /// What the API server refused.
    pub refused: Refused,
    /// When statuses were written.
    pub written: Written,
    /// Emits events.
    pub recorder: Recorder,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

impl Context {
    /// Nothing is kept of a resource that is gone.
    fn forget(&self, key: &Key) {
        self.caches.references.set(key, &BTreeMap::new());
        self.health.want(key, crate::plan::Ask::Nobody);
        self.refused.keep(key, &[]);
        self.written.forget(key);
    }
}

/// The loop.
pub struct Controller {
    /// What reconciles need.
    pub context: Arc<Context>,
    /// How many are under way at a time.
    pub concurrency: usize,
    /// Whether this replica leads.
    pub leading: watch::Receiver<bool>,
}

impl Controller {
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
        let mut leader_loop = LeaderLoop::new(Arc::clone(&self.context), self.concurrency);
        let asking = tokio::spawn(health::keep_asking(Arc::clone(&self.context)));
        loop {
            leader_loop.start_what_is_due();
            tokio::select! {
                () = stop.cancelled() => {
                    leader_loop.drain().await;
                    break;
                }
                // Writes under way are not waited for: none starts any more, and each is bounded.
                _ = until(&mut self.leading, false) => break,
                keys = self.context.caches.triggers.take() => leader_loop.wanted(keys),
                () = leader_loop.step() => {}
            }
        }
        asking.abort();
        let metrics = &self.context.metrics;
        for gauge in [&metrics.reconciles_active, &metrics.queue_depth, &metrics.in_backoff] {
            gauge.set(0);
        }
    }
}

/// Waits until this replica leads, or does not; false if the election is over.
async fn until(leading: &mut watch::Receiver<bool>, wanted: bool) -> bool {
    leading.wait_for(|leads| *leads == wanted).await.is_ok()
}

/// One term of leadership.
struct LeaderLoop {
    context: Arc<Context>,
    concurrency: usize,
    queue: Queue,
    collisions: BTreeMap<Key, u32>,
    running: JoinSet<Outcome>,
    keys: BTreeMap<Id, Key>,
}

impl LeaderLoop {
    /// Begins with a look at every resource: nobody knows what the leader before left undone.
    fn new(context: Arc<Context>, concurrency: usize) -> Self {
        let now = context.clock.monotonic();
        let mut queue = Queue::default();
        for resource in context.caches.sageapis.all() {
            queue.add(Key::of(resource.as_ref()), now);
        }
        Self {
            context,
            concurrency,
            queue,
            collisions: BTreeMap::new(),
            running: JoinSet::new(),
            keys: BTreeMap::new(),
        }
    }

    fn wanted(&mut self, keys: impl IntoIterator<Item = Key>) {
        let at = self.context.clock.monotonic() + DEBOUNCE;
        for key in keys {
            self.queue.add(key, at);
        }
    }

    fn start_what_is_due(&mut self) {
        let now = self.context.clock.monotonic();
        while self.running.len() < self.concurrency {
            let Some(key) = self.queue.pop(now) else { break };
            let task = self.running.spawn(reconcile(Arc::clone(&self.context), key.clone()));
            self.keys.insert(task.id(), key);
        }
        let metrics = &self.context.metrics;
        metrics.reconciles_active.set(i64::try_from(self.running.len()).unwrap_or(i64::MAX));
        metrics.queue_depth.set(i64::try_from(self.queue.depth(now)).unwrap_or(i64::MAX));
        metrics.in_backoff.set(i64::try_from(self.queue.in_backoff()).unwrap_or(i64::MAX));
    }

    /// Waits until a reconcile ends, or until the next is due where one more may run.
    async fn step(&mut self) {
        let full = self.running.len() >= self.concurrency;
        let due = self.queue.next().filter(|_| !full);
        let wait = due.map(|at| at.saturating_sub(self.context.clock.monotonic()));
        tokio::select! {
            Some(ended) = self.running.join_next_with_id() => {
                let (id, outcome) = match ended {
                    Ok((id, outcome)) => (id, outcome),
                    Err(error) => {
                        tracing::error!(%error, "a reconcile panicked; it is tried again");
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
        let collided = match outcome {
            Outcome::Collided(_) => self.collisions.get(&key).map_or(1, |before| before + 1),
            _ => 0,
        };
        let wait = match *outcome {
            Outcome::Gone => None,
            Outcome::Settled(after) => Some(jittered(after, unit)),
            Outcome::Collided(after) if collided < COLLISIONS => Some(after),
            Outcome::NotLeader(after) => Some(after),
            Outcome::Collided(_) => Some(self.queue.failed(&key, unit)),
            Outcome::Failed(retry_after) => {
                Some(self.queue.failed(&key, unit).max(retry_after.unwrap_or_default()))
            }
        };
        if matches!(outcome, Outcome::Gone | Outcome::Settled(_)) {
            self.queue.succeeded(&key);
        }
        if collided == 0 {
            self.collisions.remove(&key);
        } else {
            self.collisions.insert(key.clone(), collided);
        }
        let again = wait.map(|wait| self.context.clock.monotonic() + wait);
        self.queue.done(&key, again);
    }

    async fn drain(&mut self) {
        let rest = async { while self.running.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, rest).await.is_err() {
            tracing::warn!("reconciles under way did not end in time and are cut off");
        }
    }
}
