use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use sha2::{Digest as _, Sha256};

use super::super::{Action, Capture, Request, Reserve, Reverse};
use super::database::Database;
use super::{CUSTOMERS, POISON};
use crate::model::{CustomerId, Kind, Money, Transno};

/// What a client means to do: one request, several of a batch, or a group.
pub struct Intent {
    pub requests: Vec<Request>,
    pub group: bool,
}

impl Intent {
    pub fn draw(rng: &mut StdRng, database: &Database, client: u64, nth: u32) -> Self {
        let customer_id =
            |rng: &mut StdRng| CustomerId::parse(&format!("c{}", rng.random_range(0..CUSTOMERS))).unwrap();
        let several = rng.random_bool(0.3);
        let group = several && rng.random_bool(0.5);
        let count = if several { 2 + nth % 3 } else { 1 };
        // Poison within a group is the group's; within a bulk it is one item's alone.
        let poisoned = rng.random_bool(if several { 0.2 } else { 0.05 }).then(|| rng.random_range(0..count));
        // A few names are shared, so that requests meet under them.
        let name = |rng: &mut StdRng, item: u32| {
            let prefix = if poisoned == Some(item) { POISON } else { "t" };
            let shared = !several && rng.random_bool(0.1);
            let text = if shared {
                format!("{prefix}-{}", nth % 2)
            } else {
                format!("{prefix}-{client}-{nth}-{item}")
            };
            Transno::parse(&text).unwrap()
        };
        let requests = (0..count)
            .map(|item| {
                let customer_id = customer_id(rng);
                let transno = name(rng, item);
                let what = if several { 0 } else { rng.random_range(0..9) };
                let action = action(rng, database, &customer_id, transno, what);
                let body_hash = Sha256::digest(format!("{customer_id} {action:?}")).into();
                Request { customer_id, body_hash, nonce: None, action }
            })
            .collect();
        Self { requests, group }
    }
}

fn action(
    rng: &mut StdRng,
    database: &Database,
    customer: &CustomerId,
    transno: Transno,
    what: u32,
) -> Action {
    let amount = Money::parse(&rng.random_range(1..25).to_string()).unwrap();
    let book = |transno, kind| Request::booking(customer.clone(), transno, kind, amount).action;
    let rows = database.rows();
    let hold = rows.holds.values().filter(|h| h.customer_id == *customer).map(|h| h.id).next_back();
    let record = rows.records.iter().filter(|r| r.customer_id == *customer).map(|r| r.id).next_back();
    drop(rows);
    match (what, hold, record) {
        (4 | 5, _, _) => {
            // The time of some runs out while the clients are still at it.
            let most = if rng.random_bool(0.5) { 100 } else { 2000 };
            Action::Hold(Reserve {
                transno,
                amount,
                currency: None,
                ttl: Duration::from_millis(rng.random_range(1..most)),
                user_id: None,
                note: None,
            })
        }
        (6, Some(hold), _) => {
            let amount = rng.random_bool(0.5).then_some(amount);
            Action::Capture(Capture { transno, hold, amount })
        }
        (7, Some(hold), _) => Action::Release(hold),
        (8, _, Some(record)) => {
            let amount = rng.random_bool(0.5).then_some(amount);
            Action::Reverse(Reverse { transno, record, amount, of_any_kind: true, note: None })
        }
        (3, _, _) => book(transno, Kind::Credit),
        _ => book(transno, Kind::Charge),
    }
}
