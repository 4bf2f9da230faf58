//! The writers: each gathers what waits in its shard and commits it in one transaction.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Sleep;

use super::admission::Work;
use super::backend::{LedgerBackend, StoreBackend};
use super::command::Command;
use super::engine::{BookingParts, Engine};
use super::outcome::Outcome;
use super::parked::watch_parked;
use super::queue::{Group, Lanes, Shard, Taken};
use super::request::{Action, Request};
use crate::domain::Error;
use crate::model::{Actor, CustomerId};
use crate::store::{Dialect, Store};
use crate::telemetry::tracing::Handoff;

/// How long a retry waits for the first request with its transno.
const IN_FLIGHT_TIMEOUT: Duration = Duration::from_secs(5);

/// The booking engine.
#[derive(Clone)]
pub struct Booking {
    engine: Arc<Engine>,
}

/// What a caller waits for.
type Pending<T> = oneshot::Receiver<Result<T, Error>>;

/// What a caller hears: the verdict, or, if another request with the same transno came before it and is still under way
/// at the `timeout`, just that.
async fn await_verdict<T>(
    verdict: Pending<T>,
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
            Dialect::MySql => parts.config.current().accounting.writers.max(1),
            Dialect::Sqlite => 1,
        };
        Self::start_on(writers, || StoreBackend::new(store), parts)
    }

    /// Starts so many writers, each with a backend of its own.
    pub(super) fn start_on<B: LedgerBackend>(
        writers: usize,
        backend: impl Fn() -> B,
        parts: BookingParts,
    ) -> Self {
        let runtime = parts.runtime.clone();
        let engine = Arc::new(Engine::new(writers, parts));
        let run = |index| {
            let (engine, backend) = (engine.clone(), backend());
            let alarm = engine.broken.clone().drop_guard();
            async move {
                run_writer(engine, index, backend).await;
                alarm.disarm();
            }
        };
        let running = (0..writers).map(|index| engine.writers.spawn_on(run(index), &runtime)).collect();
        engine.writers.spawn(watch_parked(engine.clone(), backend(), running));
        Self { engine }
    }

    /// Does what is asked, and answers once it is durable. A caller that goes away cancels nothing.
    pub async fn submit(&self, request: Request) -> Result<Outcome, Error> {
        self.submit_as(request, None).await
    }

    /// The same for an administrator, if there is one: with an entry of the audit log in the same transaction.
    pub async fn submit_as(&self, request: Request, actor: Option<Actor>) -> Result<Outcome, Error> {
        let engine = &self.engine;
        let in_flight = engine.admit(std::slice::from_ref(&request), Work::Single)?;
        let shard = engine.shard_of(&request.customer_id);
        let handoff = Handoff::begin();
        let (reply, verdict) = oneshot::channel();
        let command = engine.command(request, &handoff, Some(reply));
        let command = Command { actor: actor.map(Box::new), ..command };
        engine.push(shard, Lanes { single: [command].into(), ..Lanes::default() });
        let answer =
            await_verdict(verdict, !in_flight.is_empty(), pin!(tokio::time::sleep(IN_FLIGHT_TIMEOUT))).await;
        handoff.end();
        answer
    }

    /// Does many things, each decided for itself, and answers once all are durable or refused, in
    /// their order. All of them are admitted, or none.
    pub async fn submit_bulk(&self, requests: Vec<Request>) -> Result<Vec<Result<Outcome, Error>>, Error> {
        let engine = &self.engine;
        let in_flight = engine.admit(&requests, Work::Bulk)?;
        let mut verdicts = Vec::with_capacity(requests.len());
        let handoff = Handoff::begin();
        let mut of_shard: Vec<Lanes> = engine.shards.iter().map(|_| Lanes::default()).collect();
        for request in requests {
            let shard = engine.shard_of(&request.customer_id);
            let (reply, verdict) = oneshot::channel();
            of_shard[shard].bulk.push_back(engine.command(request, &handoff, Some(reply)));
            verdicts.push(verdict);
        }
        for (shard, bulk) in of_shard.into_iter().enumerate() {
            engine.push(shard, bulk);
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
        let engine = &self.engine;
        let Some(first) = requests.first() else { return Ok(Vec::new()) };
        let shard = engine.shard_of(&first.customer_id);
        let in_flight = engine.admit(&requests, Work::Bulk)?;
        let (reply, verdict) = oneshot::channel();
        let handoff = Handoff::begin();
        let commands = requests.into_iter().map(|request| engine.command(request, &handoff, None)).collect();
        engine.push(shard, Lanes { groups: [Group { commands, reply }].into(), ..Lanes::default() });
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
        self.engine.admission.count()
    }

    /// Sets the metrics that are read at a scrape.
    pub fn update_metrics(&self) {
        self.engine.parts.metrics.set_queue_depth(self.depth());
    }

    /// Waits until a writer has panicked. Its customers' requests are then served by nobody: the process must end.
    pub async fn broken(&self) {
        self.engine.broken.cancelled().await;
    }

    /// Takes nothing in any more and waits until everything taken in is durable or refused.
    pub async fn drain(&self) {
        self.engine.shards.iter().for_each(Shard::close);
        self.engine.writers.close();
        self.engine.writers.wait().await;
    }
}

async fn run_writer<B: LedgerBackend>(engine: Arc<Engine>, index: usize, mut backend: B) {
    let shard = &engine.shards[index];
    let mut was_full = false;
    let config = engine.parts.config.current();
    let (max, delay) = (config.accounting.batch_max, config.accounting.batch_delay);
    while let Some(taken) = shard.gather(max, was_full, backend.wait(delay)).await {
        match taken {
            Taken::Batch(batch) => {
                was_full = batch.len() == max;
                engine.commit(&mut backend, shard, batch).await;
            }
            Taken::Group(group) => engine.commit_group(&mut backend, shard, group).await,
        }
        engine.parts.metrics.set_queue_depth(engine.admission.count());
    }
}
