//! Quotas: checks, and what becomes of their reservations, decided under the customer's lock as money is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use jiff::tz::TimeZone;

use super::super::command::Command;
use super::super::outcome::{Checked, Kept, Outcome};
use super::super::request::{QuotaCheck, Usage};
use super::{Ledger, Subject, TICK};
use crate::domain::Error;
use crate::domain::quota::{self, Counted, Counters, Reservation, Ring};
use crate::model::{
    CounterKind, CustomerId, QuotaCounter, QuotaReservation, RecordId, ReservationState, ReservationUse,
    Timestamp, Window,
};
use crate::store::QuotaRows;

/// The quotas that decisions move on.
#[derive(Default)]
pub(super) struct Quotas {
    counters: BTreeMap<Subject, Counters>,
    reservations: HashMap<RecordId, QuotaReservation>,
    changed: BTreeSet<Subject>,
    changed_reservations: BTreeSet<RecordId>,
}

impl Quotas {
    pub fn new(loaded: QuotaRows) -> Self {
        let mut counters: BTreeMap<Subject, Counters> = BTreeMap::new();
        for row in loaded.counters {
            let subject = (row.customer_id.clone(), row.user_id.clone());
            let counted = Counted {
                window: Window { start: row.window_start, end: row.window_end },
                used: row.used,
                reserved: row.reserved,
            };
            let counters = counters.entry(subject).or_default();
            // The newest row of each kind counts.
            let newest = |known: &mut Option<Counted>| {
                if known.is_none_or(|known| known.window.start < counted.window.start) {
                    *known = Some(counted);
                }
            };
            match row.kind {
                CounterKind::Day => newest(&mut counters.day),
                CounterKind::Month => newest(&mut counters.month),
                CounterKind::Live => {
                    (counters.ring, counters.open) = (Ring::parse(&row.ring), row.reserved);
                }
            }
        }
        let reservations = loaded.reservations.into_iter().map(|r| (r.id, r)).collect();
        Self { counters, reservations, ..Self::default() }
    }

    fn counters(&self, subject: &Subject) -> Counters {
        self.counters.get(subject).cloned().unwrap_or_default()
    }

    fn set(&mut self, subject: &Subject, counters: Counters) {
        if self.counters.get(subject) != Some(&counters) {
            self.changed.insert(subject.clone());
            self.counters.insert(subject.clone(), counters);
        }
    }

    fn write(&mut self, reservation: QuotaReservation) {
        self.changed_reservations.insert(reservation.id);
        self.reservations.insert(reservation.id, reservation);
    }

    /// Closes a reservation for which so much was used.
    fn close(
        &mut self,
        mut reservation: QuotaReservation,
        state: ReservationState,
        actual: i64,
        now: Timestamp,
    ) {
        let subject = (reservation.customer_id.clone(), reservation.user_id.clone());
        let counters = quota::settle(&self.counters(&subject), &reserved(&reservation), actual, now);
        self.set(&subject, counters);
        (reservation.state, reservation.open_request_id, reservation.updated_at) = (state, None, now);
        self.write(reservation);
    }

    /// Closes those whose time has run out, which have been read.
    pub fn expire(&mut self, now_of: impl Fn(&CustomerId) -> Option<Timestamp>) {
        let due = |reservation: &&QuotaReservation| {
            reservation.state == ReservationState::Open
                && now_of(&reservation.customer_id).is_some_and(|now| reservation.expires_at <= now)
        };
        let mut due: Vec<_> = self.reservations.values().filter(due).cloned().collect();
        due.sort_by_key(|reservation| reservation.id);
        for reservation in due {
            let Some(now) = now_of(&reservation.customer_id) else { continue };
            self.close(reservation, ReservationState::Expired, 0, now);
        }
    }

    /// The rows to write.
    pub fn into_changes(mut self) -> (Vec<QuotaCounter>, Vec<QuotaReservation>) {
        let mut rows = Vec::new();
        for subject in &self.changed {
            if let Some(counters) = self.counters.get(subject) {
                push_rows(&mut rows, subject, counters);
            }
        }
        let changed = std::mem::take(&mut self.changed_reservations);
        let changed = changed.iter().filter_map(|id| self.reservations.remove(id));
        let mut reservations: Vec<_> = changed.collect();
        // A name is free for a new reservation once the row of the one that had it is written.
        reservations.sort_by_key(|reservation| reservation.state == ReservationState::Open);
        (rows, reservations)
    }
}

fn push_rows(rows: &mut Vec<QuotaCounter>, (customer_id, user_id): &Subject, counters: &Counters) {
    let row = |kind, window: Window, used, reserved, ring| QuotaCounter {
        customer_id: customer_id.clone(),
        user_id: user_id.clone(),
        kind,
        window_start: window.start,
        window_end: window.end,
        used,
        reserved,
        ring,
    };
    for (kind, counted) in [(CounterKind::Day, counters.day), (CounterKind::Month, counters.month)] {
        rows.extend(counted.map(|c| row(kind, c.window, c.used, c.reserved, Vec::new())));
    }
    let always = Window { start: Timestamp::default(), end: Timestamp::from_micros(i64::MAX) };
    rows.push(row(CounterKind::Live, always, 0, counters.open, counters.ring.to_bytes()));
}

fn reserved(reservation: &QuotaReservation) -> Reservation {
    Reservation {
        declared: reservation.declared,
        day: reservation.day_start,
        month: reservation.month_start,
        expires_at: reservation.expires_at,
    }
}

impl Ledger {
    /// Whether a user may go on: an outcome either way. Every admitted check writes its counters, so that a database that
    /// certifies writes (Galera) sees it.
    pub(super) fn check_quota(&mut self, command: &Command, asked: &QuotaCheck) -> Result<Outcome, Error> {
        let customer_id = &command.request.customer_id;
        let now = self.slot(customer_id)?.now;
        let subject = (customer_id.clone(), asked.user_id.clone());
        let counters = self.quotas.counters(&subject);
        let earlier = self.quotas.reservations.values().find(|reservation| {
            let theirs = reservation.customer_id == *customer_id && reservation.user_id == asked.user_id;
            let named = asked.request_id.is_some() && reservation.open_request_id == asked.request_id;
            theirs && (reservation.id == command.id || named)
        });
        if let Some(reservation) = earlier.cloned() {
            return Ok(Outcome::Checked(Box::new(Checked {
                replayed: reservation.id != command.id,
                admitted: Ok(reservation),
                limits: quota::states(&asked.limits, &counters, now, &asked.zone),
                retry_after: None,
                now,
            })));
        }
        let decision = quota::check(&asked.limits, &counters, &asked.check, now, &asked.zone);
        let admitted = decision.admitted.map(|reserved| QuotaReservation {
            id: command.id,
            customer_id: customer_id.clone(),
            user_id: asked.user_id.clone(),
            request_id: asked.request_id.clone(),
            open_request_id: asked.request_id.clone(),
            declared: reserved.declared,
            day_start: reserved.day,
            month_start: reserved.month,
            state: ReservationState::Open,
            expires_at: reserved.expires_at,
            created_at: now,
            updated_at: now,
        });
        if let Ok(reservation) = &admitted {
            self.quotas.set(&subject, decision.counters);
            self.quotas.write(reservation.clone());
        }
        let (limits, retry_after) = (decision.limits, decision.retry_after);
        Ok(Outcome::Checked(Box::new(Checked { admitted, limits, retry_after, now, replayed: false })))
    }

    /// Counts the tokens of a usage record, in the windows of its reservation if it names one that is open.
    pub(super) fn count_usage(
        &mut self,
        customer_id: &CustomerId,
        usage: &Usage,
        event_time: Timestamp,
        tokens: i64,
    ) -> Result<Option<ReservationUse>, Error> {
        let now = self.slot(customer_id)?.now;
        let named = usage.reservation.and_then(|id| self.quotas.reservations.get(&id));
        let open = named.filter(|reservation| {
            reservation.customer_id == *customer_id
                && usage.details.user_id.as_ref().is_none_or(|user| *user == reservation.user_id)
                && reservation.state == ReservationState::Open
        });
        if let Some(reservation) = open.cloned() {
            self.quotas.close(reservation, ReservationState::Settled, tokens, now);
            return Ok(Some(ReservationUse::Settled));
        }
        if let Some(user) = &usage.details.user_id {
            let subject = (customer_id.clone(), user.clone());
            let counters = self.quotas.counters(&subject);
            let zone: &TimeZone = &usage.quota_zone;
            let counters = quota::use_without_reservation(&counters, event_time, tokens, now, zone);
            self.quotas.set(&subject, counters);
        }
        Ok(usage.reservation.map(|_| ReservationUse::Unusable))
    }

    /// Gives a reservation back. One that is closed stays as it is.
    pub(super) fn release_quota(&mut self, customer_id: &CustomerId, id: RecordId) -> Result<Outcome, Error> {
        let now = self.slot(customer_id)?.now;
        let reservation = self.own_reservation(customer_id, id)?;
        let replayed = reservation.state != ReservationState::Open;
        if !replayed {
            self.quotas.close(reservation, ReservationState::Released, 0, now);
        }
        let reservation = self.own_reservation(customer_id, id)?;
        Ok(Outcome::Kept(Box::new(Kept { reservation, replayed })))
    }

    /// Keeps an open reservation open for so long from now on.
    pub(super) fn extend_quota(
        &mut self,
        customer_id: &CustomerId,
        id: RecordId,
        ttl: Duration,
    ) -> Result<Outcome, Error> {
        let now = self.slot(customer_id)?.now;
        let mut reservation = self.own_reservation(customer_id, id)?;
        if reservation.state != ReservationState::Open {
            return Err(Error::ReservationClosed(reservation.state));
        }
        reservation.expires_at = reservation.expires_at.max(now.plus(ttl));
        reservation.updated_at = now.max(reservation.updated_at.plus(TICK));
        self.quotas.write(reservation.clone());
        Ok(Outcome::Kept(Box::new(Kept { reservation, replayed: false })))
    }

    fn own_reservation(&self, customer: &CustomerId, id: RecordId) -> Result<QuotaReservation, Error> {
        let reservation = self.quotas.reservations.get(&id).filter(|r| r.customer_id == *customer);
        reservation.cloned().ok_or(Error::NotFound("reservation"))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::super::request::{Action, Request};
    use super::super::super::rules::Rules;
    use super::super::super::tests::customer;
    use super::super::Loaded;
    use super::*;
    use crate::model::{GroupLimits, Mode, Transno};
    use crate::store::LedgerRow;

    fn check(id: u128, ttl: Duration) -> Command {
        let asked = QuotaCheck {
            user_id: "alice".to_owned(),
            request_id: Transno::parse("q").ok(),
            check: quota::Check { tokens: None, default_reservation: None, ttl },
            limits: GroupLimits::default(),
            zone: TimeZone::UTC,
        };
        let customer_id = CustomerId::parse("c").unwrap();
        let action = Action::Check(Box::new(asked));
        let request = Request { customer_id, body_hash: [0; 32], nonce: None, action };
        Command::new(request, RecordId(Uuid::from_u128(id)))
    }

    fn decide(command: Command, quota: QuotaRows, seconds: i64) -> QuotaRows {
        let row = LedgerRow { customer: customer("c", "0"), now: Timestamp::from_seconds(seconds) };
        let loaded = Loaded { customers: vec![row], quota, ..Loaded::default() };
        let changes = Ledger::new(loaded, Rules::of(Mode::Strict)).decide(&[command], &[true]).changes;
        QuotaRows { counters: changes.quota_counters, reservations: changes.quota_reservations }
    }

    #[test]
    fn a_reservation_lets_go_of_its_name_before_another_takes_it() {
        let minute = Duration::from_mins(1);
        let first = decide(check(2, minute), QuotaRows::default(), 1_780_000_000);
        // The later one may have the smaller id: it waited longer.
        let second = decide(check(1, minute), first, 1_780_000_100);
        let written: Vec<_> =
            second.reservations.iter().map(|made| (made.id.0.as_u128(), made.state)).collect();
        assert_eq!(written, [(2, ReservationState::Expired), (1, ReservationState::Open)]);
    }
}
