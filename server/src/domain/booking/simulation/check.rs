//! What must hold at the end of every history.

use sha2::{Digest as _, Sha256};

use super::{POISON, Simulation};
use crate::model::{CustomerId, HoldState, Kind, Record, Transno};

impl Simulation {
    /// Everything recomputes, and everything that a client was told is so.
    pub fn check(&self) -> [u8; 32] {
        let (rows, told) = (self.database.rows(), self.told.lock().unwrap());
        let mut digest = Sha256::new();
        for customer in rows.customers.values() {
            let mut records: Vec<_> = rows.records.iter().filter(|r| r.customer_id == customer.id).collect();
            records.sort_by_key(|record| record.seq);
            let (mut balance, mut hash) = (0i128, [0; 32]);
            for (seq, record) in (1..).zip(&records) {
                balance += record.delta.wide();
                assert_eq!((record.seq, record.balance_after.wide(), record.prev_hash), (seq, balance, hash));
                assert_eq!(record.hash, record.chain_hash());
                if record.delta.is_negative() && record.kind != Kind::Capture {
                    assert!(!record.available_after.is_negative(), "spent more than there was: {record:?}");
                }
                let taken = rows.reversals.iter().filter(|r| r.original == record.id);
                assert!(taken.map(|r| r.amount.wide()).sum::<i128>() <= record.delta.wide().abs());
                hash = record.hash;
            }
            let last = i64::try_from(records.len()).unwrap();
            assert_eq!(
                (customer.balance.wide(), customer.last_seq, customer.last_hash),
                (balance, last, hash)
            );
            let open =
                rows.holds.values().filter(|h| h.customer_id == customer.id && h.state == HoldState::Open);
            assert_eq!(customer.held.wide(), open.map(|hold| hold.amount.wide()).sum::<i128>());
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
            if !told.booked.contains_key(name) && !told.held.contains_key(name) {
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
        for group in &told.groups {
            let booked = group.iter().filter(|(customer, transno)| {
                rows.records.iter().any(|r| r.customer_id == *customer && r.transno == *transno)
            });
            let count = booked.count();
            assert!(count == 0 || count == group.len(), "{count} of {group:?}");
        }
        assert!(!rows.records.iter().any(|record| record.transno.as_str().starts_with(POISON)));
        digest.finalize().into()
    }
}
