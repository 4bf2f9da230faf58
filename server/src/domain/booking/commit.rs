//! One transaction: run until its outcome is known, and without the items that are at fault.

use std::iter::zip;

use tracing::Instrument as _;

use super::backend::LedgerBackend;
use super::decide::{Decided, Ledger, Loaded};
use super::queue::{Caller, Group, Lanes, Shard, Waiting};
use super::writer::Inner;
use super::{Action, Command, Outcome};
use crate::domain::Error;
use crate::model::CustomerId;
use crate::signing::AuthError;
use crate::store::{self, LedgerRow, NonceUse, NotCommitted};
use crate::telemetry::tracing::{self as telemetry, Handoff};

/// How often a batch is run again: after contention, and after a COMMIT whose outcome is unknown.
const MAX_ATTEMPTS: u32 = 10;

/// How a batch's transaction failed.
enum Failed {
    /// Nothing was committed; the whole may run again.
    Contended(store::Error),
    /// Nothing was committed; somebody else keeps a row locked.
    Locked(store::Error),
    /// Whether it was committed is not known.
    Unknown(store::Error),
    /// Nothing was committed, and it will not be: the database is away.
    Away(store::Error),
    /// Nothing was committed; something was there before that had been taken to be new.
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

impl Inner {
    /// Commits a batch and answers every caller. A poisoned batch is split until the item at fault
    /// stands alone; customers that somebody else keeps locked are parked.
    pub async fn commit<B: LedgerBackend>(&self, backend: &mut B, shard: &Shard, batch: Vec<Waiting>) {
        let (mut todo, mut again) = (vec![batch], false);
        while let Some(batch) = todo.pop() {
            let (mut commands, callers): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|w| (w.command, w.caller)).unzip();
            let failed = match self.commit_once_or_again(backend, shard, &mut commands, Commit::Always).await
            {
                Ok(decided) => {
                    self.answer(&commands, callers, decided.verdicts);
                    continue;
                }
                Err(failed) => failed,
            };
            if let Failed::Locked(error) = &failed {
                let locked = self.locked(backend, &commands, error).await;
                // Where none is any more, or it was another row: once more, then the callers repeat.
                if !locked.is_empty() || !std::mem::replace(&mut again, true) {
                    let single = rejoin(commands, callers).collect();
                    let rest = shard.set_aside(locked, Lanes { single, ..Lanes::default() }).single;
                    self.parked.notify_one();
                    todo.extend((!rest.is_empty()).then(|| rest.into()));
                    continue;
                }
            }
            match failed {
                Failed::Poisoned(error) | Failed::Contended(error) if commands.len() > 1 => {
                    tracing::warn!(%error, items = commands.len(), "a batch was refused; splitting it");
                    self.parts.metrics.store_retry("split");
                    let mut batch: Vec<_> = rejoin(commands, callers).collect();
                    todo.push(batch.split_off(batch.len() / 2));
                    todo.push(batch);
                }
                failed => {
                    let verdicts = commands.iter().map(|_| Err(failed.to_error())).collect();
                    self.answer(&commands, callers, verdicts);
                }
            }
        }
    }

    /// Commits a group and answers its caller, unless it is parked.
    pub async fn commit_group<B: LedgerBackend>(&self, backend: &mut B, shard: &Shard, group: Group) {
        let Group { mut commands, caller } = group;
        let mut again = false;
        let verdict = loop {
            match self.commit_once_or_again(backend, shard, &mut commands, Commit::IfAllPass).await {
                Ok(decided) => break first_refusal(decided.verdicts),
                Err(Failed::Locked(error)) if !again => {
                    let locked = self.locked(backend, &commands, &error).await;
                    if !locked.is_empty() {
                        let groups = [Group { commands, caller }].into();
                        shard.set_aside(locked, Lanes { groups, ..Lanes::default() });
                        self.parked.notify_one();
                        return;
                    }
                    again = true;
                }
                Err(failed) => break Err(failed.to_error()),
            }
        };
        let verdict = match verdict {
            Err(refusal) => Err(self.keep_nonce(backend, &commands, refusal).await),
            passed => passed,
        };
        self.answer_group(&commands, caller, verdict);
    }

    fn answer(
        &self,
        commands: &[Command],
        callers: Vec<Caller<Outcome>>,
        verdicts: Vec<Result<Outcome, Error>>,
    ) {
        self.admission.leave(commands);
        for (caller, verdict) in zip(callers, verdicts) {
            let label = verdict.as_ref().map_or_else(refusal_label, outcome_label);
            self.parts.metrics.bookings(label, 1);
            // A caller that hung up does not hear of it; the booking stands all the same.
            let _ = caller.reply.send(verdict);
        }
    }

    fn answer_group(
        &self,
        commands: &[Command],
        caller: Caller<Vec<Outcome>>,
        verdict: Result<Vec<Outcome>, Error>,
    ) {
        self.admission.leave(commands);
        match &verdict {
            Ok(outcomes) => {
                for outcome in outcomes {
                    self.parts.metrics.bookings(outcome_label(outcome), 1);
                }
            }
            Err(refusal) => self.parts.metrics.bookings(refusal_label(refusal), commands.len()),
        }
        let _ = caller.reply.send(verdict);
    }

    /// Answers everything with a refusal.
    pub fn refuse(&self, lanes: Lanes, refusal: impl Fn() -> Error) {
        for Waiting { command, caller } in lanes.single.into_iter().chain(lanes.bulk) {
            self.answer(&[command], vec![caller], vec![Err(refusal())]);
        }
        for Group { commands, caller } in lanes.groups {
            self.answer_group(&commands, caller, Err(refusal()));
        }
    }

    /// Which customers of the commands somebody else keeps locked.
    async fn locked<B: LedgerBackend>(
        &self,
        backend: &mut B,
        commands: &[Command],
        error: &store::Error,
    ) -> Vec<CustomerId> {
        self.parts.metrics.store_retry("locked");
        let mut customers: Vec<_> = commands.iter().map(|c| c.request.customer_id.clone()).collect();
        customers.sort_unstable();
        customers.dedup();
        let locked = backend.locked(&customers).await.unwrap_or_default();
        tracing::warn!(%error, customers = ?locked, "somebody else keeps rows locked");
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
                Ok(true) => self.parts.caches.remember_nonce(nonce),
                Ok(false) => return Error::Auth(AuthError::Replay),
                Err(error) => return error.into(),
            }
        }
        refusal
    }

    /// Runs the transaction until its outcome is known, or it is known that it will not be by trying; in a span that the
    /// requests share.
    async fn commit_once_or_again<B: LedgerBackend>(
        &self,
        backend: &mut B,
        shard: &Shard,
        commands: &mut [Command],
        when: Commit,
    ) -> Result<Decided, Failed> {
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
    ) -> Result<Decided, Failed> {
        let mut attempt = 0;
        let result = loop {
            let started = self.parts.clock.monotonic();
            let failed = match self.attempt(backend, shard, commands, when).await {
                Ok(decided) => {
                    let took = self.parts.clock.monotonic().saturating_sub(started);
                    self.parts.metrics.booking_commit(commands.len(), took.as_secs_f64());
                    break Ok(decided);
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
            self.parts.metrics.store_retry(reason);
            if !matches!(failed, Failed::Repeated) {
                backend.back_off(attempt).await;
            }
        };
        // What a lost COMMIT wrote was published by nobody, and other instances alone hear of it.
        for command in commands.iter().filter(|command| command.commit_lost) {
            self.parts.caches.balances().drop_one(&command.request.customer_id);
        }
        result
    }

    async fn attempt<B: LedgerBackend>(
        &self,
        backend: &mut B,
        shard: &Shard,
        commands: &mut [Command],
        when: Commit,
    ) -> Result<Decided, Failed> {
        let (mut tx, customers) = backend.begin(commands).await.map_err(Failed::of)?;
        let assumed = shard.expects_new().then(|| self.decide_as_new(commands, &customers)).flatten();
        let is_assumed = assumed.is_some();
        let plan = match assumed {
            Some(plan) => plan,
            None => match self.look_and_decide(backend, &mut tx, commands, customers).await {
                Ok(plan) => plan,
                Err(error) => {
                    backend.give_up(tx, &error).await;
                    return Err(Failed::of(error));
                }
            },
        };
        let Plan { decided, nonces, ours } = plan;
        if !is_assumed {
            shard.looked_up(decided.verdicts.iter().any(repeats));
        }
        if when == Commit::IfAllPass && decided.verdicts.iter().any(Result::is_err) {
            backend.rollback(tx).await;
            return Ok(decided);
        }
        match backend.commit(tx, &nonces, &decided.changes).await {
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
        // After the commit, before the answers: whoever hears of the booking sees its balance.
        for customer in &decided.changes.customers {
            self.parts.caches.publish_balance(customer.clone());
        }
        for nonce in commands.iter().filter_map(|c| c.request.nonce) {
            self.parts.caches.remember_nonce(nonce);
        }
        Ok(decided)
    }

    /// Decides as if no transno and no nonce had been used before. The database's unique keys refuse it if one was;
    /// so nothing has to be looked up. `None` where more must be known, be it for the reason of a refusal.
    fn decide_as_new(&self, commands: &[Command], customers: &[LedgerRow]) -> Option<Plan> {
        let plain =
            |command: &Command| !command.commit_lost && matches!(command.request.action, Action::Book(_));
        if !commands.iter().all(plain) || customers.iter().any(|row| row.customer.holds_made > 0) {
            return None;
        }
        let loaded = Loaded { customers: customers.to_vec(), ..Loaded::default() };
        let decided =
            Ledger::new(loaded, self.parts.default_mode).decide(commands, &vec![true; commands.len()]);
        let booked = |verdict: &Result<Outcome, Error>| verdict.as_ref().is_ok_and(|o| !o.is_replay());
        decided.verdicts.iter().all(booked).then(|| Plan {
            decided,
            nonces: commands.iter().filter_map(|c| c.request.nonce).collect(),
            // Not known yet: should the outcome of COMMIT not be heard, the records will tell.
            ours: vec![false; commands.len()],
        })
    }

    /// Looks up what the commands name, spends their nonces and decides.
    async fn look_and_decide<B: LedgerBackend>(
        &self,
        backend: &mut B,
        tx: &mut B::Tx,
        commands: &[Command],
        customers: Vec<LedgerRow>,
    ) -> Result<Plan, store::Error> {
        let loaded = backend.look_up(tx, commands, customers).await?;
        let nonces: Vec<_> = commands.iter().filter_map(|c| c.request.nonce).collect();
        let mut spent = backend.spend_nonces(tx, &nonces).await?.into_iter();
        let fresh = |command: &Command| {
            // A nonce and the record that it asked for were committed together.
            let booked =
                || command.commit_lost && loaded.records.iter().any(|record| record.id == command.id);
            command.request.nonce.is_none()
                || spent.next().unwrap_or(false)
                || command.nonce_is_ours
                || booked()
        };
        let fresh: Vec<_> = commands.iter().map(fresh).collect();
        let decided = Ledger::new(loaded, self.parts.default_mode).decide(commands, &fresh);
        Ok(Plan { decided, nonces: Vec::new(), ours: fresh })
    }
}

/// What a transaction is about to commit.
struct Plan {
    decided: Decided,
    /// Nonces that it spends with the rest.
    nonces: Vec<NonceUse>,
    /// For each command, whether its nonce is known to be spent by this very request.
    ours: Vec<bool>,
}

/// What all came to, or the first refusal and whose it is.
fn first_refusal(verdicts: Vec<Result<Outcome, Error>>) -> Result<Vec<Outcome>, Error> {
    let placed = verdicts.into_iter().enumerate();
    placed.map(|(index, verdict)| verdict.map_err(|error| error.of_item(index))).collect()
}

/// Whether a command was there before.
fn repeats(verdict: &Result<Outcome, Error>) -> bool {
    match verdict {
        Ok(outcome) => outcome.is_replay(),
        Err(refusal) => matches!(refusal, Error::TransnoConflict | Error::Auth(_)),
    }
}

fn rejoin(commands: Vec<Command>, callers: Vec<Caller<Outcome>>) -> impl Iterator<Item = Waiting> {
    zip(commands, callers).map(|(command, caller)| Waiting { command, caller })
}

/// The label of what was done in `bookings_total`.
fn outcome_label(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Expired => "expired",
        outcome if outcome.is_replay() => "replayed",
        _ => "booked",
    }
}

/// The label of what was not done.
fn refusal_label(refusal: &Error) -> &'static str {
    match refusal {
        Error::Item { error, .. } => refusal_label(error),
        Error::InsufficientBalance { .. } => "insufficient_balance",
        Error::StoreUnavailable(_) | Error::Overloaded => "unavailable",
        Error::Internal(_) => "failed",
        _ => "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::BOOKING_RESULTS;

    #[test]
    fn every_label_is_counted_from_the_start() {
        let money = crate::model::Money::ZERO;
        let refusals = [
            Error::InsufficientBalance { available: money, required: money },
            Error::StoreUnavailable(String::new()),
            Error::Overloaded,
            Error::Internal(String::new()),
            Error::TransnoConflict,
        ];
        let labels = refusals.iter().map(refusal_label).chain([outcome_label(&Outcome::Expired)]);
        for label in labels {
            assert!(BOOKING_RESULTS.contains(&label), "{label}");
        }
    }
}
