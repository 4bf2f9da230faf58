//! The writers: each gathers what waits in its shard and commits it in one transaction.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::Admission;
use super::backend::{LedgerBackend, StoreBackend};
use super::parked::watch_parked;
use super::queue::{Caller, Group, Lanes, Shard, Taken, Waiting};
use super::{Action, Command, Outcome, Request};
use crate::domain::Error;
use crate::domain::balances::BalanceCache;
use crate::domain::nonces::SpentNonces;
use crate::model::{Clock, CustomerId, Entropy, Mode, RecordId, new_uuid};
use crate::store::{Dialect, Store};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::tracing::Handoff;

/// How long a repetition waits for the first request with its transno.
const IN_FLIGHT_TIMEOUT: Duration = Duration::from_secs(5);

/// The booking engine.
#[derive(Clone)]
pub struct Booking {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub shards: Vec<Shard>,
    pub admission: Admission,
    pub parts: BookingParts,
    /// Wakes who watches the customers that are parked.
    pub parked: Notify,
    writers: TaskTracker,
    /// Cancelled when a writer ends that was not asked to.
    broken: CancellationToken,
}

/// What the engine is made of.
pub struct BookingParts {
    /// What hears of new balances and spent nonces.
    pub balances: BalanceCache,
    /// Learns which nonces were spent.
    pub nonces: Arc<SpentNonces>,
    /// Counts and measures.
    pub metrics: Arc<Metrics>,
    /// Times commits and dates ids.
    pub clock: Arc<dyn Clock>,
    /// Makes ids.
    pub entropy: Arc<dyn Entropy>,
    /// For customers without a mode of their own.
    pub default_mode: Mode,
    /// Commands of one commit at most.
    pub batch_max: usize,
    /// How long a writer whose last commit was full waits for the next one to be.
    pub batch_delay: Duration,
    /// Commands that may wait at most.
    pub queue: usize,
    /// Writers on MySQL; SQLite has one.
    pub writers: usize,
    /// What the writers run on. Beside requests, the database's answer to a commit would wait until all requests that
    /// wait have had their turn.
    pub runtime: Handle,
}

/// What a caller hears: the verdict, or, who stands behind another request with the same transno and has lost its
/// `timeout`, that this one is under way.
async fn await_verdict<T>(
    verdict: Verdict<T>,
    in_flight: bool,
    timeout: Pin<&mut Sleep>,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        verdict = verdict => verdict.map_err(|_| Error::Internal("the writer ended".to_owned()))?,
        () = timeout, if in_flight => Err(Error::TransnoInProgress),
    }
}

impl Booking {
    /// Starts the writers on a store.
    pub fn start(store: &Store, parts: BookingParts) -> Self {
        let writers = match store.dialect() {
            Dialect::MySql => parts.writers.max(1),
            Dialect::Sqlite => 1,
        };
        Self::start_on(writers, || StoreBackend::new(store), parts)
    }

    /// Starts so many writers, each with books of its own.
    pub(super) fn start_on<B: LedgerBackend>(
        writers: usize,
        backend: impl Fn() -> B,
        parts: BookingParts,
    ) -> Self {
        let runtime = parts.runtime.clone();
        let inner = Arc::new(Inner {
            shards: (0..writers).map(|_| Shard::default()).collect(),
            admission: Admission::new(parts.queue),
            parts,
            parked: Notify::new(),
            writers: TaskTracker::new(),
            broken: CancellationToken::new(),
        });
        let tracker = inner.writers.clone();
        let running = (0..writers).map(|index| {
            let (inner, backend) = (inner.clone(), backend());
            let alarm = inner.broken.clone().drop_guard();
            let writing = async move {
                run_writer(inner, index, backend).await;
                alarm.disarm();
            };
            tracker.spawn_on(writing, &runtime)
        });
        let running = running.collect();
        inner.writers.spawn(watch_parked(inner.clone(), backend(), running));
        Self { inner }
    }

    /// Does what is asked, and answers once it is durable. A caller that goes away cancels nothing.
    pub async fn submit(&self, request: Request) -> Result<Outcome, Error> {
        let inner = &self.inner;
        let in_flight = inner.enter(std::slice::from_ref(&request))?;
        let shard = inner.shard_of(&request.customer_id);
        let handoff = Handoff::begin();
        let (waiting, verdict) = inner.waiting(request, &handoff);
        inner.push(shard, Lanes { single: [waiting].into(), ..Lanes::default() });
        let answer =
            await_verdict(verdict, !in_flight.is_empty(), pin!(tokio::time::sleep(IN_FLIGHT_TIMEOUT))).await;
        handoff.end();
        answer
    }

    /// Does many things, each decided for itself, and answers once all are durable or refused, in
    /// their order. There is room for all of them or nothing is done.
    pub async fn submit_bulk(&self, requests: Vec<Request>) -> Result<Vec<Result<Outcome, Error>>, Error> {
        let inner = &self.inner;
        let in_flight = inner.enter(&requests)?;
        let mut verdicts = Vec::with_capacity(requests.len());
        let handoff = Handoff::begin();
        let mut of_shard: Vec<Lanes> = inner.shards.iter().map(|_| Lanes::default()).collect();
        for request in requests {
            let shard = inner.shard_of(&request.customer_id);
            let (waiting, verdict) = inner.waiting(request, &handoff);
            of_shard[shard].bulk.push_back(waiting);
            verdicts.push(verdict);
        }
        for (shard, bulk) in of_shard.into_iter().enumerate() {
            inner.push(shard, bulk);
        }
        let mut answers = Vec::with_capacity(verdicts.len());
        let mut timeout = pin!(tokio::time::sleep(IN_FLIGHT_TIMEOUT));
        for (place, verdict) in verdicts.into_iter().enumerate() {
            let in_flight = in_flight.binary_search(&place).is_ok();
            answers.push(await_verdict(verdict, in_flight, timeout.as_mut()).await);
        }
        handoff.end();
        Ok(answers)
    }

    /// Does all of it in one commit, or nothing: the first refusal is the answer.
    pub async fn submit_group(&self, requests: Vec<Request>) -> Result<Vec<Outcome>, Error> {
        let inner = &self.inner;
        let Some(first) = requests.first() else { return Ok(Vec::new()) };
        let shard = inner.shard_of(&first.customer_id);
        let in_flight = inner.enter(&requests)?;
        let (caller, verdict) = inner.caller();
        let handoff = Handoff::begin();
        let commands = requests.into_iter().map(|request| inner.command(request, &handoff)).collect();
        inner.push(shard, Lanes { groups: [Group { commands, caller }].into(), ..Lanes::default() });
        let answer =
            await_verdict(verdict, !in_flight.is_empty(), pin!(tokio::time::sleep(IN_FLIGHT_TIMEOUT))).await;
        handoff.end();
        match (answer, in_flight.first()) {
            (Err(error @ Error::TransnoInProgress), Some(place)) => Err(error.of_item(*place)),
            (answer, _) => answer,
        }
    }

    /// Closes holds of a customer whose time has run out. It goes with the bulk, so that many of these leave half of
    /// each commit to requests.
    pub async fn expire(&self, customer_id: CustomerId) -> Result<(), Error> {
        let request = Request { customer_id, body_hash: [0; 32], nonce: None, action: Action::Expire };
        self.submit_bulk(vec![request]).await?.into_iter().try_for_each(|verdict| verdict.map(drop))
    }

    /// Commands that wait or are being decided.
    pub fn depth(&self) -> usize {
        self.inner.admission.count()
    }

    /// For customers without a mode of their own.
    pub fn default_mode(&self) -> Mode {
        self.inner.parts.default_mode
    }

    /// Waits until a writer has ended that was not asked to, by a panic; never otherwise. What its customers ask for then
    /// waits for nobody: the process must end.
    pub async fn broken(&self) {
        self.inner.broken.cancelled().await;
    }

    /// Takes nothing in any more and waits until everything taken in is durable or refused.
    pub async fn drain(&self) {
        self.inner.shards.iter().for_each(Shard::close);
        self.inner.writers.close();
        self.inner.writers.wait().await;
    }
}

/// What a caller waits for.
type Verdict<T> = oneshot::Receiver<Result<T, Error>>;

impl Inner {
    /// The same customer always goes to the same shard.
    fn shard_of(&self, customer: &CustomerId) -> usize {
        let mut hasher = DefaultHasher::new();
        customer.hash(&mut hasher);
        usize::try_from(hasher.finish() % self.shards.len() as u64).unwrap_or(0)
    }

    fn command(&self, request: Request, handoff: &Handoff) -> Command {
        let id = RecordId(new_uuid(self.parts.clock.now(), &*self.parts.entropy));
        Command { handoff: handoff.clone(), ..Command::new(request, id) }
    }

    fn caller<T>(&self) -> (Caller<T>, Verdict<T>) {
        let (reply, verdict) = oneshot::channel();
        (Caller { reply, since: self.parts.clock.monotonic() }, verdict)
    }

    fn waiting(&self, request: Request, handoff: &Handoff) -> (Waiting, Verdict<Outcome>) {
        let (caller, verdict) = self.caller();
        (Waiting { command: self.command(request, handoff), caller }, verdict)
    }

    /// Takes room for all requests, or says that there is none; which stand behind another call's.
    fn enter(&self, requests: &[Request]) -> Result<Vec<usize>, Error> {
        self.admission
            .enter(requests)
            .inspect_err(|_| self.parts.metrics.bookings("unavailable", requests.len()))
    }

    /// Hands over what was admitted. Only at the very end, when no request is under way any more, it is turned away.
    fn push(&self, shard: usize, more: Lanes) {
        if let Err(late) = self.shards[shard].push(more) {
            self.refuse(late, || Error::Overloaded);
        }
    }
}

async fn run_writer<B: LedgerBackend>(inner: Arc<Inner>, index: usize, mut backend: B) {
    let shard = &inner.shards[index];
    let mut was_full = false;
    let (max, delay) = (inner.parts.batch_max, inner.parts.batch_delay);
    while let Some(taken) = shard.gather(max, was_full, backend.wait(delay)).await {
        match taken {
            Taken::Batch(batch) => {
                was_full = batch.len() == max;
                inner.commit(&mut backend, shard, batch).await;
            }
            Taken::Group(group) => inner.commit_group(&mut backend, shard, group).await,
        }
        inner.parts.metrics.set_booking_queue_depth(inner.admission.count());
    }
}
