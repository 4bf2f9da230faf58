//! What becomes of holds.

use super::super::command::Command;
use super::super::outcome::{Booked, Reserved};
use super::super::request::{Capture, Reserve};
use super::{Ledger, TICK};
use crate::domain::Error;
use crate::model::{
    BookingDetails, CustomerId, CustomerStatus, Hold, HoldState, Kind, Money, Record, RecordId,
};

impl Ledger {
    pub(super) fn reserve(&mut self, command: &Command, reserve: &Reserve) -> Result<Reserved, Error> {
        let mode = self.rules.mode;
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
        // Holds are listed by their time: the next one comes later, even in this commit.
        slot.now = now.plus(TICK);
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
        self.named.insert((hold.customer_id.clone(), hold.transno.clone()), hold.id);
        self.write(hold.clone());
        Ok(Reserved { hold, customer: Some(customer), replayed: false })
    }

    pub(super) fn capture(&mut self, command: &Command, capture: &Capture) -> Result<Booked, Error> {
        let (mode, customer_id) = (self.rules.mode, &command.request.customer_id);
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
        let details = BookingDetails {
            user_id: hold.user_id.clone(),
            note: hold.note.clone(),
            ..BookingDetails::default()
        };
        let record = slot.record(command, &capture.transno, Kind::Capture, amount, amount.negated());
        let booked = self.append(Record { details, hold_id: Some(hold.id), ..record })?;
        (hold.state, hold.captured, hold.updated_at) =
            (HoldState::Captured, amount, booked.record.created_at);
        self.write(hold);
        Ok(booked)
    }

    pub(super) fn release(&mut self, customer_id: &CustomerId, id: RecordId) -> Result<Reserved, Error> {
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
        self.write(hold.clone());
        Ok(Reserved { hold, customer, replayed: false })
    }

    /// Closes a hold whose time has run out.
    pub(super) fn expire(&mut self, mut hold: Hold) {
        let Some(slot) = self.customers.get_mut(&hold.customer_id) else { return };
        if hold.is_open(slot.now) || hold.state != HoldState::Open {
            return;
        }
        slot.customer.held = slot.customer.held.checked_sub(hold.amount).unwrap_or_default();
        slot.touch();
        (hold.state, hold.updated_at) = (HoldState::Expired, slot.now);
        self.write(hold);
    }

    /// Writes a hold, once however often a batch changes it.
    pub(super) fn write(&mut self, hold: Hold) {
        self.changed_holds.insert(hold.id);
        self.holds.insert(hold.id, hold);
    }
}
