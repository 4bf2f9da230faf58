//! Records: what is booked, and what is taken back.

use super::super::{Amount, Booked, BookingDetails, Command, Entry, Reverse};
use super::Ledger;
use crate::domain::Error;
use crate::domain::prices::Quote;
use crate::model::{Customer, CustomerStatus, Kind, Money, Record, RecordId, Timestamp, Transno};
use crate::store::Reversal;

/// Reversals of parts of one record. Each further one reads them all, under the customer's lock.
const MAX_PARTS: usize = 1000;

impl Ledger {
    pub(super) fn book(&mut self, command: &Command, entry: &Entry) -> Result<Booked, Error> {
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
                slot.same_currency(Some(quote.currency))?;
                (quote.amount, Some(&**quote))
            }
            Amount::Unquoted(no_price) => return Err(no_price.clone().into()),
        };
        let delta = if charges { amount.negated() } else { amount };
        slot.affords(delta, slot.customer.available_wide(), mode)?;
        let (kind, details) = (entry.kind, &entry.details);
        let draft = Draft { transno: &entry.transno, kind, amount, delta, details, quote };
        self.append(command, &draft, None, None)
    }

    pub(super) fn reverse(&mut self, command: &Command, reverse: &Reverse) -> Result<Booked, Error> {
        let (mode, customer_id) = (self.default_mode, &command.request.customer_id);
        let original = self.originals.get(&reverse.record).filter(|r| r.customer_id == *customer_id);
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
            user_id: original.user_id.clone(),
            llmid: original.llmid.clone(),
            model_name: original.model_name.clone(),
            request_id: original.request_id.clone(),
            note: reverse.note.clone(),
            ..BookingDetails::default()
        };
        let slot = self.slot(customer_id)?;
        slot.affords(delta, slot.customer.available_wide(), mode)?;
        let draft = Draft {
            transno: &reverse.transno,
            kind: Kind::Reversal,
            amount,
            delta,
            details: &details,
            quote: None,
        };
        let booked = self.append(command, &draft, Some(id), None)?;
        self.reversed.entry(id).or_default().add(amount);
        self.changes.reversals.push(Reversal { original: id, reversal: booked.record.id, amount });
        Ok(booked)
    }

    /// Makes the record and moves the customer on.
    pub(super) fn append(
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
        self.changes.records.push(record.clone());
        Ok(Booked { record, replayed: false })
    }
}

/// A record before it has its place in the ledger.
pub(super) struct Draft<'a> {
    pub transno: &'a Transno,
    pub kind: Kind,
    pub amount: Money,
    pub delta: Money,
    pub details: &'a BookingDetails,
    pub quote: Option<&'a Quote>,
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
        let details = self.details;
        let mut record = Record {
            id: command.id,
            customer_id: customer.id.clone(),
            seq: customer.last_seq,
            transno: self.transno.clone(),
            kind: self.kind,
            amount: self.amount,
            delta: self.delta,
            currency: customer.currency,
            user_id: details.user_id.clone(),
            llmid: details.llmid.clone(),
            model_name: details.model_name.clone(),
            pricing_id: details.pricing_id.clone(),
            pricing_version: self.quote.map(|quote| quote.version),
            input_tokens: details.input_tokens,
            output_tokens: details.output_tokens,
            usage: details.usage.clone(),
            unrounded: self.quote.map(|quote| quote.unrounded.clone()),
            arithmetic: self.quote.map(|quote| quote.arithmetic.clone()),
            request_id: details.request_id.clone(),
            reverses,
            hold_id,
            note: details.note.clone(),
            balance_after: customer.balance,
            held_after: customer.held,
            available_after: customer.available(),
            body_hash: command.request.body_hash,
            prev_hash: customer.last_hash,
            hash: [0; 32],
            event_time: details.event_time.unwrap_or(now),
            created_at: now,
        };
        record.hash = record.chain_hash();
        record
    }
}
