//! The decision: locked customers and commands in, records, holds and outcomes out. Pure.

mod audit;
mod holds;
mod quota;
mod records;
mod usage;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::command::Command;
use super::outcome::{Booked, Outcome, Reserved, Verdict};
use super::request::Action;
use super::rules::Rules;
use crate::domain::Error;
use crate::model::{
    BookingDetails, Currency, Customer, CustomerId, Hold, HoldState, Kind, Mode, Money, Record, RecordId,
    Timestamp, Transno, UsageRecord,
};
use crate::signing::AuthError;
use crate::store::{LedgerChanges, LedgerRow, QuotaRows, Reversal, UsagePlace};

use quota::Quotas;
use usage::UsageChanges;

/// A user of a customer.
pub(super) type Subject = (CustomerId, String);

/// The least time between two things that are ordered by time alone.
const TICK: Duration = Duration::from_micros(1);

/// When a transaction happens for a customer: by the database's clock, and after everything before. The database reads its
/// clock before it waits for the lock, and SQLite's ticks once a millisecond.
pub(super) fn time_of(row: &LedgerRow) -> Timestamp {
    row.now.max(row.customer.updated_at.plus(TICK))
}

/// What a transaction read before it decides, all of it under the customers' locks.
#[derive(Default)]
pub(super) struct Loaded {
    /// The customers that exist.
    pub customers: Vec<LedgerRow>,
    /// Records that the commands name, by transno or by id.
    pub records: Vec<Record>,
    /// What was reversed before of those that they name by id.
    pub reversals: Vec<Reversal>,
    /// Holds that the commands name, by transno or by id.
    pub holds: Vec<Hold>,
    /// Open holds of the customers whose time has run out.
    pub due_holds: Vec<Hold>,
    /// Usage records that the commands name.
    pub usage: Vec<UsageRecord>,
    /// Quotas of the users that they name.
    pub quota: QuotaRows,
}

/// The state that decisions move on.
pub(super) struct Ledger {
    customers: HashMap<CustomerId, Slot>,
    records: HashMap<RecordId, Record>,
    reversed: HashMap<RecordId, Reversed>,
    holds: HashMap<RecordId, Hold>,
    changed_holds: BTreeSet<RecordId>,
    /// Which record or hold a transno names.
    named: HashMap<(CustomerId, Transno), RecordId>,
    /// Usage records, by the caller's names for them.
    used: HashMap<(CustomerId, Transno), UsageRecord>,
    usage: UsageChanges,
    quotas: Quotas,
    rules: Rules,
    changes: LedgerChanges,
}

/// What was reversed of a record.
#[derive(Default, Clone, Copy)]
struct Reversed {
    amount: i128,
    parts: usize,
}

impl Reversed {
    fn add(&mut self, amount: Money) {
        self.amount += amount.wide();
        self.parts += 1;
    }
}

struct Slot {
    customer: Customer,
    now: Timestamp,
    changed: bool,
    /// Whether usage was recorded.
    used: bool,
}

/// What follows from a batch of commands.
pub(super) struct Decided {
    /// Rows to write.
    pub changes: LedgerChanges,
    /// One for each command.
    pub verdicts: Vec<Verdict>,
}

impl Ledger {
    pub fn new(loaded: Loaded, rules: Rules) -> Self {
        let slot = |row: LedgerRow| {
            let now = time_of(&row);
            (row.customer.id.clone(), Slot { customer: row.customer, now, changed: false, used: false })
        };
        let mut reversed: HashMap<_, Reversed> = HashMap::new();
        for reversal in loaded.reversals {
            reversed.entry(reversal.original).or_default().add(reversal.amount);
        }
        let holds = loaded.holds.iter().map(|h| ((h.customer_id.clone(), h.transno.clone()), h.id));
        let records = loaded.records.iter().map(|r| ((r.customer_id.clone(), r.transno.clone()), r.id));
        let mut ledger = Self {
            customers: loaded.customers.into_iter().map(slot).collect(),
            reversed,
            named: holds.chain(records).collect(),
            records: loaded.records.into_iter().map(|r| (r.id, r)).collect(),
            holds: loaded.holds.into_iter().map(|h| (h.id, h)).collect(),
            changed_holds: BTreeSet::new(),
            used: loaded
                .usage
                .into_iter()
                .map(|usage| ((usage.customer_id.clone(), usage.request_id.clone()), usage))
                .collect(),
            usage: UsageChanges::default(),
            quotas: Quotas::new(loaded.quota),
            rules,
            changes: LedgerChanges::default(),
        };
        for hold in loaded.due_holds {
            ledger.expire(hold);
        }
        let Self { quotas, customers, .. } = &mut ledger;
        quotas.expire(|customer| customers.get(customer).map(|slot| slot.now));
        ledger
    }

    /// Decides the commands in order. `fresh[i]` says whether the nonce of command `i`, if it has
    /// one, was not used before.
    pub fn decide(mut self, commands: &[Command], fresh: &[bool]) -> Decided {
        let decide = |(command, fresh): (&Command, &bool)| {
            if *fresh { self.decide_one(command) } else { Err(Error::Auth(AuthError::Replay)) }
        };
        let verdicts = commands.iter().zip(fresh).map(decide).collect();
        let holds = &mut self.holds;
        self.changes.holds = self.changed_holds.iter().filter_map(|id| holds.remove(id)).collect();
        self.changes.holds.sort_by_key(|hold| hold.created_at);
        for slot in self.customers.into_values() {
            if slot.only_used() {
                self.changes.usage_places.push(UsagePlace {
                    customer_id: slot.customer.id,
                    last_useq: slot.customer.last_useq,
                    last_usage_at: slot.customer.last_usage_at,
                });
            } else if slot.changed {
                self.changes.customers.push(slot.customer);
            }
        }
        self.changes.usage_places.sort_by(|a, b| a.customer_id.cmp(&b.customer_id));
        (self.changes.usage_days, self.changes.usage_totals) = (self.usage.days(), self.usage.totals());
        self.changes.usage = self.usage.records;
        self.changes.forward_usage = self.rules.forward_usage;
        (self.changes.quota_counters, self.changes.quota_reservations) = self.quotas.into_changes();
        self.changes.customers.sort_by(|a, b| a.id.cmp(&b.id));
        Decided { changes: self.changes, verdicts }
    }

    pub fn decide_one(&mut self, command: &Command) -> Verdict {
        let request = &command.request;
        if !self.customers.contains_key(&request.customer_id) {
            return Err(Error::NotFound("customer"));
        }
        if let Action::Usage(usage) = &request.action {
            return self.record_usage(command, usage);
        }
        if let Some(transno) = request.action.transno()
            && let Some(earlier) = self.earlier(command, transno)
        {
            return earlier;
        }
        if request.action.has_wrong_sign() {
            return Err(Error::AmountOutOfRange);
        }
        match &request.action {
            Action::Book(entry) => self.book(command, entry).map(|booked| self.audited(command, booked)),
            Action::Reverse(reverse) => {
                self.reverse(command, reverse).map(|booked| self.audited(command, booked))
            }
            Action::Hold(reserve) => self.reserve(command, reserve).map(Outcome::Reserved),
            Action::Capture(capture) => {
                self.capture(command, capture).map(|booked| self.audited(command, booked))
            }
            Action::Release(id) => self.release(&request.customer_id, *id).map(Outcome::Reserved),
            // The due holds were closed when the ledger was made.
            Action::Expire => Ok(Outcome::Expired),
            Action::Usage(usage) => self.record_usage(command, usage),
            Action::Check(check) => self.check_quota(command, check),
            Action::ReleaseQuota(id) => self.release_quota(&request.customer_id, *id),
            Action::ExtendQuota(id, ttl) => self.extend_quota(&request.customer_id, *id, *ttl),
        }
    }

    /// What an earlier request with this transno came to, if there was one. A repetition has the same
    /// body; the same id means an earlier attempt of this very command, whose COMMIT was lost.
    fn earlier(&self, command: &Command, transno: &Transno) -> Option<Verdict> {
        let id = self.named.get(&(command.request.customer_id.clone(), transno.clone()))?;
        let (hash, outcome) = if let Some(record) = self.records.get(id) {
            let replayed = record.id != command.id;
            (record.body_hash, Outcome::Booked(Booked { record: record.clone(), replayed }))
        } else {
            let mut hold = self.holds.get(id)?.clone();
            let replayed = hold.id != command.id;
            let hash = hold.body_hash;
            // The first answer again, whatever became of the hold since.
            (hold.state, hold.captured) = (HoldState::Open, Money::ZERO);
            (hash, Outcome::Reserved(Reserved { hold, customer: None, replayed }))
        };
        Some(if hash == command.request.body_hash { Ok(outcome) } else { Err(Error::TransnoConflict) })
    }

    fn slot(&mut self, id: &CustomerId) -> Result<&mut Slot, Error> {
        self.customers.get_mut(id).ok_or(Error::NotFound("customer"))
    }
}

impl Slot {
    /// The record that a command makes, before it has its place in the ledger.
    fn record(
        &self,
        command: &Command,
        transno: &Transno,
        kind: Kind,
        amount: Money,
        delta: Money,
    ) -> Record {
        Record {
            id: command.id,
            customer_id: self.customer.id.clone(),
            seq: 0,
            transno: transno.clone(),
            kind,
            amount,
            delta,
            currency: self.customer.currency,
            details: BookingDetails::default(),
            pricing_version: None,
            unrounded: None,
            arithmetic: None,
            reverses: None,
            hold_id: None,
            balance_after: Money::ZERO,
            held_after: Money::ZERO,
            available_after: Money::ZERO,
            body_hash: command.request.body_hash,
            prev_hash: [0; 32],
            hash: [0; 32],
            event_time: self.now,
            created_at: self.now,
        }
    }

    fn touch(&mut self) {
        self.customer.version += 1;
        self.customer.updated_at = self.now;
        self.changed = true;
    }

    fn same_currency(&self, given: Option<Currency>) -> Result<(), Error> {
        match given {
            Some(given) if given != self.customer.currency => {
                Err(Error::CurrencyMismatch { expected: self.customer.currency, given })
            }
            _ => Ok(()),
        }
    }

    /// Whether the balance may move by `delta`: within the range of money, and, unless it rises or the customer may go
    /// below zero, covered by `available`. A customer that is below zero may not even be charged zero.
    fn affords(&self, delta: Money, available: i128, default_mode: Mode) -> Result<(), Error> {
        let customer = &self.customer;
        customer.balance.checked_add(delta).ok_or(Error::AmountOutOfRange)?;
        let strict = customer.mode.unwrap_or(default_mode) == Mode::Strict;
        if strict && delta <= Money::ZERO && available < -delta.wide() {
            let max = Money::MAX.wide();
            let available = Money::from_wide(available.clamp(-max, max)).unwrap_or_default();
            return Err(Error::InsufficientBalance { available, required: delta.negated() });
        }
        Ok(())
    }
}
