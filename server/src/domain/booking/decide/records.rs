//! Records: what is booked, and what is taken back.

use super::super::command::Command;
use super::super::outcome::Booked;
use super::super::request::{Amount, Entry, Reverse};
use super::Ledger;
use crate::domain::Error;
use crate::model::{BookingDetails, CustomerStatus, Kind, Money, Record};
use crate::store::Reversal;

/// Reversals of parts of one record. Each further one reads them all, under the customer's lock.
const MAX_PARTS: usize = 1000;

impl Ledger {
    pub(super) fn book(&mut self, command: &Command, entry: &Entry) -> Result<Booked, Error> {
        let mode = self.rules.mode;
        let slot = self.slot(&command.request.customer_id)?;
        slot.same_currency(entry.currency)?;
        let charges = entry.kind == Kind::Charge;
        if charges && slot.customer.status == CustomerStatus::Suspended {
            return Err(Error::CustomerSuspended);
        }
        let (amount, quote) = match &entry.amount {
            Amount::Given(amount) => (*amount, None),
            Amount::Quoted(quote) => {
                slot.same_currency(Some(quote.currency))?;
                (quote.amount, Some(&**quote))
            }
            Amount::Unquoted(no_price) => return Err(no_price.clone().into()),
            Amount::FromPriceList => return Err(Error::Internal("a booking was not priced".to_owned())),
        };
        let delta = if charges { amount.negated() } else { amount };
        slot.affords(delta, slot.customer.available_wide(), mode)?;
        let record = slot.record(command, &entry.transno, entry.kind, amount, delta);
        self.append(Record {
            details: entry.details.clone(),
            pricing_version: quote.map(|quote| quote.version),
            unrounded: quote.map(|quote| quote.unrounded.clone()),
            arithmetic: quote.map(|quote| quote.arithmetic.clone()),
            event_time: entry.event_time.unwrap_or(record.event_time),
            ..record
        })
    }

    pub(super) fn reverse(&mut self, command: &Command, reverse: &Reverse) -> Result<Booked, Error> {
        let (mode, customer_id) = (self.rules.mode, &command.request.customer_id);
        let original = self.records.get(&reverse.record).filter(|r| r.customer_id == *customer_id);
        let original = original.ok_or(Error::NotFound("accounting record"))?;
        if original.kind == Kind::Reversal {
            return Err(Error::ReversalExceeds("a reversal cannot be reversed".to_owned()));
        }
        if !reverse.of_any_kind && !matches!(original.kind, Kind::Charge | Kind::Capture) {
            return Err(Error::KindForbidden(original.kind));
        }
        let taken = self.reversed.get(&original.id).copied().unwrap_or_default();
        let left = Money::from_wide(original.delta.wide().abs() - taken.amount).unwrap_or_default();
        let amount = reverse.amount.unwrap_or(left);
        if amount > left || amount == Money::ZERO {
            return Err(Error::ReversalExceeds(format!("{left} of the record is left to reverse")));
        }
        if taken.parts >= MAX_PARTS && amount < left {
            return Err(Error::ReversalExceeds(format!(
                "{MAX_PARTS} parts of the record are reversed; reverse what is left, {left}, at once"
            )));
        }
        let delta = if original.delta.is_negative() { amount } else { amount.negated() };
        let id = original.id;
        let details = BookingDetails {
            user_id: original.details.user_id.clone(),
            llmid: original.details.llmid.clone(),
            model_name: original.details.model_name.clone(),
            request_id: original.details.request_id.clone(),
            note: reverse.note.clone(),
            ..BookingDetails::default()
        };
        let slot = self.slot(customer_id)?;
        slot.affords(delta, slot.customer.available_wide(), mode)?;
        let record = slot.record(command, &reverse.transno, Kind::Reversal, amount, delta);
        let booked = self.append(Record { details, reverses: Some(id), ..record })?;
        self.reversed.entry(id).or_default().add(amount);
        self.changes.reversals.push(Reversal { original: id, reversal: booked.record.id, amount });
        Ok(booked)
    }

    /// Gives a record its place in the ledger and moves its customer on.
    pub(super) fn append(&mut self, mut record: Record) -> Result<Booked, Error> {
        let slot = self.slot(&record.customer_id)?;
        let (customer, now) = (&mut slot.customer, slot.now);
        customer.balance = customer.balance.checked_add(record.delta).ok_or(Error::AmountOutOfRange)?;
        customer.last_seq += 1;
        // A charge may come to nothing.
        if record.delta.is_negative() || record.kind == Kind::Charge {
            customer.last_consumption = Some(now);
        } else {
            customer.last_recharge = Some(now);
        }
        record.seq = customer.last_seq;
        record.balance_after = customer.balance;
        record.held_after = customer.held;
        record.available_after = customer.available();
        record.prev_hash = customer.last_hash;
        record.hash = record.chain_hash();
        customer.last_hash = record.hash;
        slot.touch();
        self.named.insert((record.customer_id.clone(), record.transno.clone()), record.id);
        self.records.insert(record.id, record.clone());
        self.changes.records.push(record.clone());
        Ok(Booked { record, replayed: false })
    }
}
