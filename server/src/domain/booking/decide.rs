//! The decision: locked customers and commands in, records and verdicts out. Pure.

use std::collections::HashMap;

use super::{Booked, Command};
use crate::domain::Error;
use crate::model::{Customer, CustomerId, CustomerStatus, Kind, Mode, Money, Record, Timestamp, Transno};
use crate::signing::AuthError;
use crate::store::LedgerRow;

/// What a transaction knows when it decides.
pub(super) struct Ledger {
    customers: HashMap<CustomerId, Entry>,
    prior: HashMap<(CustomerId, Transno), Record>,
    default_mode: Mode,
}

struct Entry {
    customer: Customer,
    now: Timestamp,
    changed: bool,
}

/// What follows from a batch of commands.
pub(super) struct Decided {
    /// Records to insert, in order.
    pub records: Vec<Record>,
    /// Customers to write back.
    pub customers: Vec<Customer>,
    /// One for each command.
    pub verdicts: Vec<Result<Booked, Error>>,
}

impl Ledger {
    /// Takes the customers that exist, locked, and the records that the commands' transnos name.
    pub fn new(rows: Vec<LedgerRow>, prior: Vec<Record>, default_mode: Mode) -> Self {
        let entry = |row: LedgerRow| {
            // The database reads its clock before it waits for the lock; time of a customer never goes back.
            let now = row.now.max(row.customer.updated_at);
            (row.customer.id.clone(), Entry { customer: row.customer, now, changed: false })
        };
        Self {
            customers: rows.into_iter().map(entry).collect(),
            prior: prior.into_iter().map(|r| ((r.customer_id.clone(), r.transno.clone()), r)).collect(),
            default_mode,
        }
    }

    /// Decides the commands in order. `fresh[i]` says whether the nonce of command `i`, if it has
    /// one, was not used before.
    pub fn decide(mut self, commands: &[Command], fresh: &[bool]) -> Decided {
        let mut records = Vec::with_capacity(commands.len());
        let verdicts = commands
            .iter()
            .zip(fresh)
            .map(|(command, fresh)| {
                if !fresh {
                    return Err(Error::Auth(AuthError::Replay));
                }
                let booked = self.decide_one(command)?;
                if booked.1 {
                    records.push(booked.0.record.clone());
                }
                Ok(booked.0)
            })
            .collect();
        let changed = self.customers.into_values().filter(|e| e.changed).map(|e| e.customer);
        let mut customers: Vec<_> = changed.collect();
        customers.sort_by(|a, b| a.id.cmp(&b.id));
        Decided { records, customers, verdicts }
    }

    /// The booking, and whether its record is new.
    fn decide_one(&mut self, command: &Command) -> Result<(Booked, bool), Error> {
        let request = &command.request;
        let entry = self.customers.get_mut(&request.customer_id).ok_or(Error::NotFound("customer"))?;
        let key = (request.customer_id.clone(), request.transno.clone());
        if let Some(record) = self.prior.get(&key) {
            if record.body_hash != request.body_hash {
                return Err(Error::TransnoConflict);
            }
            // The same id: an earlier attempt of this very command, whose COMMIT was lost.
            let replayed = record.id != command.record_id;
            return Ok((Booked { record: record.clone(), replayed }, false));
        }
        let customer = &mut entry.customer;
        if let Some(given) = request.currency
            && given != customer.currency
        {
            return Err(Error::CurrencyMismatch { expected: customer.currency, given });
        }
        let charges = matches!(request.kind, Kind::Charge | Kind::Capture);
        if charges && customer.status == CustomerStatus::Suspended {
            return Err(Error::CustomerSuspended);
        }
        let delta = if charges { request.amount.negated() } else { request.amount };
        let balance = customer.balance.checked_add(delta).ok_or(Error::AmountOutOfRange)?;
        let strict = customer.mode.unwrap_or(self.default_mode) == Mode::Strict;
        if delta.is_negative() && strict && customer.available_wide() < -delta.wide() {
            let available = customer.available();
            return Err(Error::InsufficientBalance { available, required: delta.negated() });
        }
        let record = append(customer, command, delta, balance, entry.now);
        entry.changed = true;
        self.prior.insert(key, record.clone());
        Ok((Booked { record, replayed: false }, true))
    }
}

/// Makes the record and moves the customer on.
fn append(
    customer: &mut Customer,
    command: &Command,
    delta: Money,
    balance: Money,
    now: Timestamp,
) -> Record {
    let request = &command.request;
    customer.balance = balance;
    customer.last_seq += 1;
    customer.version += 1;
    customer.updated_at = now;
    if delta.is_negative() {
        customer.last_consumption = Some(now);
    } else {
        customer.last_recharge = Some(now);
    }
    let mut record = Record {
        id: command.record_id,
        customer_id: customer.id.clone(),
        seq: customer.last_seq,
        transno: request.transno.clone(),
        kind: request.kind,
        amount: request.amount,
        delta,
        currency: customer.currency,
        user_id: request.user_id.clone(),
        llmid: request.llmid.clone(),
        model_name: request.model_name.clone(),
        pricing_id: request.pricing_id.clone(),
        pricing_version: None,
        input_tokens: request.input_tokens,
        output_tokens: request.output_tokens,
        usage: request.usage.clone(),
        unrounded: None,
        request_id: request.request_id.clone(),
        reverses: None,
        hold_id: None,
        note: request.note.clone(),
        balance_after: customer.balance,
        held_after: customer.held,
        available_after: customer.available(),
        body_hash: request.body_hash,
        prev_hash: customer.last_hash,
        hash: [0; 32],
        event_time: request.event_time.unwrap_or(now),
        created_at: now,
    };
    record.hash = record.chain_hash();
    customer.last_hash = record.hash;
    record
}
