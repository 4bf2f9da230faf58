//! The decision: locked customers and commands in, records, holds and outcomes out. Pure.

use std::collections::HashMap;

use super::{About, Action, Amount, Booked, Capture, Command, Entry, Outcome, Reserve, Reserved, Reverse};
use crate::domain::Error;
use crate::domain::prices::Quote;
use crate::model::{
    Customer, CustomerId, CustomerStatus, Hold, HoldState, Kind, Mode, Money, Record, RecordId, Timestamp,
    Transno,
};
use crate::signing::AuthError;
use crate::store::{LedgerRow, Reversal};

/// What a transaction read before it decides, all of it under the customers' locks.
#[derive(Default)]
pub(super) struct Found {
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
    reversed: HashMap<RecordId, i128>,
    holds: HashMap<RecordId, Hold>,
    default_mode: Mode,
    written: Written,
}

struct Slot {
    customer: Customer,
    now: Timestamp,
    changed: bool,
}

/// Rows that follow from the decisions.
#[derive(Clone, Default)]
pub(super) struct Written {
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
    pub written: Written,
    /// One for each command.
    pub verdicts: Vec<Result<Outcome, Error>>,
}

impl Ledger {
    pub fn new(found: Found, default_mode: Mode) -> Self {
        let slot = |row: LedgerRow| {
            // The database reads its clock before it waits for the lock; time of a customer never goes back.
            let now = row.now.max(row.customer.updated_at);
            (row.customer.id.clone(), Slot { customer: row.customer, now, changed: false })
        };
        let mut reversed = HashMap::new();
        for reversal in found.reversals {
            *reversed.entry(reversal.original).or_default() += reversal.amount.wide();
        }
        let mut ledger = Self {
            customers: found.customers.into_iter().map(slot).collect(),
            records: found
                .records
                .into_iter()
                .map(|r| ((r.customer_id.clone(), r.transno.clone()), r))
                .collect(),
            made_holds: found
                .holds
                .into_iter()
                .map(|h| ((h.customer_id.clone(), h.transno.clone()), h))
                .collect(),
            originals: found.originals.into_iter().map(|r| (r.id, r)).collect(),
            reversed,
            holds: found.named_holds.into_iter().map(|h| (h.id, h)).collect(),
            default_mode,
            written: Written::default(),
        };
        for hold in found.due_holds {
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
        self.written.customers = changed.collect();
        self.written.customers.sort_by(|a, b| a.id.cmp(&b.id));
        Decided { written: self.written, verdicts }
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

    fn book(&mut self, command: &Command, entry: &Entry) -> Result<Booked, Error> {
        let mode = self.default_mode;
        let slot = self.slot(&command.request.customer_id)?;
        slot.same_currency(entry.currency)?;
        let charges = entry.kind == Kind::Charge;
        if charges && slot.customer.status == CustomerStatus::Suspended {
            return Err(Error::CustomerSuspended);
        }
        let (amount, quote) = match &entry.amount {
            Amount::Given(amount) => (*amount, None),
            Amount::Quoted(quote) => {
                slot.same_currency(quote.currency)?;
                (quote.amount, Some(&**quote))
            }
            Amount::Unquoted(no_price) => return Err(no_price.clone().into()),
        };
        let delta = if charges { amount.negated() } else { amount };
        slot.affords(delta, slot.customer.available_wide(), mode)?;
        let (kind, about) = (entry.kind, &entry.about);
        let draft = Draft { transno: &entry.transno, kind, amount, delta, about, quote };
        self.append(command, &draft, None, None)
    }

    fn reverse(&mut self, command: &Command, reverse: &Reverse) -> Result<Booked, Error> {
        let (mode, customer_id) = (self.default_mode, &command.request.customer_id);
        let original = self.originals.get(&reverse.record).filter(|r| r.customer_id == *customer_id);
        let original = original.ok_or(Error::NotFound("accounting record"))?;
        if original.kind == Kind::Reversal {
            return Err(Error::ReversalExceeds("a reversal cannot be reversed".to_owned()));
        }
        let taken = self.reversed.get(&original.id).copied().unwrap_or(0);
        let left = Money::from_wide(original.delta.wide().abs() - taken).unwrap_or_default();
        let amount = reverse.amount.unwrap_or(left);
        if amount > left || amount == Money::ZERO {
            return Err(Error::ReversalExceeds(format!("{left} of the record is left to reverse")));
        }
        let delta = if original.delta.is_negative() { amount } else { amount.negated() };
        let id = original.id;
        let about = About {
            user_id: original.user_id.clone(),
            llmid: original.llmid.clone(),
            model_name: original.model_name.clone(),
            request_id: original.request_id.clone(),
            note: reverse.note.clone(),
            ..About::default()
        };
        let slot = self.slot(customer_id)?;
        slot.affords(delta, slot.customer.available_wide(), mode)?;
        let draft = Draft {
            transno: &reverse.transno,
            kind: Kind::Reversal,
            amount,
            delta,
            about: &about,
            quote: None,
        };
        let booked = self.append(command, &draft, Some(id), None)?;
        *self.reversed.entry(id).or_default() += amount.wide();
        self.written.reversals.push(Reversal { original: id, reversal: booked.record.id, amount });
        Ok(booked)
    }

    fn reserve(&mut self, command: &Command, reserve: &Reserve) -> Result<Reserved, Error> {
        let mode = self.default_mode;
        let slot = self.slot(&command.request.customer_id)?;
        slot.same_currency(reserve.currency)?;
        if slot.customer.status == CustomerStatus::Suspended {
            return Err(Error::CustomerSuspended);
        }
        slot.affords(reserve.amount.negated(), slot.customer.available_wide(), mode)?;
        let held = slot.customer.held.checked_add(reserve.amount).ok_or(Error::AmountOutOfRange)?;
        slot.customer.held = held;
        slot.customer.holds_made += 1;
        slot.touch();
        let (customer, now) = (slot.customer.clone(), slot.now);
        let hold = Hold {
            id: command.id,
            customer_id: customer.id.clone(),
            transno: reserve.transno.clone(),
            amount: reserve.amount,
            captured: Money::ZERO,
            currency: customer.currency,
            state: HoldState::Open,
            expires_at: now.plus(reserve.ttl),
            user_id: reserve.user_id.clone(),
            note: reserve.note.clone(),
            body_hash: command.request.body_hash,
            balance_after: customer.balance,
            held_after: held,
            available_after: customer.available(),
            created_at: now,
            updated_at: now,
        };
        self.made_holds.insert((hold.customer_id.clone(), hold.transno.clone()), hold.clone());
        self.holds.insert(hold.id, hold.clone());
        self.write_hold(hold.clone());
        Ok(Reserved { hold, customer: Some(customer), replayed: false })
    }

    fn capture(&mut self, command: &Command, capture: &Capture) -> Result<Booked, Error> {
        let (mode, customer_id) = (self.default_mode, &command.request.customer_id);
        let hold = self.holds.get(&capture.hold).filter(|h| h.customer_id == *customer_id).cloned();
        let mut hold = hold.ok_or(Error::NotFound("hold"))?;
        let slot = self.slot(customer_id)?;
        if !hold.is_open(slot.now) {
            return Err(Error::HoldClosed(hold.state_at(slot.now)));
        }
        let amount = capture.amount.unwrap_or(hold.amount);
        // Within the hold the money is there by right; above it the usual checks decide.
        if amount > hold.amount {
            if slot.customer.status == CustomerStatus::Suspended {
                return Err(Error::CustomerSuspended);
            }
            slot.affords(amount.negated(), slot.customer.available_wide() + hold.amount.wide(), mode)?;
        } else if slot.customer.balance.checked_sub(amount).is_none() {
            return Err(Error::AmountOutOfRange);
        }
        slot.customer.held = slot.customer.held.checked_sub(hold.amount).unwrap_or_default();
        let about = About { user_id: hold.user_id.clone(), note: hold.note.clone(), ..About::default() };
        let draft = Draft {
            transno: &capture.transno,
            kind: Kind::Capture,
            amount,
            delta: amount.negated(),
            about: &about,
            quote: None,
        };
        let booked = self.append(command, &draft, None, Some(hold.id))?;
        (hold.state, hold.captured, hold.updated_at) =
            (HoldState::Captured, amount, booked.record.created_at);
        self.close(hold);
        Ok(booked)
    }

    fn release(&mut self, customer_id: &CustomerId, id: RecordId) -> Result<Reserved, Error> {
        let hold = self.holds.get(&id).filter(|h| h.customer_id == *customer_id).cloned();
        let mut hold = hold.ok_or(Error::NotFound("hold"))?;
        let slot = self.slot(customer_id)?;
        match hold.state_at(slot.now) {
            HoldState::Captured => return Err(Error::HoldClosed(HoldState::Captured)),
            // Nothing is reserved any more, which is what the caller wants.
            state @ (HoldState::Released | HoldState::Expired) => {
                hold.state = state;
                let customer = Some(slot.customer.clone());
                return Ok(Reserved { hold, customer, replayed: true });
            }
            HoldState::Open => {}
        }
        slot.customer.held = slot.customer.held.checked_sub(hold.amount).unwrap_or_default();
        slot.touch();
        (hold.state, hold.updated_at) = (HoldState::Released, slot.now);
        let customer = Some(slot.customer.clone());
        self.close(hold.clone());
        Ok(Reserved { hold, customer, replayed: false })
    }

    /// Closes a hold whose time has run out.
    fn expire(&mut self, mut hold: Hold) {
        let Some(slot) = self.customers.get_mut(&hold.customer_id) else { return };
        if hold.is_open(slot.now) || hold.state != HoldState::Open {
            return;
        }
        slot.customer.held = slot.customer.held.checked_sub(hold.amount).unwrap_or_default();
        slot.touch();
        (hold.state, hold.updated_at) = (HoldState::Expired, slot.now);
        self.close(hold);
    }

    /// Remembers what became of a hold.
    fn close(&mut self, hold: Hold) {
        if let Some(named) = self.holds.get_mut(&hold.id) {
            *named = hold.clone();
        }
        self.write_hold(hold);
    }

    /// One row per hold, however often a batch touches it.
    fn write_hold(&mut self, hold: Hold) {
        match self.written.holds.iter_mut().find(|h| h.id == hold.id) {
            Some(row) => *row = hold,
            None => self.written.holds.push(hold),
        }
    }

    /// Makes the record and moves the customer on.
    fn append(
        &mut self,
        command: &Command,
        draft: &Draft<'_>,
        reverses: Option<RecordId>,
        hold_id: Option<RecordId>,
    ) -> Result<Booked, Error> {
        let slot = self.slot(&command.request.customer_id)?;
        let (customer, now) = (&mut slot.customer, slot.now);
        customer.balance = customer.balance.checked_add(draft.delta).ok_or(Error::AmountOutOfRange)?;
        customer.last_seq += 1;
        // A charge may come to nothing.
        if draft.delta.is_negative() || draft.kind == Kind::Charge {
            customer.last_consumption = Some(now);
        } else {
            customer.last_recharge = Some(now);
        }
        let record = draft.record(command, customer, now, reverses, hold_id);
        customer.last_hash = record.hash;
        slot.touch();
        self.records.insert((record.customer_id.clone(), record.transno.clone()), record.clone());
        self.originals.insert(record.id, record.clone());
        self.written.records.push(record.clone());
        Ok(Booked { record, replayed: false })
    }
}

impl Slot {
    fn touch(&mut self) {
        self.customer.version += 1;
        self.customer.updated_at = self.now;
        self.changed = true;
    }

    fn same_currency(&self, given: Option<crate::model::Currency>) -> Result<(), Error> {
        match given {
            Some(given) if given != self.customer.currency => {
                Err(Error::CurrencyMismatch { expected: self.customer.currency, given })
            }
            _ => Ok(()),
        }
    }

    /// Whether the balance may move by `delta`: within the range of money, and, unless the customer
    /// may go below zero, covered by `available`.
    fn affords(&self, delta: Money, available: i128, default_mode: Mode) -> Result<(), Error> {
        let customer = &self.customer;
        customer.balance.checked_add(delta).ok_or(Error::AmountOutOfRange)?;
        let strict = customer.mode.unwrap_or(default_mode) == Mode::Strict;
        if strict && delta.is_negative() && available < -delta.wide() {
            let max = Money::MAX.wide();
            let available = Money::from_wide(available.clamp(-max, max)).unwrap_or_default();
            return Err(Error::InsufficientBalance { available, required: delta.negated() });
        }
        Ok(())
    }
}

/// A record before it has its place in the ledger.
struct Draft<'a> {
    transno: &'a Transno,
    kind: Kind,
    amount: Money,
    delta: Money,
    about: &'a About,
    quote: Option<&'a Quote>,
}

impl Draft<'_> {
    fn record(
        &self,
        command: &Command,
        customer: &Customer,
        now: Timestamp,
        reverses: Option<RecordId>,
        hold_id: Option<RecordId>,
    ) -> Record {
        let about = self.about;
        let mut record = Record {
            id: command.id,
            customer_id: customer.id.clone(),
            seq: customer.last_seq,
            transno: self.transno.clone(),
            kind: self.kind,
            amount: self.amount,
            delta: self.delta,
            currency: customer.currency,
            user_id: about.user_id.clone(),
            llmid: about.llmid.clone(),
            model_name: about.model_name.clone(),
            pricing_id: about.pricing_id.clone(),
            pricing_version: self.quote.map(|quote| quote.version),
            input_tokens: about.input_tokens,
            output_tokens: about.output_tokens,
            usage: about.usage.clone(),
            unrounded: self.quote.map(|quote| quote.unrounded.clone()),
            arithmetic: self.quote.map(|quote| quote.arithmetic.clone()),
            request_id: about.request_id.clone(),
            reverses,
            hold_id,
            note: about.note.clone(),
            balance_after: customer.balance,
            held_after: customer.held,
            available_after: customer.available(),
            body_hash: command.request.body_hash,
            prev_hash: customer.last_hash,
            hash: [0; 32],
            event_time: about.event_time.unwrap_or(now),
            created_at: now,
        };
        record.hash = record.chain_hash();
        record
    }
}
