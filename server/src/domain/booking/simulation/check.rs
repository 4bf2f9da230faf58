//! What must hold of every refusal, and at the end of every history.

use sha2::{Digest as _, Sha256};

use super::super::{Action, Amount, Capture, Request};
use super::database::Moment;
use super::intent::Intent;
use super::rows::Rows;
use super::{POISON, Simulation};
use crate::domain::Error;
use crate::model::{
    Clock as _, CustomerId, HoldState, Kind, Money, Record, RecordId, ReservationState, Transno, UsageRecord,
};

impl Simulation {
    /// A refusal is right as far as can be told: what it says has been so at some time since then.
    pub fn assert_right(&self, intent: &Intent, asked: &[Request], refusal: &Error, since: &Moment) {
        let [request] = asked else { panic!("whose is it? {refusal}: {asked:?}") };
        let rows = self.database.rows();
        if let Error::InsufficientBalance { available, required } = refusal {
            let (amount, _) = moved(&request.action, &rows);
            assert!(available < required, "there was enough: {refusal}: {request:?}");
            assert!(amount.is_none_or(|amount| amount == *required), "{refusal}: {request:?}");
        }
        // What others of its group had done before it was refused, and the holds that were due then, nobody has seen.
        if intent.group {
            return;
        }
        match (refusal, &request.action) {
            (Error::InsufficientBalance { available, .. }, action) => {
                let (_, reserved) = moved(action, &rows);
                let customer = &request.customer_id;
                let states = &rows.available[customer][since[customer]..];
                let named = available.wide() - reserved.wide();
                let (least, most) = (*states.iter().min().unwrap(), *states.iter().max().unwrap());
                assert!((least..=most).contains(&named), "{refusal}: {request:?}: {named} in {states:?}");
            }
            (Error::HoldClosed(state), Action::Capture(Capture { hold, .. }) | Action::Release(hold)) => {
                let is = rows.holds[hold].state;
                assert!(*state != HoldState::Open && *state == is, "{refusal}: it is {is}: {request:?}");
            }
            (Error::ReversalExceeds(_), Action::Reverse(reverse)) => {
                let original = rows.records.iter().find(|record| record.id == reverse.record).unwrap();
                // Never more than at the time of the refusal.
                let left = original.delta.wide().abs() - taken_back(&rows, original.id);
                let exceeds = reverse.amount.map_or(left == 0, |amount| amount.wide() > left);
                assert!(exceeds || original.kind == Kind::Reversal, "{refusal}, not {left}: {request:?}");
            }
            (Error::TransnoConflict, action) => {
                let (customer, name) = (&request.customer_id, action.transno());
                let records = rows.records.iter().map(|r| (&r.customer_id, &r.transno, r.body_hash));
                let holds = rows.holds.values().map(|h| (&h.customer_id, &h.transno, h.body_hash));
                let other = records
                    .chain(holds)
                    .any(|(c, t, hash)| c == customer && Some(t) == name && hash != request.body_hash);
                assert!(other, "nothing else goes by this name: {request:?}");
            }
            (Error::RequestConflict, Action::Usage(usage)) => {
                let named = |u: &&UsageRecord| {
                    u.customer_id == request.customer_id && u.request_id == usage.request_id
                };
                let recorded = rows.usage.iter().find(named);
                let other = recorded.is_some_and(|recorded| recorded.body_hash != request.body_hash);
                assert!(other, "nothing else goes by this name: {request:?}");
            }
            (Error::EventInFuture, Action::Usage(usage)) => {
                let ahead = usage.event_time.unwrap().seconds_since(self.database.time.clock.now());
                assert!(ahead > 0.0, "it has happened: {request:?}");
            }
            (Error::EventTooOld(oldest), Action::Usage(usage)) => {
                let age = self.database.time.clock.now().seconds_since(*oldest);
                assert!(usage.event_time.unwrap() < *oldest && age > 86_400.0, "{refusal}: {request:?}");
            }
            (Error::ReservationClosed(state), Action::ExtendQuota(id, _)) => {
                let is = rows.quota_reservations[id].state;
                assert!(*state != ReservationState::Open && *state == is, "it is {is}: {request:?}");
            }
            (Error::NotFound("reservation"), Action::ReleaseQuota(id) | Action::ExtendQuota(id, _)) => {
                let found = rows.quota_reservations.get(id);
                let own = found.is_some_and(|found| found.customer_id == request.customer_id);
                assert!(!own, "it is there: {request:?}");
            }
            (other, _) => panic!("{other}: {request:?}"),
        }
    }

    /// Everything recomputes, and everything that a client was told is so.
    pub fn check(&self) -> [u8; 32] {
        let (rows, mut told) = (self.database.rows(), self.told.lock().unwrap());
        let mut digest = Sha256::new();
        assert_held_adds_up(&rows);
        told.check_usage(&rows, &mut digest);
        told.check_quota(&rows, &mut digest);
        for customer in rows.customers.values() {
            let mut records: Vec<_> = rows.records.iter().filter(|r| r.customer_id == customer.id).collect();
            records.sort_by_key(|record| record.seq);
            let limit = customer.credit_limit.wide();
            let (mut balance, mut hash) = (0i128, [0; 32]);
            let mut balances = vec![balance];
            // All customers are strict.
            for (seq, record) in (1..).zip(&records) {
                balance += record.delta.wide();
                assert_eq!((record.seq, record.balance_after.wide(), record.prev_hash), (seq, balance, hash));
                assert_eq!(record.hash, record.chain_hash());
                let available = record.available_after.wide();
                assert_eq!(available, balance + limit - record.held_after.wide(), "{record:?}");
                // Within its hold a capture takes what was promised; above, there must be more.
                let is_usage = rows.usage.iter().any(|usage| usage.record_id == Some(record.id));
                let above = record.hold_id.is_some_and(|hold| record.amount > rows.holds[&hold].amount);
                if above && !is_usage {
                    *told.verdicts.entry("above its hold").or_default() += 1;
                }
                // Usage has happened, and is charged whatever there is.
                if !is_usage && (above || record.delta.is_negative() && record.kind != Kind::Capture) {
                    assert!(available >= 0, "spent more than there was: {record:?}");
                }
                assert!(taken_back(&rows, record.id) <= record.delta.wide().abs());
                hash = record.hash;
                balances.push(balance);
            }
            for hold in rows.holds.values().filter(|hold| hold.customer_id == customer.id) {
                let (at, available) = (hold.balance_after.wide(), hold.available_after.wide());
                assert!(balances.contains(&at) && hold.held_after >= hold.amount, "{hold:?}");
                assert_eq!(available, at + limit - hold.held_after.wide(), "{hold:?}");
                assert!(available >= 0, "reserved more than there was: {hold:?}");
            }
            let last = i64::try_from(records.len()).unwrap();
            assert_eq!(
                (customer.balance.wide(), customer.last_seq, customer.last_hash),
                (balance, last, hash)
            );
            digest.update(hash);
        }
        for ((customer, transno), id) in &told.booked {
            let named = |r: &&Record| r.customer_id == *customer && r.transno == *transno;
            let found: Vec<_> = rows.records.iter().filter(named).map(|record| record.id).collect();
            assert_eq!(found, [*id], "{customer} {transno}: acknowledged");
        }
        for ((customer, transno), id) in &told.held {
            let hold = rows.holds.get(id).unwrap_or_else(|| panic!("{customer} {transno}: lost"));
            assert_eq!((&hold.customer_id, &hold.transno), (customer, transno));
            digest.update(hold.state.as_str());
        }
        for name @ (customer, transno) in &told.refused {
            // Others may have done something under the same name.
            let done = [&told.booked, &told.held, &told.used];
            if !done.iter().any(|done| done.contains_key(name)) {
                let named = |id: &CustomerId, other: &Transno| id == customer && other == transno;
                let booked = rows.records.iter().any(|r| named(&r.customer_id, &r.transno));
                let held = rows.holds.values().any(|h| named(&h.customer_id, &h.transno));
                assert!(!booked && !held, "{customer} {transno}: refused");
            }
        }
        for id in &told.released {
            assert!(matches!(rows.holds[id].state, HoldState::Released | HoldState::Expired));
        }
        for hold in rows.holds.values() {
            let captures = rows.records.iter().filter(|record| record.hold_id == Some(hold.id));
            let captured = captures.map(|record| record.amount).collect::<Vec<_>>();
            let expected = if hold.state == HoldState::Captured { vec![hold.captured] } else { vec![] };
            assert_eq!(captured, expected, "{hold:?}");
        }
        let mut closings = rows.closings.clone();
        closings.sort_unstable();
        let closed = rows.holds.values().filter(|hold| hold.state != HoldState::Open).map(|hold| hold.id);
        assert_eq!(closings, closed.collect::<Vec<_>>(), "each hold that is closed was closed once");
        for group in &told.groups {
            let booked = group.iter().filter(|(customer, transno)| {
                rows.records.iter().any(|r| r.customer_id == *customer && r.transno == *transno)
            });
            let (count, poisoned) = (booked.count(), group.iter().any(|(_, transno)| is_poisonous(transno)));
            assert!(count == 0 || count == group.len() && !poisoned, "{count} of {group:?}");
        }
        let credits =
            rows.records.iter().filter(|record| record.kind == Kind::Credit).map(|record| record.id);
        assert_eq!(
            rows.audit,
            credits.collect(),
            "each credit of an administrator is audited, and nothing else"
        );
        assert!(!rows.records.iter().any(|record| is_poisonous(&record.transno)));
        assert!(!rows.holds.values().any(|hold| is_poisonous(&hold.transno)));
        digest.finalize().into()
    }
}

/// What is held of each customer is what its open holds reserve, and all that it made are there.
pub fn assert_held_adds_up(rows: &Rows) {
    for customer in rows.customers.values() {
        let holds: Vec<_> = rows.holds.values().filter(|hold| hold.customer_id == customer.id).collect();
        let open = holds.iter().filter(|hold| hold.state == HoldState::Open);
        let held = open.map(|hold| hold.amount.wide()).sum::<i128>();
        assert_eq!(customer.held.wide(), held, "held of {}: {holds:?}", customer.id);
        assert_eq!(usize::try_from(customer.holds_made), Ok(holds.len()), "holds of {}", customer.id);
    }
}

/// What a request that was refused for lack of money would have moved, if it said so itself, and what was reserved
/// for it.
fn moved(action: &Action, rows: &Rows) -> (Option<Money>, Money) {
    match action {
        Action::Book(entry) => match &entry.amount {
            Amount::Given(amount) => (Some(*amount), Money::ZERO),
            Amount::FromPriceList | Amount::Quoted(_) | Amount::Unquoted(_) => {
                panic!("nothing is priced: {action:?}")
            }
        },
        Action::Reverse(reverse) => (reverse.amount, Money::ZERO),
        Action::Hold(reserve) => (Some(reserve.amount), Money::ZERO),
        Action::Capture(capture) => (capture.amount, rows.holds[&capture.hold].amount),
        Action::Release(_)
        | Action::Expire
        | Action::Usage(_)
        | Action::Check(_)
        | Action::ReleaseQuota(_)
        | Action::ExtendQuota(..) => panic!("that takes no money: {action:?}"),
    }
}

/// What reversals took back of a record.
fn taken_back(rows: &Rows, record: RecordId) -> i128 {
    rows.reversals.iter().filter(|r| r.original == record).map(|r| r.amount.wide()).sum()
}

/// Whether the database refuses what has this name, or is the charge of usage that has.
pub fn is_poisonous(name: &Transno) -> bool {
    let name = name.as_str();
    name.strip_prefix("usage:").unwrap_or(name).starts_with(POISON)
}
