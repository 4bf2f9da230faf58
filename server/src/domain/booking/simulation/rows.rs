//! What is committed.

use std::collections::{BTreeMap, BTreeSet};

use super::quota::Tally;
use crate::model::{
    Customer, CustomerId, Hold, HoldState, QuotaCounter, QuotaReservation, Record, RecordId,
    ReservationState, Timestamp, UsageDay, UsageRecord, UsageSums, UsageTotal,
};
use crate::store::{LedgerChanges, Reversal, UsagePlace};

/// What is committed.
#[derive(Default)]
pub struct Rows {
    pub customers: BTreeMap<CustomerId, Customer>,
    pub records: Vec<Record>,
    pub holds: BTreeMap<RecordId, Hold>,
    pub reversals: Vec<Reversal>,
    pub usage: Vec<UsageRecord>,
    /// By customer, day, user, group, model and currency.
    pub usage_days: BTreeMap<[String; 6], UsageSums>,
    /// By customer, day and currency.
    pub usage_totals: BTreeMap<[String; 3], UsageSums>,
    /// By customer, user, kind and the start of the window.
    pub quota_counters: BTreeMap<(CustomerId, String, &'static str, Timestamp), QuotaCounter>,
    pub quota_reservations: BTreeMap<RecordId, QuotaReservation>,
    /// What the counters must come to.
    pub tally: Tally,
    /// The ids of the audit log.
    pub audit: BTreeSet<RecordId>,
    /// A closed hold, whenever one was written.
    pub closings: Vec<RecordId>,
    /// What was available to each customer, from the first state to the last.
    pub available: BTreeMap<CustomerId, Vec<i128>>,
    pub nonces: BTreeSet<[u8; 16]>,
    /// Nonces of transactions under way.
    pub pending: BTreeSet<[u8; 16]>,
}

impl Rows {
    /// Notes what a transaction left available to its customers: before and after each record and each new hold, and in
    /// the end. Holds that are let go or expire only add to it: what was between two of these lies between them.
    fn note_available(&mut self, changes: &LedgerChanges) {
        let Self { holds: known, available, .. } = self;
        let LedgerChanges { records, holds, customers, .. } = changes;
        let settled = |record: &Record| {
            let hold = holds.iter().find(|hold| record.hold_id == Some(hold.id));
            hold.map_or(0, |hold| hold.amount.wide())
        };
        for record in records {
            let after = record.available_after.wide();
            let before = after - record.delta.wide() - settled(record);
            available.entry(record.customer_id.clone()).or_default().extend([before, after]);
        }
        for hold in holds.iter().filter(|hold| !known.contains_key(&hold.id)) {
            let after = hold.available_after.wide();
            let before = after + hold.amount.wide();
            available.entry(hold.customer_id.clone()).or_default().extend([before, after]);
        }
        for customer in customers {
            available.entry(customer.id.clone()).or_default().push(customer.available_wide());
        }
    }

    /// Commits a transaction that happened at these times for its customers.
    pub fn apply(
        &mut self,
        changes: LedgerChanges,
        nonces: Vec<[u8; 16]>,
        times: &BTreeMap<CustomerId, Timestamp>,
    ) {
        self.note_available(&changes);
        let touched = Tally::take_in(self, &changes, times);
        let LedgerChanges {
            nonces: _,
            records,
            holds,
            reversals,
            customers,
            audit,
            usage,
            usage_days,
            usage_totals,
            usage_places,
            forward_usage: _,
            quota_counters,
            quota_reservations,
        } = changes;
        self.apply_usage(usage, usage_days, usage_totals);
        self.apply_quota(quota_counters, quota_reservations);
        touched.check(self);
        for UsagePlace { customer_id, last_useq, last_usage_at } in usage_places {
            let customer = self.customers.get_mut(&customer_id).unwrap();
            (customer.last_useq, customer.last_usage_at) = (last_useq, last_usage_at);
        }
        for record in records {
            let taken = |r: &Record| {
                r.id == record.id
                    || r.customer_id == record.customer_id
                        && (r.transno == record.transno || r.seq == record.seq)
            };
            assert!(!self.records.iter().any(taken), "a unique key is broken by {record:?}");
            self.records.push(record);
        }
        for hold in holds {
            if hold.state != HoldState::Open {
                self.closings.push(hold.id);
            }
            self.holds.insert(hold.id, hold);
        }
        self.reversals.extend(reversals);
        for entry in audit {
            assert!(self.audit.insert(entry.id), "an audit entry was written twice: {entry:?}");
        }
        self.customers.extend(customers.into_iter().map(|customer| (customer.id.clone(), customer)));
        for nonce in nonces {
            assert!(self.nonces.insert(nonce), "a nonce was spent twice");
            self.pending.remove(&nonce);
        }
    }

    fn apply_usage(&mut self, usage: Vec<UsageRecord>, days: Vec<UsageDay>, totals: Vec<UsageTotal>) {
        for used in usage {
            let taken = |other: &UsageRecord| {
                other.id == used.id
                    || other.customer_id == used.customer_id
                        && (other.request_id == used.request_id || other.useq == used.useq)
            };
            assert!(!self.usage.iter().any(taken), "a unique key is broken by {used:?}");
            self.usage.push(used);
        }
        for UsageDay { customer_id, day, user_id, group_id, model, currency, sums } in days {
            let key = [customer_id.to_string(), day, user_id, group_id, model, currency.to_string()];
            let row = self.usage_days.entry(key).or_default();
            *row = row.checked_add(sums).unwrap();
        }
        for UsageTotal { customer_id, day, currency, sums } in totals {
            let key = [customer_id.to_string(), day, currency.to_string()];
            let row = self.usage_totals.entry(key).or_default();
            *row = row.checked_add(sums).unwrap();
        }
    }

    fn apply_quota(&mut self, counters: Vec<QuotaCounter>, reservations: Vec<QuotaReservation>) {
        for counter in counters {
            let (customer, user) = (counter.customer_id.clone(), counter.user_id.clone());
            let key = (customer, user, counter.kind.as_str(), counter.window_start);
            self.quota_counters.insert(key, counter);
        }
        // Row by row, as the statement writes them: a name must be free when its row comes.
        for made in reservations {
            let taken = |other: &QuotaReservation| {
                other.id != made.id
                    && (&other.customer_id, &other.user_id) == (&made.customer_id, &made.user_id)
                    && made.open_request_id.is_some()
                    && other.open_request_id == made.open_request_id
            };
            let taken = self.quota_reservations.values().find(|other| taken(other));
            assert!(taken.is_none(), "a unique key is broken by {made:?}: {taken:?}");
            let named = made.open_request_id.as_ref().filter(|_| made.state == ReservationState::Open);
            let expected = made.request_id.as_ref().filter(|_| made.state == ReservationState::Open);
            assert_eq!(named, expected, "the name of an open reservation: {made:?}");
            self.quota_reservations.insert(made.id, made);
        }
    }
}
