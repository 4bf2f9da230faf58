//! The decision: locked customers and commands in, records, holds and outcomes out. Pure.

mod holds;
mod records;

use std::collections::HashMap;
use std::time::Duration;

use super::{Action, Booked, Command, Outcome, Reserved};
use crate::domain::Error;
use crate::model::{
    Currency, Customer, CustomerId, Hold, HoldState, Mode, Money, Record, RecordId, Timestamp, Transno,
};
use crate::signing::AuthError;
use crate::store::{LedgerRow, Reversal};

/// Between two things that have an order by their time alone.
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
    /// Records that the commands' transnos name.
    pub records: Vec<Record>,
    /// Holds that the commands' transnos name.
    pub holds: Vec<Hold>,
    /// Records that reversals name by id.
    pub originals: Vec<Record>,
    /// What was taken back of those before.
    pub reversals: Vec<Reversal>,
    /// Holds that captures and releases name by id.
    pub named_holds: Vec<Hold>,
    /// Open holds of the customers whose time has run out.
    pub due_holds: Vec<Hold>,
}

/// The state that decisions move on.
pub(super) struct Ledger {
    customers: HashMap<CustomerId, Slot>,
    records: HashMap<(CustomerId, Transno), Record>,
    made_holds: HashMap<(CustomerId, Transno), Hold>,
    originals: HashMap<RecordId, Record>,
    reversed: HashMap<RecordId, Reversed>,
    holds: HashMap<RecordId, Hold>,
    default_mode: Mode,
    changes: Changes,
    /// Where a hold stands in `written`.
    written_holds: HashMap<RecordId, usize>,
}

/// What was taken back of a record.
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
}

/// Rows that follow from the decisions.
#[derive(Clone, Default)]
pub(super) struct Changes {
    /// Records to insert, in order.
    pub records: Vec<Record>,
    /// Holds to write: new ones, and what became of known ones.
    pub holds: Vec<Hold>,
    /// Reversals to insert.
    pub reversals: Vec<Reversal>,
    /// Customers to write back, by id.
    pub customers: Vec<Customer>,
}

/// What follows from a batch of commands.
pub(super) struct Decided {
    /// Rows to write.
    pub changes: Changes,
    /// One for each command.
    pub verdicts: Vec<Result<Outcome, Error>>,
}

impl Ledger {
    pub fn new(loaded: Loaded, default_mode: Mode) -> Self {
        let slot = |row: LedgerRow| {
            let now = time_of(&row);
            (row.customer.id.clone(), Slot { customer: row.customer, now, changed: false })
        };
        let mut reversed: HashMap<_, Reversed> = HashMap::new();
        for reversal in loaded.reversals {
            reversed.entry(reversal.original).or_default().add(reversal.amount);
        }
        let mut ledger = Self {
            customers: loaded.customers.into_iter().map(slot).collect(),
            records: loaded
                .records
                .into_iter()
                .map(|r| ((r.customer_id.clone(), r.transno.clone()), r))
                .collect(),
            made_holds: loaded
                .holds
                .into_iter()
                .map(|h| ((h.customer_id.clone(), h.transno.clone()), h))
                .collect(),
            originals: loaded.originals.into_iter().map(|r| (r.id, r)).collect(),
            reversed,
            holds: loaded.named_holds.into_iter().map(|h| (h.id, h)).collect(),
            default_mode,
            changes: Changes::default(),
            written_holds: HashMap::new(),
        };
        for hold in loaded.due_holds {
            ledger.expire(hold);
        }
        ledger
    }

    /// Decides the commands in order. `fresh[i]` says whether the nonce of command `i`, if it has
    /// one, was not used before.
    pub fn decide(mut self, commands: &[Command], fresh: &[bool]) -> Decided {
        let decide = |(command, fresh): (&Command, &bool)| {
            if *fresh { self.decide_one(command) } else { Err(Error::Auth(AuthError::Replay)) }
        };
        let verdicts = commands.iter().zip(fresh).map(decide).collect();
        let changed = self.customers.into_values().filter(|s| s.changed).map(|s| s.customer);
        self.changes.customers = changed.collect();
        self.changes.customers.sort_by(|a, b| a.id.cmp(&b.id));
        Decided { changes: self.changes, verdicts }
    }

    pub fn decide_one(&mut self, command: &Command) -> Result<Outcome, Error> {
        let request = &command.request;
        if !self.customers.contains_key(&request.customer_id) {
            return Err(Error::NotFound("customer"));
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
            Action::Book(entry) => self.book(command, entry).map(Outcome::Booked),
            Action::Reverse(reverse) => self.reverse(command, reverse).map(Outcome::Booked),
            Action::Hold(reserve) => self.reserve(command, reserve).map(Outcome::Reserved),
            Action::Capture(capture) => self.capture(command, capture).map(Outcome::Booked),
            Action::Release(id) => self.release(&request.customer_id, *id).map(Outcome::Reserved),
            // The due holds were closed when the ledger was made.
            Action::Expire => Ok(Outcome::Expired),
        }
    }

    /// What an earlier request with this transno came to, if there was one. A repetition has the same
    /// body; the same id means an earlier attempt of this very command, whose COMMIT was lost.
    fn earlier(&self, command: &Command, transno: &Transno) -> Option<Result<Outcome, Error>> {
        let key = (command.request.customer_id.clone(), transno.clone());
        let (hash, outcome) = if let Some(record) = self.records.get(&key) {
            let replayed = record.id != command.id;
            (record.body_hash, Outcome::Booked(Booked { record: record.clone(), replayed }))
        } else {
            let mut hold = self.made_holds.get(&key)?.clone();
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
    /// below zero, covered by `available`. Who has spent more than there is may not even be charged nothing.
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
