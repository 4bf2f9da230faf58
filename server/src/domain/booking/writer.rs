//! The writers: each gathers what waits in its shard and commits it in one transaction.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::decide::{Decided, Ledger};
use super::queue::{Pushed, Room, Shard, Waiting};
use super::{Booked, BookingRequest, Command};
use crate::domain::Error;
use crate::domain::caches::Caches;
use crate::model::{Clock, CustomerId, Entropy, Mode, RecordId, new_uuid};
use crate::store::{self, Changed, Dialect, Store, Tx, Writer};
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
    /// Where it writes.
    pub store: Store,
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

impl Booking {
    /// Starts the writers.
    pub fn start(parts: BookingParts) -> Self {
        let writers = match parts.store.dialect() {
            Dialect::MySql => parts.writers.max(1),
            Dialect::Sqlite => 1,
        };
        let inner = Arc::new(Inner {
            shards: (0..writers).map(|_| Shard::default()).collect(),
            room: Room::new(parts.queue),
            parts,
            writers: TaskTracker::new(),
        });
        for index in 0..writers {
            inner.writers.spawn(run_writer(inner.clone(), index));
        }
        Self { inner }
    }

    /// Books, and answers once the record is durable. A caller that goes away cancels nothing.
    pub async fn book(&self, request: BookingRequest) -> Result<Booked, Error> {
        let inner = &self.inner;
        let record_id = RecordId(new_uuid(inner.parts.clock.now(), &*inner.parts.entropy));
        let shard = &inner.shards[shard_of(&request.customer_id, inner.shards.len())];
        let (reply, verdict) = oneshot::channel();
        let waiting = Waiting { command: Command { request, record_id }, reply };
        let pushed = shard.push(&inner.room, waiting).inspect_err(|_| {
            inner.parts.metrics.booking("unavailable");
        })?;
        let lost = |_| Error::Internal("the writer ended".to_owned());
        match pushed {
            Pushed::Queued => verdict.await.map_err(lost)?,
            Pushed::Behind => match tokio::time::timeout(BEHIND, verdict).await {
                Ok(verdict) => verdict.map_err(lost)?,
                Err(_) => Err(Error::TransnoInProgress),
            },
        }
    }

    /// Commands that wait or are being decided.
    pub fn depth(&self) -> usize {
        self.inner.room.taken()
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

async fn run_writer(inner: Arc<Inner>, index: usize) {
    let shard = &inner.shards[index];
    let mut writer = inner.parts.store.writer();
    let mut expected = 1;
    while let Some(batch) = shard.gather(inner.parts.batch_max, expected, inner.parts.batch_delay).await {
        // Halfway back each time, so that one small batch does not end the waiting.
        expected = batch.len().max(expected / 2);
        inner.commit(&mut writer, shard, batch).await;
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
}

impl Inner {
    /// Commits a batch and answers every caller. A poisoned batch is split until the item at fault
    /// stands alone.
    async fn commit(&self, writer: &mut Writer, shard: &Shard, batch: Vec<Waiting>) {
        let mut todo = vec![batch];
        while let Some(mut batch) = todo.pop() {
            let commands: Vec<_> = batch.iter().map(|w| w.command.clone()).collect();
            match self.commit_once_or_again(writer, &commands).await {
                Ok(decided) => self.answer(shard, batch, decided.verdicts),
                Err(Failed::Poisoned(error)) if batch.len() > 1 => {
                    tracing::warn!(%error, items = batch.len(), "a batch was refused; splitting it");
                    self.parts.metrics.store_retry("split");
                    let tail = batch.split_off(batch.len() / 2);
                    todo.push(tail);
                    todo.push(batch);
                }
                Err(failed) => {
                    let verdicts = batch.iter().map(|_| Err(failed.to_error())).collect();
                    self.answer(shard, batch, verdicts);
                }
            }
        }
    }

    fn answer(&self, shard: &Shard, batch: Vec<Waiting>, verdicts: Vec<Result<Booked, Error>>) {
        shard.done(&self.room, batch.iter().map(|w| &w.command));
        for (waiting, verdict) in batch.into_iter().zip(verdicts) {
            self.parts.metrics.booking(result_label(&verdict));
            // A caller that hung up does not hear of it; the booking stands all the same.
            let _ = waiting.reply.send(verdict);
        }
    }

    async fn commit_once_or_again(
        &self,
        writer: &mut Writer,
        commands: &[Command],
    ) -> Result<Decided, Failed> {
        // Nonces that an attempt of ours inserted before its COMMIT was lost: finding them again
        // means that it took effect, not that they were used before.
        let mut ours = vec![false; commands.len()];
        let mut attempt = 0;
        loop {
            let started = self.parts.clock.monotonic();
            let failed = match self.attempt(writer, commands, &mut ours).await {
                Ok(decided) => {
                    let took = self.parts.clock.monotonic().saturating_sub(started);
                    self.parts.metrics.booking_commit(commands.len(), took.as_secs_f64());
                    return Ok(decided);
                }
                Err(failed) => failed,
            };
            let reason = match &failed {
                Failed::Contended(_) => "contended",
                Failed::Unknown(_) => "unknown_commit",
                Failed::Away(_) if attempt == 0 => "connection",
                Failed::Away(error) if ours.iter().any(|o| *o) => {
                    tracing::warn!(%error, "the database is away and a commit's outcome unknown");
                    "unknown_commit"
                }
                Failed::Away(_) | Failed::Poisoned(_) => return Err(failed),
            };
            attempt += 1;
            if attempt >= MAX_ATTEMPTS {
                return Err(failed);
            }
            self.parts.metrics.store_retry(reason);
            writer.back_off(attempt).await;
        }
    }

    async fn attempt(
        &self,
        writer: &mut Writer,
        commands: &[Command],
        ours: &mut [bool],
    ) -> Result<Decided, Failed> {
        let mut tx = writer.begin().await.map_err(Failed::of)?;
        let (decided, fresh) = match self.decide_in(&mut tx, commands, ours).await {
            Ok(decided) => decided,
            Err(error) => {
                writer.rollback(tx).await;
                return Err(Failed::of(error));
            }
        };
        match writer.commit(tx).await {
            Ok(()) => {}
            Err(error) if error.is_contended() => return Err(Failed::Contended(error)),
            Err(error) => {
                ours.copy_from_slice(&fresh);
                return Err(Failed::Unknown(error));
            }
        }
        // After the commit, before the answers: whoever hears of the booking sees its balance.
        for customer in &decided.customers {
            self.parts.caches.publish_balance(customer.clone()).await;
        }
        for nonce in commands.iter().filter_map(|c| c.request.nonce) {
            self.parts.caches.remember_nonce(nonce);
        }
        Ok(decided)
    }

    /// Everything between BEGIN and COMMIT, in an order that matters: the locks come first, so that
    /// the look-up of transnos cannot race.
    async fn decide_in(
        &self,
        tx: &mut Tx,
        commands: &[Command],
        ours: &[bool],
    ) -> Result<(Decided, Vec<bool>), store::Error> {
        let mut ids: Vec<_> = commands.iter().map(|c| c.request.customer_id.clone()).collect();
        ids.sort_unstable();
        ids.dedup();
        let rows = tx.lock_customers(&ids).await?;
        let bookings = commands.iter().map(|c| (&c.request.customer_id, &c.request.transno));
        let prior = tx.find_records(bookings).await?;
        let fresh = self.spend_nonces(tx, commands, ours).await?;
        let decided = Ledger::new(rows, prior, self.parts.default_mode).decide(commands, &fresh);
        tx.insert_records(&decided.records).await?;
        tx.update_customers(&decided.customers).await?;
        let balances = decided.customers.iter().map(|c| c.id.to_string()).collect();
        self.parts.store.announce(tx, &Changed { balances, ..Changed::default() }).await?;
        Ok((decided, fresh))
    }

    async fn spend_nonces(
        &self,
        tx: &mut Tx,
        commands: &[Command],
        ours: &[bool],
    ) -> Result<Vec<bool>, store::Error> {
        let nonces: Vec<_> = commands.iter().filter_map(|c| c.request.nonce).collect();
        let mut inserted = tx.insert_nonces(&nonces).await?.into_iter();
        let fresh = commands.iter().zip(ours).map(|(command, ours)| {
            command.request.nonce.is_none() || inserted.next().unwrap_or(false) || *ours
        });
        Ok(fresh.collect())
    }
}

impl Failed {
    fn to_error(&self) -> Error {
        match self {
            Self::Contended(e) | Self::Unknown(e) | Self::Away(e) => Error::StoreUnavailable(e.to_string()),
            Self::Poisoned(e) => Error::Internal(e.to_string()),
        }
    }
}

/// The label of a verdict in `bookings_total`.
fn result_label(verdict: &Result<Booked, Error>) -> &'static str {
    match verdict {
        Ok(booked) if booked.replayed => "replayed",
        Ok(_) => "booked",
        Err(Error::InsufficientBalance { .. }) => "insufficient_balance",
        Err(Error::StoreUnavailable(_) | Error::Overloaded) => "unavailable",
        Err(Error::Internal(_)) => "failed",
        Err(_) => "refused",
    }
}
