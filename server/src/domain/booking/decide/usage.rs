//! Usage: recorded whatever the balance, charged if the customer's usage is, counted once.

use std::collections::BTreeMap;

use super::super::command::Command;
use super::super::outcome::{Outcome, Used};
use super::super::request::{Amount, Usage};
use super::super::rules::MAX_AHEAD;
use super::{Ledger, Slot};
use crate::domain::Error;
use crate::domain::mirror::day_at;
use crate::domain::prices::{NoPrice, Quote};
use crate::model::{
    BookingDetails, Currency, CustomerId, GroupId, Hold, HoldState, HoldUse, Kind, Record, RecordId, Transno,
    Uncharged, UsageBilling, UsageDay, UsageRecord, UsageSums, UsageTotal,
};

/// The longest reason for a missing price that is kept, in bytes.
const MAX_REASON: usize = 1000;

/// The key of a row of `usage_daily`: customer, day, currency, user, group, model.
type DayKey = (CustomerId, String, Currency, [String; 3]);

/// Usage records of the transaction, and the sums over them.
#[derive(Default)]
pub(super) struct UsageChanges {
    days: BTreeMap<DayKey, UsageSums>,
    totals: BTreeMap<(CustomerId, String, Currency), UsageSums>,
    pub records: Vec<UsageRecord>,
}

impl UsageChanges {
    /// What the sums over a record's day come to with it; `None` if one would leave 64 bits.
    fn sums_with(&self, record: &UsageRecord, day: &str) -> Option<Summed> {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let details = &record.details;
        let group = record.group_id.as_ref().map(GroupId::as_str);
        let parts = [text(details.user_id.as_deref()), text(group), text(record.counted_model())];
        let total = (record.customer_id.clone(), day.to_owned(), record.currency);
        let day = (record.customer_id.clone(), day.to_owned(), record.currency, parts);
        let sums = UsageSums::of(record);
        let with = |before: Option<&UsageSums>| before.copied().unwrap_or_default().checked_add(sums);
        Some(Summed { sums: [with(self.days.get(&day))?, with(self.totals.get(&total))?], day, total })
    }

    fn add(&mut self, record: UsageRecord, summed: Summed) {
        let Summed { day, total, sums: [of_day, in_total] } = summed;
        self.days.insert(day, of_day);
        self.totals.insert(total, in_total);
        self.records.push(record);
    }

    pub fn days(&mut self) -> Vec<UsageDay> {
        let row = |(key, sums): (DayKey, UsageSums)| {
            let (customer_id, day, currency, [user_id, group_id, model]) = key;
            UsageDay { customer_id, day, user_id, group_id, model, currency, sums }
        };
        std::mem::take(&mut self.days).into_iter().map(row).collect()
    }

    pub fn totals(&mut self) -> Vec<UsageTotal> {
        let row = |((customer_id, day, currency), sums)| UsageTotal { customer_id, day, currency, sums };
        std::mem::take(&mut self.totals).into_iter().map(row).collect()
    }
}

/// The sums that a record is part of, with it.
struct Summed {
    day: DayKey,
    total: (CustomerId, String, Currency),
    sums: [UsageSums; 2],
}

/// The charge of usage, or why there is none.
type Charge = Result<Box<Record>, Uncharged>;

impl Ledger {
    /// Records usage. It is looked up before anything else is checked: a repetition gets the first answer.
    pub(super) fn record_usage(&mut self, command: &Command, usage: &Usage) -> Result<Outcome, Error> {
        let customer_id = &command.request.customer_id;
        let body_hash = command.request.body_hash;
        let name = (customer_id.clone(), usage.request_id.clone());
        if let Some(earlier) = self.used.get(&name) {
            if earlier.body_hash != body_hash {
                return Err(Error::RequestConflict);
            }
            return Ok(used(earlier.clone(), earlier.id != command.id));
        }
        let charged = self.charged_before(customer_id, &usage.transno);
        if charged.as_ref().is_some_and(|record| record.body_hash != body_hash) {
            return Err(Error::RequestConflict);
        }
        let slot = self.slot(customer_id)?;
        let received_at = slot.now.max(slot.customer.last_usage_at);
        let event_time = usage.event_time.unwrap_or(received_at);
        let (billing, currency) = (slot.customer.usage_billing, slot.customer.currency);
        let quote = match &usage.price {
            Amount::Quoted(quote) => Ok(&**quote),
            Amount::Unquoted(no_price) => Err(reason(no_price)),
            Amount::Given(_) | Amount::FromPriceList => {
                return Err(Error::Internal("usage was not priced".to_owned()));
            }
        };
        let details = &usage.details;
        let mut record = UsageRecord {
            id: command.id,
            customer_id: customer_id.clone(),
            useq: 0,
            request_id: usage.request_id.clone(),
            total_tokens: details.input_tokens.saturating_add(details.output_tokens),
            details: details.clone(),
            group_id: usage.group_id.clone(),
            source_node: usage.source_node.clone(),
            cost: quote.as_ref().ok().map(|quote| quote.amount),
            currency: quote.as_ref().map_or(currency, |quote| quote.currency),
            pricing_version: quote.as_ref().ok().map(|quote| quote.version),
            unrounded: quote.as_ref().ok().map(|quote| quote.unrounded.clone()),
            arithmetic: quote.as_ref().ok().map(|quote| quote.arithmetic.clone()),
            unpriced: quote.as_ref().err().cloned(),
            billing,
            uncharged: None,
            record_id: None,
            hold_id: usage.hold,
            hold_use: None,
            reservation_id: usage.reservation,
            reservation_use: None,
            body_hash,
            event_time,
            received_at,
        };
        if let Some(charged) = charged {
            // Its usage record was deleted since: it was counted then.
            record.id = charged.id;
            record.record_id = Some(charged.id);
            (record.cost, record.currency) = (Some(charged.amount), charged.currency);
            (record.pricing_version, record.unrounded) = (charged.pricing_version, charged.unrounded);
            (record.arithmetic, record.unpriced) = (charged.arithmetic, None);
            record.details.pricing_id = charged.details.pricing_id;
            (record.event_time, record.received_at) = (charged.event_time, charged.created_at);
            return Ok(used(record, true));
        }
        if event_time > received_at.plus(MAX_AHEAD) {
            return Err(Error::EventInFuture);
        }
        let oldest = self.rules.oldest_usage(received_at);
        if event_time < oldest {
            return Err(Error::EventTooOld(oldest));
        }
        let hold = self.usable_hold(customer_id, usage.hold);
        let charge = match (billing, &quote) {
            (UsageBilling::Log, _) => None,
            (UsageBilling::Book, Err(_)) => Some(Err(Uncharged::NoPrice)),
            (UsageBilling::Book, Ok(quote)) => {
                Some(self.usage_charge(command, usage, quote, hold.as_ref())?)
            }
        };
        record.uncharged = match &charge {
            Some(Err(why)) => Some(*why),
            Some(Ok(_)) | None => None,
        };
        let day = day_at(event_time, &self.rules.usage_zone);
        let slot = self.slot(customer_id)?;
        record.useq = slot.customer.last_useq + 1;
        if let Some(Ok(_)) = &charge {
            record.record_id = Some(record.id);
            // Kept once, in the ledger.
            record.arithmetic = None;
        }
        record.hold_use = match (usage.hold, &hold, &record.record_id) {
            (None, ..) => None,
            (Some(_), None, _) => Some(HoldUse::Unusable),
            (Some(_), Some(_), Some(_)) => Some(HoldUse::Captured),
            (Some(_), Some(_), None) => Some(HoldUse::Released),
        };
        // First what can refuse the record: nothing is counted of one that is not stored.
        let summed = self.usage.sums_with(&record, &day);
        let summed = summed.ok_or_else(|| Error::Internal("sums of usage would leave 64 bits".to_owned()))?;
        record.reservation_use = self.count_usage(customer_id, usage, event_time, record.total_tokens)?;
        self.usage.add(record.clone(), summed);
        let slot = self.slot(customer_id)?;
        (slot.customer.last_useq, slot.customer.last_usage_at) = (record.useq, received_at);
        slot.used = true;
        match (charge, hold) {
            (Some(Ok(booked)), None) => drop(self.append(*booked)?),
            (Some(Ok(booked)), Some(mut hold)) => {
                slot.customer.held = slot.customer.held.checked_sub(hold.amount).unwrap_or_default();
                let booked = self.append(*booked)?.record;
                (hold.state, hold.captured) = (HoldState::Captured, booked.amount);
                hold.updated_at = booked.created_at;
                self.write(hold);
            }
            (_, Some(hold)) => drop(self.release(customer_id, hold.id)?),
            (_, None) => {}
        }
        self.used.insert(name, record.clone());
        let arithmetic = quote.ok().map(|quote| quote.arithmetic.clone());
        Ok(used(UsageRecord { arithmetic, ..record }, false))
    }

    fn charged_before(&self, customer: &CustomerId, transno: &Transno) -> Option<Record> {
        let id = self.named.get(&(customer.clone(), transno.clone()))?;
        self.records.get(id).cloned()
    }

    fn usable_hold(&mut self, customer: &CustomerId, id: Option<RecordId>) -> Option<Hold> {
        let hold = self.holds.get(&id?).filter(|hold| hold.customer_id == *customer).cloned()?;
        let now = self.customers.get(customer)?.now;
        hold.is_open(now).then_some(hold)
    }

    /// The charge of usage, before it has its place in the ledger. Only what cannot be expressed keeps it from being booked.
    fn usage_charge(
        &mut self,
        command: &Command,
        usage: &Usage,
        quote: &Quote,
        hold: Option<&Hold>,
    ) -> Result<Charge, Error> {
        let slot = self.slot(&command.request.customer_id)?;
        let customer = &slot.customer;
        if quote.currency != customer.currency {
            return Ok(Err(Uncharged::OtherCurrency));
        }
        if quote.amount.is_negative() || customer.balance.checked_sub(quote.amount).is_none() {
            return Ok(Err(Uncharged::OutOfRange));
        }
        let kind = if hold.is_some() { Kind::Capture } else { Kind::Charge };
        let record = slot.record(command, &usage.transno, kind, quote.amount, quote.amount.negated());
        Ok(Ok(Box::new(Record {
            details: ledger_details(usage),
            pricing_version: Some(quote.version),
            unrounded: Some(quote.unrounded.clone()),
            arithmetic: Some(quote.arithmetic.clone()),
            hold_id: hold.map(|hold| hold.id),
            event_time: usage.event_time.unwrap_or(record.event_time),
            ..record
        })))
    }
}

impl Slot {
    /// Whether the place of its usage alone has changed.
    pub(super) fn only_used(&self) -> bool {
        self.used && !self.changed
    }
}

fn used(usage: UsageRecord, replayed: bool) -> Outcome {
    Outcome::Used(Box::new(Used { usage, replayed }))
}

fn ledger_details(usage: &Usage) -> BookingDetails {
    let details = &usage.details;
    BookingDetails {
        user_id: details.user_id.clone(),
        llmid: details.llmid.clone(),
        model_name: details.actual_model.clone().or_else(|| details.model.clone()),
        pricing_id: details.pricing_id.clone(),
        input_tokens: Some(details.input_tokens),
        output_tokens: Some(details.output_tokens),
        usage: details.usage.clone(),
        request_id: Some(usage.request_id.to_string()),
        note: None,
    }
}

fn reason(no_price: &NoPrice) -> String {
    let mut text = match no_price {
        NoPrice::NotFound(why) => why.clone(),
        NoPrice::OutOfRange => "the price is beyond the range of money".to_owned(),
    };
    while text.len() > MAX_REASON {
        text.pop();
    }
    text
}
