//! The writers: each gathers what waits in its shard and commits it in one transaction.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::books::{Books, StoreBooks};
use super::decide::{Decided, Ledger};
use super::queue::{Group, Pushed, Room, Shard, Taken, Waiting};
use super::{Action, Command, Outcome, Request};
use crate::domain::Error;
use crate::domain::caches::Caches;
use crate::model::{Clock, CustomerId, Entropy, Mode, RecordId, new_uuid};
use crate::signing::AuthError;
use crate::store::{self, Dialect, Store};
use crate::telemetry::metrics::Metrics;

/// How long a repetition waits for the first request with its transno.
const BEHIND: Duration = Duration::from_secs(5);
/// How often a batch is run again: after contention, and after a COMMIT whose outcome is unknown.
const MAX_ATTEMPTS: u32 = 10;

/// The booking engine.
#[derive(Clone)]
pub struct Booking {
    inner: Arc<Inner>,
}

struct Inner {
    shards: Vec<Shard>,
    room: Room,
    parts: BookingParts,
    writers: TaskTracker,
}

/// What the engine is made of.
pub struct BookingParts {
    /// What hears of new balances and spent nonces.
    pub caches: Caches,
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
    /// How long a busy writer waits for more.
    pub batch_delay: Duration,
    /// Commands that may wait at most.
    pub queue: usize,
    /// Writers on MySQL; SQLite has one.
    pub writers: usize,
}

fn lost<T>(_: T) -> Error {
    Error::Internal("the writer ended".to_owned())
}

impl Booking {
    /// Starts the writers on a store.
    pub fn start(store: &Store, parts: BookingParts) -> Self {
        let writers = match store.dialect() {
            Dialect::MySql => parts.writers.max(1),
            Dialect::Sqlite => 1,
        };
        Self::start_on(writers, || StoreBooks::new(store), parts)
    }

    /// Starts so many writers, each with books of its own.
    pub(super) fn start_on<B: Books>(writers: usize, books: impl Fn() -> B, parts: BookingParts) -> Self {
        let inner = Arc::new(Inner {
            shards: (0..writers).map(|_| Shard::default()).collect(),
            room: Room::new(parts.queue),
            parts,
            writers: TaskTracker::new(),
        });
        for index in 0..writers {
            inner.writers.spawn(run_writer(inner.clone(), index, books()));
        }
        Self { inner }
    }

    /// Does what is asked, and answers once it is durable. A caller that goes away cancels nothing.
    pub async fn submit(&self, request: Request) -> Result<Outcome, Error> {
        let inner = &self.inner;
        let shard = &inner.shards[shard_of(&request.customer_id, inner.shards.len())];
        let (reply, verdict) = oneshot::channel();
        let waiting = Waiting { command: inner.command(request), reply };
        match shard.push(&inner.room, waiting).inspect_err(|_| inner.refused(1))? {
            Pushed::Queued => verdict.await.map_err(lost)?,
            Pushed::Behind => match tokio::time::timeout(BEHIND, verdict).await {
                Ok(verdict) => verdict.map_err(lost)?,
                Err(_) => Err(Error::TransnoInProgress),
            },
        }
    }

    /// Does many things, each decided for itself, and answers once all are durable or refused, in
    /// their order. There is room for all of them or nothing is done.
    pub async fn submit_bulk(&self, requests: Vec<Request>) -> Result<Vec<Result<Outcome, Error>>, Error> {
        let inner = &self.inner;
        inner.enter(&requests)?;
        let mut verdicts = Vec::with_capacity(requests.len());
        let mut of_shard: Vec<Vec<Waiting>> = inner.shards.iter().map(|_| Vec::new()).collect();
        for request in requests {
            let shard = shard_of(&request.customer_id, inner.shards.len());
            let (reply, verdict) = oneshot::channel();
            of_shard[shard].push(Waiting { command: inner.command(request), reply });
            verdicts.push(verdict);
        }
        for (shard, bulk) in inner.shards.iter().zip(of_shard) {
            // Refused only at the very end, when no request is under way any more; the callers of
            // what is dropped here hear that the writer ended.
            if let Err(bulk) = shard.push_bulk(bulk) {
                inner.room.leave(bulk.len());
            }
        }
        let mut answers = Vec::with_capacity(verdicts.len());
        for verdict in verdicts {
            answers.push(verdict.await.map_err(lost).and_then(|verdict| verdict));
        }
        Ok(answers)
    }

    /// Does all of it in one commit, or nothing: the first refusal is the answer.
    pub async fn submit_group(&self, requests: Vec<Request>) -> Result<Vec<Outcome>, Error> {
        let inner = &self.inner;
        let Some(first) = requests.first() else { return Ok(Vec::new()) };
        let shard = &inner.shards[shard_of(&first.customer_id, inner.shards.len())];
        inner.enter(&requests)?;
        let (reply, verdict) = oneshot::channel();
        let commands = requests.into_iter().map(|request| inner.command(request)).collect();
        if let Err(group) = shard.push_group(Group { commands, reply }) {
            inner.room.leave(group.commands.len());
            return Err(Error::Overloaded);
        }
        verdict.await.map_err(lost)?
    }

    /// Closes a customer's holds whose time has run out.
    pub async fn expire(&self, customer_id: CustomerId) -> Result<(), Error> {
        let request = Request { customer_id, body_hash: [0; 32], nonce: None, action: Action::Expire };
        self.submit(request).await.map(drop)
    }

    /// Commands that wait or are being decided.
    pub fn depth(&self) -> usize {
        self.inner.room.taken()
    }

    /// For customers without a mode of their own.
    pub fn default_mode(&self) -> Mode {
        self.inner.parts.default_mode
    }

    /// Takes nothing in any more and waits until everything taken in is durable or refused.
    pub async fn drain(&self) {
        self.inner.shards.iter().for_each(Shard::close);
        self.inner.writers.close();
        self.inner.writers.wait().await;
    }
}

/// The same customer always goes to the same shard.
fn shard_of(customer: &CustomerId, shards: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    customer.hash(&mut hasher);
    usize::try_from(hasher.finish() % shards as u64).unwrap_or(0)
}

async fn run_writer<B: Books>(inner: Arc<Inner>, index: usize, mut books: B) {
    let shard = &inner.shards[index];
    let mut expected = 1;
    let (max, delay) = (inner.parts.batch_max, inner.parts.batch_delay);
    while let Some(taken) = shard.gather(max, expected, books.wait(delay)).await {
        match taken {
            Taken::Batch(batch) => {
                // Halfway back each time, so that one small batch does not end the waiting.
                expected = batch.len().max(expected / 2);
                inner.commit(&mut books, shard, batch).await;
            }
            Taken::Group(group) => inner.commit_group(&mut books, shard, group).await,
        }
        inner.parts.metrics.set_booking_queue_depth(inner.room.taken());
    }
}

/// How a batch's transaction failed.
enum Failed {
    /// Nothing was committed; the whole may run again.
    Contended(store::Error),
    /// Whether it was committed is not known.
    Unknown(store::Error),
    /// Nothing was committed, and it will not be: the database is away.
    Away(store::Error),
    /// Nothing was committed; one of the items is at fault.
    Poisoned(store::Error),
}

impl Failed {
    fn of(error: store::Error) -> Self {
        match error {
            // A duplicate: another instance spent the same nonce between our look and our insert.
            error @ (store::Error::Contended(_) | store::Error::Duplicate(_)) => Self::Contended(error),
            error if error.is_unavailable() => Self::Away(error),
            error => Self::Poisoned(error),
        }
    }

    fn to_error(&self) -> Error {
        match self {
            Self::Contended(e) | Self::Unknown(e) | Self::Away(e) => Error::StoreUnavailable(e.to_string()),
            Self::Poisoned(e) => Error::Internal(e.to_string()),
        }
    }
}

/// When a transaction is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Commit {
    /// Whatever the verdicts.
    Always,
    /// Only if nothing was refused.
    IfAllPass,
}

impl Inner {
    fn command(&self, request: Request) -> Command {
        let id = RecordId(new_uuid(self.parts.clock.now(), &*self.parts.entropy));
        Command { request, id }
    }

    fn refused(&self, count: usize) {
        for _ in 0..count {
            self.parts.metrics.booking("unavailable");
        }
    }

    /// Takes room for all requests, or says that there is none.
    fn enter(&self, requests: &[Request]) -> Result<(), Error> {
        let mut of_customer: HashMap<&CustomerId, usize> = HashMap::new();
        for request in requests {
            *of_customer.entry(&request.customer_id).or_default() += 1;
        }
        let fits = |(customer, count): (&&CustomerId, &usize)| {
            let shard = &self.shards[shard_of(customer, self.shards.len())];
            shard.of_customer(customer) + count <= self.room.customer_share()
        };
        if of_customer.iter().all(fits) && self.room.enter(requests.len()) {
            return Ok(());
        }
        self.refused(requests.len());
        Err(Error::Overloaded)
    }

    /// Commits a batch and answers every caller. A poisoned batch is split until the item at fault
    /// stands alone.
    async fn commit<B: Books>(&self, books: &mut B, shard: &Shard, batch: Vec<Waiting>) {
        let ours = vec![false; batch.len()];
        let mut todo = vec![(batch, ours)];
        while let Some((mut batch, mut ours)) = todo.pop() {
            let commands: Vec<_> = batch.iter().map(|w| w.command.clone()).collect();
            match self.commit_once_or_again(books, &commands, &mut ours, Commit::Always).await {
                Ok(decided) => self.answer(shard, batch, decided.verdicts),
                Err(Failed::Poisoned(error)) if batch.len() > 1 => {
                    tracing::warn!(%error, items = batch.len(), "a batch was refused; splitting it");
                    self.parts.metrics.store_retry("split");
                    let half = batch.len() / 2;
                    todo.push((batch.split_off(half), ours.split_off(half)));
                    todo.push((batch, ours));
                }
                Err(failed) => {
                    let verdicts = batch.iter().map(|_| Err(failed.to_error())).collect();
                    self.answer(shard, batch, verdicts);
                }
            }
        }
    }

    fn answer(&self, shard: &Shard, batch: Vec<Waiting>, verdicts: Vec<Result<Outcome, Error>>) {
        shard.done(&self.room, batch.iter().map(|w| &w.command));
        for (waiting, verdict) in batch.into_iter().zip(verdicts) {
            self.parts.metrics.booking(result_label(&verdict));
            // A caller that hung up does not hear of it; the booking stands all the same.
            let _ = waiting.reply.send(verdict);
        }
    }

    async fn commit_group<B: Books>(&self, books: &mut B, shard: &Shard, group: Group) {
        let Group { commands, reply } = group;
        let mut ours = vec![false; commands.len()];
        let verdict = match self.commit_once_or_again(books, &commands, &mut ours, Commit::IfAllPass).await {
            Ok(decided) => decided.verdicts.into_iter().collect::<Result<Vec<_>, _>>(),
            Err(failed) => Err(failed.to_error()),
        };
        let verdict = match verdict {
            Err(refusal) => Err(self.keep_nonce(books, &commands, refusal).await),
            passed => passed,
        };
        shard.done(&self.room, commands.iter());
        let label = if verdict.is_ok() { "booked" } else { "refused" };
        for _ in &commands {
            self.parts.metrics.booking(label);
        }
        let _ = reply.send(verdict);
    }

    /// The nonce of a refused group was rolled back with it, but stays spent.
    async fn keep_nonce<B: Books>(&self, books: &mut B, commands: &[Command], refusal: Error) -> Error {
        if matches!(refusal, Error::StoreUnavailable(_) | Error::Internal(_)) {
            return refusal;
        }
        for nonce in commands.iter().filter_map(|c| c.request.nonce) {
            match books.first_use(nonce).await {
                Ok(true) => self.parts.caches.remember_nonce(nonce),
                Ok(false) => return Error::Auth(AuthError::Replay),
                Err(error) => return error.into(),
            }
        }
        refusal
    }

    /// Runs the transaction until its outcome is known. `ours` are the commands whose nonces an attempt
    /// inserted before its COMMIT was lost: finding them again means that it took effect, not that they
    /// were used before.
    async fn commit_once_or_again<B: Books>(
        &self,
        books: &mut B,
        commands: &[Command],
        ours: &mut [bool],
        when: Commit,
    ) -> Result<Decided, Failed> {
        let (mut attempt, mut unknown) = (0, false);
        let result = loop {
            let started = self.parts.clock.monotonic();
            let failed = match self.attempt(books, commands, ours, when).await {
                Ok(decided) => {
                    let took = self.parts.clock.monotonic().saturating_sub(started);
                    self.parts.metrics.booking_commit(commands.len(), took.as_secs_f64());
                    break Ok(decided);
                }
                Err(failed) => failed,
            };
            let reason = match &failed {
                Failed::Contended(_) => "contended",
                Failed::Unknown(_) => {
                    unknown = true;
                    "unknown_commit"
                }
                Failed::Away(_) if attempt == 0 => "connection",
                Failed::Away(error) if unknown => {
                    tracing::warn!(%error, "the database is away and a commit's outcome unknown");
                    "unknown_commit"
                }
                Failed::Away(_) | Failed::Poisoned(_) => break Err(failed),
            };
            attempt += 1;
            if attempt >= MAX_ATTEMPTS {
                break Err(failed);
            }
            self.parts.metrics.store_retry(reason);
            books.back_off(attempt).await;
        };
        if unknown {
            // What a lost COMMIT wrote was published by nobody, and other instances alone hear of it.
            for command in commands {
                self.parts.caches.balances().drop_one(&command.request.customer_id).await;
            }
        }
        result
    }

    async fn attempt<B: Books>(
        &self,
        books: &mut B,
        commands: &[Command],
        ours: &mut [bool],
        when: Commit,
    ) -> Result<Decided, Failed> {
        let mut tx = books.begin().await.map_err(Failed::of)?;
        let (decided, fresh) = match self.decide_in(books, &mut tx, commands, ours, when).await {
            Ok(decided) => decided,
            Err(error) => {
                books.rollback(tx).await;
                return Err(Failed::of(error));
            }
        };
        if when == Commit::IfAllPass && decided.verdicts.iter().any(Result::is_err) {
            books.rollback(tx).await;
            return Ok(decided);
        }
        match books.commit(tx).await {
            Ok(()) => {}
            Err(error) if error.is_contended() => return Err(Failed::Contended(error)),
            Err(error) => {
                ours.copy_from_slice(&fresh);
                return Err(Failed::Unknown(error));
            }
        }
        // After the commit, before the answers: whoever hears of the booking sees its balance.
        for customer in &decided.written.customers {
            self.parts.caches.publish_balance(customer.clone()).await;
        }
        for nonce in commands.iter().filter_map(|c| c.request.nonce) {
            self.parts.caches.remember_nonce(nonce);
        }
        Ok(decided)
    }

    /// Everything between BEGIN and COMMIT. The look-up takes the locks, so it comes first.
    async fn decide_in<B: Books>(
        &self,
        books: &mut B,
        tx: &mut B::Tx,
        commands: &[Command],
        ours: &[bool],
        when: Commit,
    ) -> Result<(Decided, Vec<bool>), store::Error> {
        let found = books.look_up(tx, commands).await?;
        let nonces: Vec<_> = commands.iter().filter_map(|c| c.request.nonce).collect();
        let mut spent = books.spend_nonces(tx, &nonces).await?.into_iter();
        let fresh = |(command, ours): (&Command, &bool)| {
            command.request.nonce.is_none() || spent.next().unwrap_or(false) || *ours
        };
        let fresh: Vec<_> = commands.iter().zip(ours).map(fresh).collect();
        let decided = Ledger::new(found, self.parts.default_mode).decide(commands, &fresh);
        if when == Commit::Always || decided.verdicts.iter().all(Result::is_ok) {
            books.write(tx, &decided.written).await?;
        }
        Ok((decided, fresh))
    }
}

/// The label of a verdict in `bookings_total`.
fn result_label(verdict: &Result<Outcome, Error>) -> &'static str {
    match verdict {
        Ok(outcome) if outcome.is_replay() => "replayed",
        Ok(_) => "booked",
        Err(Error::InsufficientBalance { .. }) => "insufficient_balance",
        Err(Error::StoreUnavailable(_) | Error::Overloaded) => "unavailable",
        Err(Error::Internal(_)) => "failed",
        Err(_) => "refused",
    }
}
