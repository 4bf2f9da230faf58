//! What the callers, the writers and the watcher of locked customers share.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::iter::zip;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::{Admission, Work};
use super::command::{Command, Reply};
use super::metrics::BookingMetrics;
use super::outcome::{Outcome, Verdict};
use super::queue::{Group, Lanes, Shard};
use super::request::Request;
use super::rules::{Rules, UsageFloor};
use crate::config::{ClusterRole, LiveConfig};
use crate::domain::Error;
use crate::domain::balances::BalanceCache;
use crate::domain::nonces::SpentNonces;
use crate::model::{Clock, CustomerId, Entropy, RecordId, new_uuid};
use crate::telemetry::tracing::Handoff;

/// What the engine is made of.
pub struct BookingParts {
    /// Its `accounting` section: the default mode, the sizes of batch and queue, the number of writers.
    pub config: LiveConfig,
    /// Gets new balances.
    pub balances: BalanceCache,
    /// Before when usage may have been deleted, as last read.
    pub usage_floor: UsageFloor,
    /// Learns which nonces were spent.
    pub nonces: Arc<SpentNonces>,
    /// Counts and measures.
    pub metrics: BookingMetrics,
    /// Times commits and dates ids.
    pub clock: Arc<dyn Clock>,
    /// Makes ids.
    pub entropy: Arc<dyn Entropy>,
    /// What the writers run on. Beside requests, the database's answer to a commit would wait until all requests that
    /// wait have had their turn.
    pub runtime: Handle,
}

pub(super) struct Engine {
    pub shards: Vec<Shard>,
    pub admission: Admission,
    pub parts: BookingParts,
    /// Wakes the task that watches the customers that are parked.
    pub parked: Notify,
    pub writers: TaskTracker,
    /// Cancelled when a writer ends that was not asked to.
    pub broken: CancellationToken,
}

impl Engine {
    pub fn new(shards: usize, parts: BookingParts) -> Self {
        Self {
            shards: (0..shards).map(|_| Shard::default()).collect(),
            admission: Admission::new(parts.config.current().accounting.queue),
            parts,
            parked: Notify::new(),
            writers: TaskTracker::new(),
            broken: CancellationToken::new(),
        }
    }

    /// The same customer always goes to the same shard.
    pub fn shard_of(&self, customer: &CustomerId) -> usize {
        let mut hasher = DefaultHasher::new();
        customer.hash(&mut hasher);
        usize::try_from(hasher.finish() % self.shards.len() as u64).unwrap_or(0)
    }

    /// The rules at this moment.
    pub fn rules(&self) -> Rules {
        let usage_floor = self.parts.usage_floor.get();
        self.parts.config.read(|config| Rules {
            mode: config.accounting.mode,
            usage_zone: config.usage.zone.clone(),
            usage_retention: config.usage.retention,
            forward_usage: config.cluster.role == ClusterRole::Edge,
            usage_floor,
        })
    }

    /// Admits all requests or none; see [`Admission::enter`].
    pub fn admit(&self, requests: &[Request], work: Work) -> Result<Vec<usize>, Error> {
        self.admission
            .enter(requests, work)
            .inspect_err(|_| self.parts.metrics.bookings("unavailable", requests.len()))
    }

    pub fn command(&self, request: Request, handoff: &Handoff, reply: Option<Reply<Outcome>>) -> Command {
        let id = RecordId(new_uuid(self.parts.clock.now(), &*self.parts.entropy));
        let (since, handoff) = (self.parts.clock.monotonic(), handoff.clone());
        Command { since, reply, handoff, ..Command::new(request, id) }
    }

    /// Queues what was admitted. It is refused only after the drain has begun, when no request is under way any more.
    pub fn push(&self, shard: usize, more: Lanes) {
        if let Err(late) = self.shards[shard].push(more) {
            self.refuse(late, || Error::Overloaded);
        }
    }

    /// Frees the places of commands and answers their callers.
    pub fn answer(&self, commands: Vec<Command>, verdicts: Vec<Verdict>) {
        self.admission.leave(&commands);
        for (command, verdict) in zip(commands, verdicts) {
            let label = verdict.as_ref().map_or_else(refusal_label, outcome_label);
            self.parts.metrics.bookings(label, 1);
            if let Some(reply) = command.reply {
                // A caller that hung up does not hear of it; the booking stands all the same.
                let _ = reply.send(verdict);
            }
        }
    }

    /// The same for a group.
    pub fn answer_group(&self, group: Group, verdict: Result<Vec<Outcome>, Error>) {
        self.admission.leave(&group.commands);
        match &verdict {
            Ok(outcomes) => {
                for outcome in outcomes {
                    self.parts.metrics.bookings(outcome_label(outcome), 1);
                }
            }
            Err(refusal) => self.parts.metrics.bookings(refusal_label(refusal), group.commands.len()),
        }
        let _ = group.reply.send(verdict);
    }

    /// Answers everything with a refusal.
    pub fn refuse(&self, lanes: Lanes, refusal: impl Fn() -> Error) {
        let Lanes { single, bulk, groups } = lanes;
        for commands in [single, bulk] {
            let verdicts = commands.iter().map(|_| Err(refusal())).collect();
            self.answer(commands.into(), verdicts);
        }
        for group in groups {
            self.answer_group(group, Err(refusal()));
        }
    }
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
    use super::super::metrics::BOOKING_RESULTS;
    use super::*;

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
