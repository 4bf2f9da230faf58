//! One transaction: run until its outcome is known, and without the items that are at fault.

use std::iter::zip;

use tracing::Instrument as _;

use super::backend::LedgerBackend;
use super::command::{Command, customers_of};
use super::decide::{Decided, Ledger, Loaded};
use super::engine::Engine;
use super::outcome::{Outcome, Verdict};
use super::queue::{Group, Lanes, Shard};
use super::request::Action;
use crate::domain::Error;
use crate::model::CustomerId;
use crate::signing::AuthError;
use crate::store::{self, LedgerRow, NotCommitted, QuotaRows};
use crate::telemetry::tracing::{self as telemetry, Handoff};

/// How often a batch is run again: after contention, and after a COMMIT whose outcome is unknown.
const MAX_ATTEMPTS: u32 = 10;

/// How a batch's transaction failed.
enum Failed {
    /// Nothing was committed; the whole may run again.
    Contended(store::Error),
    /// Nothing was committed; another transaction keeps a row locked.
    Locked(store::Error),
    /// Whether it was committed is not known.
    Unknown(store::Error),
    /// Nothing was committed, and it will not be: the database is away.
    Away(store::Error),
    /// Nothing was committed; something that had been taken to be new exists already.
    Repeated,
    /// Nothing was committed; one of the items is at fault.
    Poisoned(store::Error),
}

impl Failed {
    fn of(error: store::Error) -> Self {
        match error {
            error if error.is_locked() => Self::Locked(error),
            error if error.is_contended() => Self::Contended(error),
            error if error.is_unavailable() => Self::Away(error),
            error => Self::Poisoned(error),
        }
    }

    /// A stable word for traces.
    fn class(&self) -> &'static str {
        match self {
            Self::Contended(_) => "contended",
            Self::Locked(_) => "locked",
            Self::Unknown(_) => "unknown_commit",
            Self::Away(_) => "unavailable",
            Self::Repeated => "repeated",
            Self::Poisoned(_) => "refused",
        }
    }

    fn to_error(&self) -> Error {
        match self {
            Self::Contended(e) | Self::Locked(e) | Self::Unknown(e) | Self::Away(e) => {
                Error::StoreUnavailable(e.to_string())
            }
            Self::Repeated => Error::StoreUnavailable("repetitions all the time".to_owned()),
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

impl Engine {
    /// Commits a batch and answers every caller. A batch that the database refuses is split until the item at fault
    /// stands alone; customers that another transaction keeps locked are parked.
    pub async fn commit<B: LedgerBackend>(&self, backend: &mut B, shard: &Shard, batch: Vec<Command>) {
        let (mut todo, mut again) = (vec![batch], false);
        while let Some(mut batch) = todo.pop() {
            let failed = match self.commit_until_known(backend, shard, &mut batch, Commit::Always).await {
                Ok(verdicts) => {
                    self.answer(batch, verdicts);
                    continue;
                }
                Err(failed) => failed,
            };
            if let Failed::Locked(error) = &failed {
                let locked = self.locked(backend, &batch, error).await;
                // If none is locked any more, or it was another row, the batch runs once more; then the callers retry.
                if !locked.is_empty() || !std::mem::replace(&mut again, true) {
                    let taken = Lanes { single: batch.into(), ..Lanes::default() };
                    let rest = shard.park(locked, taken).single;
                    self.parked.notify_one();
                    todo.extend((!rest.is_empty()).then(|| rest.into()));
                    continue;
                }
            }
            match failed {
                Failed::Poisoned(error) | Failed::Contended(error) if batch.len() > 1 => {
                    tracing::warn!(%error, items = batch.len(), "a batch was refused; splitting it");
                    self.parts.metrics.retry("split");
                    todo.push(batch.split_off(batch.len() / 2));
                    todo.push(batch);
                }
                failed => {
                    let verdicts = batch.iter().map(|_| Err(failed.to_error())).collect();
                    self.answer(batch, verdicts);
                }
            }
        }
    }

    /// Commits a group and answers its caller, unless it is parked.
    pub async fn commit_group<B: LedgerBackend>(&self, backend: &mut B, shard: &Shard, mut group: Group) {
        let mut again = false;
        let verdict = loop {
            let commands = &mut group.commands;
            match self.commit_until_known(backend, shard, commands, Commit::IfAllPass).await {
                Ok(verdicts) => break first_refusal(verdicts),
                Err(Failed::Locked(error)) if !again => {
                    let locked = self.locked(backend, commands, &error).await;
                    if !locked.is_empty() {
                        shard.park(locked, Lanes { groups: [group].into(), ..Lanes::default() });
                        self.parked.notify_one();
                        return;
                    }
                    again = true;
                }
                Err(failed) => break Err(failed.to_error()),
            }
        };
        let verdict = match verdict {
            Err(refusal) => Err(self.keep_nonce(backend, &group.commands, refusal).await),
            passed => passed,
        };
        self.answer_group(group, verdict);
    }

    /// Which customers of the commands another transaction keeps locked.
    async fn locked<B: LedgerBackend>(
        &self,
        backend: &mut B,
        commands: &[Command],
        error: &store::Error,
    ) -> Vec<CustomerId> {
        self.parts.metrics.retry("locked");
        let locked = backend.locked(&customers_of(commands)).await.unwrap_or_default();
        tracing::warn!(%error, customers = ?locked, "another transaction keeps rows locked");
        locked
    }

    /// The nonce of a refused group was rolled back with it, but stays spent.
    async fn keep_nonce<B: LedgerBackend>(
        &self,
        backend: &mut B,
        commands: &[Command],
        refusal: Error,
    ) -> Error {
        if matches!(refusal, Error::StoreUnavailable(_) | Error::Internal(_)) {
            return refusal;
        }
        for nonce in commands.iter().filter_map(|c| c.request.nonce) {
            match backend.first_use(nonce).await {
                Ok(true) => self.parts.nonces.insert(nonce),
                Ok(false) => return Error::Auth(AuthError::Replay),
                Err(error) => return error.into(),
            }
        }
        refusal
    }

    /// Runs the transaction until its outcome is known or no attempt is left, in a span that the requests share.
    async fn commit_until_known<B: LedgerBackend>(
        &self,
        backend: &mut B,
        shard: &Shard,
        commands: &mut [Command],
        when: Commit,
    ) -> Result<Vec<Verdict>, Failed> {
        let handoffs = commands.iter().map(|command| &command.handoff);
        let span = Handoff::joint_span("commit", commands.len(), handoffs);
        let committed = self.try_until_known(backend, shard, commands, when).instrument(span.clone()).await;
        committed.inspect_err(|failed| telemetry::mark_failed(&span, failed.class()))
    }

    async fn try_until_known<B: LedgerBackend>(
        &self,
        backend: &mut B,
        shard: &Shard,
        commands: &mut [Command],
        when: Commit,
    ) -> Result<Vec<Verdict>, Failed> {
        let mut attempt = 0;
        let result = loop {
            let started = self.parts.clock.monotonic();
            let failed = match self.attempt(backend, shard, commands, when).await {
                Ok(verdicts) => {
                    let took = self.parts.clock.monotonic().saturating_sub(started);
                    self.parts.metrics.commit(commands.len(), took.as_secs_f64());
                    break Ok(verdicts);
                }
                Err(failed) => failed,
            };
            let unknown = commands.iter().any(|command| command.commit_lost);
            let reason = match &failed {
                Failed::Contended(_) => "contended",
                Failed::Unknown(_) => "unknown_commit",
                Failed::Repeated => "repeated",
                Failed::Away(_) if attempt == 0 => "connection",
                Failed::Away(error) if unknown => {
                    tracing::warn!(%error, "the database is away and a commit's outcome unknown");
                    "unknown_commit"
                }
                Failed::Away(_) | Failed::Locked(_) | Failed::Poisoned(_) => break Err(failed),
            };
            attempt += 1;
            if attempt >= MAX_ATTEMPTS {
                break Err(failed);
            }
            self.parts.metrics.retry(reason);
            if !matches!(failed, Failed::Repeated) {
                backend.back_off(attempt).await;
            }
        };
        // What a lost COMMIT wrote was published by nobody, and other instances alone hear of it.
        for command in commands.iter().filter(|command| command.commit_lost) {
            self.parts.balances.drop_one(&command.request.customer_id);
        }
        result
    }

    async fn attempt<B: LedgerBackend>(
        &self,
        backend: &mut B,
        shard: &Shard,
        commands: &mut [Command],
        when: Commit,
    ) -> Result<Vec<Verdict>, Failed> {
        let (mut tx, customers, quota) = backend.begin(commands).await.map_err(Failed::of)?;
        let assumed = shard.expects_new().then(|| self.decide_as_new(commands, &customers, &quota)).flatten();
        let is_assumed = assumed.is_some();
        let (decided, ours) = match assumed {
            // Whose the nonces are is not known yet: should the outcome of COMMIT not be heard, the records will tell.
            Some(decided) => (decided, vec![false; commands.len()]),
            None => match self.look_and_decide(backend, &mut tx, commands, customers, quota).await {
                Ok(decided) => decided,
                Err(error) => {
                    backend.abort(tx, &error).await;
                    return Err(Failed::of(error));
                }
            },
        };
        let Decided { changes, verdicts } = decided;
        if !is_assumed {
            shard.looked_up(verdicts.iter().any(repeats));
        }
        if when == Commit::IfAllPass && verdicts.iter().any(Result::is_err) {
            backend.rollback(tx).await;
            return Ok(verdicts);
        }
        match backend.commit(tx, &changes).await {
            Ok(()) => {}
            Err(NotCommitted::Undone(store::Error::Duplicate(_))) if is_assumed => {
                shard.looked_up(true);
                return Err(Failed::Repeated);
            }
            Err(NotCommitted::Undone(error)) => return Err(Failed::of(error)),
            Err(NotCommitted::Unknown(error)) => {
                for (command, ours) in zip(commands, ours) {
                    command.commit_lost = true;
                    command.nonce_is_ours |= ours;
                }
                return Err(Failed::Unknown(error));
            }
        }
        // After the commit, before the answers: a caller that hears of the booking sees its balance.
        for customer in changes.customers {
            self.parts.balances.publish(customer);
        }
        for nonce in commands.iter().filter_map(|c| c.request.nonce) {
            self.parts.nonces.insert(nonce);
        }
        Ok(verdicts)
    }

    /// Decides as if no transno and no nonce had been used before. The database's unique keys refuse it if one was;
    /// so nothing has to be looked up. `None` where more must be known, if only for the reason of a refusal.
    fn decide_as_new(
        &self,
        commands: &[Command],
        customers: &[LedgerRow],
        quota: &QuotaRows,
    ) -> Option<Decided> {
        let plain = |command: &Command| {
            let simple = match &command.request.action {
                Action::Book(_) => true,
                Action::Usage(usage) => usage.hold.is_none(),
                Action::Check(_) => true,
                _ => false,
            };
            simple && !command.commit_lost
        };
        if !commands.iter().all(plain) || customers.iter().any(|row| row.customer.holds_made > 0) {
            return None;
        }
        let loaded = Loaded { customers: customers.to_vec(), quota: quota.clone(), ..Loaded::default() };
        let mut decided = Ledger::new(loaded, self.rules()).decide(commands, &vec![true; commands.len()]);
        decided.changes.nonces = commands.iter().filter_map(|c| c.request.nonce).collect();
        // Of a refused check nothing remains but its nonce, which is then recorded on its own: should the outcome of COMMIT
        // not be heard, it is known whose it is.
        let booked = |verdict: &Verdict| match verdict {
            Ok(Outcome::Checked(checked)) => checked.admitted.is_ok() && !checked.replayed,
            Ok(outcome) => !outcome.is_replay(),
            Err(_) => false,
        };
        decided.verdicts.iter().all(booked).then_some(decided)
    }

    /// Looks up what the commands name, spends their nonces and decides. With it comes, for each command, whether its
    /// nonce is known to be spent by this very request.
    async fn look_and_decide<B: LedgerBackend>(
        &self,
        backend: &mut B,
        tx: &mut B::Tx,
        commands: &[Command],
        customers: Vec<LedgerRow>,
        quota: QuotaRows,
    ) -> Result<(Decided, Vec<bool>), store::Error> {
        let loaded = Loaded { quota, ..backend.look_up(tx, commands, customers).await? };
        let nonces: Vec<_> = commands.iter().filter_map(|c| c.request.nonce).collect();
        let mut spent = backend.spend_nonces(tx, &nonces).await?.into_iter();
        let fresh = |command: &Command| {
            // A nonce and the record that it asked for were committed together.
            let booked = || {
                let ours = loaded.records.iter().map(|record| record.id);
                let ours = ours.chain(loaded.usage.iter().map(|usage| usage.id));
                let mut ours = ours.chain(loaded.quota.reservations.iter().map(|made| made.id));
                command.commit_lost && ours.any(|id| id == command.id)
            };
            command.request.nonce.is_none()
                || spent.next().unwrap_or(false)
                || command.nonce_is_ours
                || booked()
        };
        let fresh: Vec<_> = commands.iter().map(fresh).collect();
        let decided = Ledger::new(loaded, self.rules()).decide(commands, &fresh);
        Ok((decided, fresh))
    }
}

/// What all came to, or the first refusal and whose it is.
fn first_refusal(verdicts: Vec<Verdict>) -> Result<Vec<Outcome>, Error> {
    let placed = verdicts.into_iter().enumerate();
    placed.map(|(index, verdict)| verdict.map_err(|error| error.of_item(index))).collect()
}

/// Whether a command came before.
fn repeats(verdict: &Verdict) -> bool {
    match verdict {
        Ok(outcome) => outcome.is_replay(),
        Err(refusal) => {
            matches!(refusal, Error::TransnoConflict | Error::RequestConflict | Error::Auth(_))
        }
    }
}
