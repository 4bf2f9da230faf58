//! Usage of programs that do not wait for each record: taken at once, recorded behind them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::UsageLog;
use crate::domain::Error;
use crate::domain::booking::{Action, Amount, Request};
use crate::domain::prices::{NoPrice, Quote};
use crate::model::{Clock, Currency, CustomerId, Money, Reach, UsageDetails};

/// Waits between two attempts, while the database is away or the queue is full: from the first to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// What a cost of a program's own is listed as, in place of a pricing program.
const OWN_PRICE: &str = "cost-function";

/// What usage costs in place of price lists; `None` has no price. It is asked once for each record.
pub type CostFn = dyn Fn(&CustomerId, &UsageDetails) -> Option<(Money, Currency)> + Send + Sync;

/// What became of records that were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriterCounts {
    /// Recorded, each once.
    pub recorded: u64,
    /// Of these, recorded by an earlier request already.
    pub replayed: u64,
    /// Refused for good: a conflict, an event too old, an unknown customer. The log says which and why.
    pub refused: u64,
}

/// Why a record was not taken. It comes back with it.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// As many wait as may: `accounting.queue`.
    #[error("the queue is full; try again later")]
    Full(Box<Request>),
    /// The writer was asked to end.
    #[error("the writer has ended")]
    Ended(Box<Request>),
}

/// Records usage in the background. Batches are those of the booking engine: up to `accounting.batch_max` records go into one
/// commit, which waits `accounting.batch_delay` at most to fill. What cannot be recorded for the moment is tried again until
/// it can. Clones share everything.
#[derive(Clone)]
pub struct UsageWriter {
    inner: Arc<Inner>,
}

struct Inner {
    log: Arc<UsageLog>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    cost: Option<Box<CostFn>>,
    room: Arc<Semaphore>,
    tasks: TaskTracker,
    pending: Mutex<Pending>,
    done: Notify,
    recorded: AtomicU64,
    replayed: AtomicU64,
    refused: AtomicU64,
}

/// Records that were taken and are not done, by the order of their coming.
#[derive(Default)]
struct Pending {
    next: u64,
    open: BTreeSet<u64>,
}

impl UsageWriter {
    /// Over a usage log, for as many records as may wait. Once `stop` is cancelled, what cannot be recorded is refused.
    pub(crate) fn new(
        log: Arc<UsageLog>,
        clock: Arc<dyn Clock>,
        capacity: usize,
        cost: Option<Box<CostFn>>,
        stop: CancellationToken,
    ) -> Self {
        let inner = Inner {
            log,
            clock,
            stop,
            cost,
            room: Arc::new(Semaphore::new(capacity)),
            tasks: TaskTracker::new(),
            pending: Mutex::default(),
            done: Notify::new(),
            recorded: AtomicU64::new(0),
            replayed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Takes usage (see [`Request::usage`]) without waiting; what is taken is recorded, or refused for good. It happened now,
    /// unless it says when.
    ///
    /// # Errors
    /// [`NotTaken`] where there is no room, or the writer has ended. Nothing is dropped in silence.
    pub fn record(&self, mut request: Request) -> Result<(), NotTaken> {
        let inner = &self.inner;
        // Taken before it is asked whether the writer has ended: `wait` waits for it.
        let token = inner.tasks.token();
        if inner.tasks.is_closed() {
            return Err(NotTaken::Ended(Box::new(request)));
        }
        let Ok(room) = inner.room.clone().try_acquire_owned() else {
            return Err(NotTaken::Full(Box::new(request)));
        };
        if let Action::Usage(usage) = &mut request.action {
            // Not the time at which it is recorded, which may be much later.
            usage.event_time = usage.event_time.or_else(|| Some(inner.clock.now()));
        }
        let ticket = inner.take_in();
        inner.tasks.spawn(inner.clone().write(request, ticket, room));
        drop(token);
        Ok(())
    }

    /// Waits until everything that was taken before is recorded or refused, also what is under way.
    pub async fn flush(&self) {
        let before = self.inner.pending().next;
        loop {
            let done = self.inner.done.notified();
            if self.inner.pending().open.first().is_none_or(|oldest| *oldest >= before) {
                return;
            }
            done.await;
        }
    }

    /// Takes nothing more, and waits until all is recorded or refused.
    pub async fn wait(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    /// What became of the records so far.
    pub fn counts(&self) -> WriterCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Inner { recorded, replayed, refused, .. } = &*self.inner;
        WriterCounts { recorded: read(recorded), replayed: read(replayed), refused: read(refused) }
    }
}

impl Inner {
    fn pending(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_in(&self) -> u64 {
        let mut pending = self.pending();
        let ticket = pending.next;
        pending.next += 1;
        pending.open.insert(ticket);
        ticket
    }

    async fn write(self: Arc<Self>, mut request: Request, ticket: u64, room: OwnedSemaphorePermit) {
        self.price_by_function(&mut request);
        let mut wait = FIRST_WAIT;
        let outcome = loop {
            match self.try_to_record(request.clone()).await {
                Err(error) if may_pass(&error) && !self.stop.is_cancelled() => {
                    tracing::debug!(%error, "a usage record waits");
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.stop.cancelled() => {}
                    }
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
                outcome => break outcome,
            }
        };
        match outcome {
            Ok(replayed) => {
                self.recorded.fetch_add(1, Ordering::Relaxed);
                self.replayed.fetch_add(replayed.into(), Ordering::Relaxed);
            }
            Err(error) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                let request_id = match &request.action {
                    Action::Usage(usage) => usage.request_id.as_str(),
                    _ => "",
                };
                tracing::error!(%error, customer = %request.customer_id, request_id, "a usage record was refused");
            }
        }
        drop(room);
        self.pending().open.remove(&ticket);
        self.done.notify_waiters();
    }

    /// Asks the function, if there is one: once for each record.
    fn price_by_function(&self, request: &mut Request) {
        let (Some(cost), Action::Usage(usage)) = (&self.cost, &mut request.action) else { return };
        usage.price = match cost(&request.customer_id, &usage.details) {
            Some((amount, currency)) => {
                usage.details.pricing_id = Some(OWN_PRICE.to_owned());
                Amount::Quoted(Box::new(own_price(amount, currency)))
            }
            None => Amount::Unquoted(NoPrice::NotFound("the cost function gave none".to_owned())),
        };
    }

    async fn try_to_record(&self, request: Request) -> Result<bool, Error> {
        let log = &self.log;
        let request = match self.cost {
            Some(_) => log.with_group(request).await?,
            None => log.prepare(request, &Reach::Everything).await?,
        };
        Ok(log.record(request).await?.replayed)
    }
}

/// Whether an error may be another one later.
fn may_pass(error: &Error) -> bool {
    matches!(
        error,
        Error::StoreUnavailable(_) | Error::Overloaded | Error::TransnoInProgress | Error::ReadOnly
    )
}

fn own_price(amount: Money, currency: Currency) -> Quote {
    Quote {
        amount,
        currency,
        pricing_id: OWN_PRICE.to_owned(),
        version: 0,
        unrounded: amount.to_string(),
        arithmetic: "{}".to_owned(),
        model: None,
    }
}
