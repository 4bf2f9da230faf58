//! Holds and reservations expire by themselves, on whichever instance looks first.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::writer::Booking;
use crate::model::CustomerId;
use crate::store::Store;

/// How often is looked: what is due is closed within a second.
const SWEEP_INTERVAL: Duration = Duration::from_millis(400);
/// The pause of a customer after its turn: more may be due than one transaction closes, or its turn was refused.
const REST: Duration = Duration::from_millis(100);
/// Holds, and reservations, per query.
const DUE: usize = 512;
/// Customers whose turn it is at a time.
const CUSTOMERS: usize = 1024;

/// Closes holds and reservations whose time has run out until stopped. Several instances may do it at once: each
/// closing is decided under the customer's lock.
pub async fn sweep_due(booking: Booking, store: Store, stop: CancellationToken) {
    // A query leaves these out, so that a customer that is locked, or of whom very many are due, holds up no other.
    let mut active = BTreeSet::new();
    let mut turns = FuturesUnordered::new();
    loop {
        let (found, full) =
            if active.len() < CUSTOMERS { due_customers(&store, &active).await } else { Default::default() };
        for customer in found {
            if active.insert(customer.clone()) {
                turns.push(turn(&booking, customer));
            }
        }
        let pause = async {
            if !full {
                tokio::time::sleep(SWEEP_INTERVAL).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = pause => {}
            Some(done) = turns.next() => drop(active.remove(&done)),
        }
        while let Some(Some(done)) = futures_util::FutureExt::now_or_never(turns.next()) {
            active.remove(&done);
        }
    }
}

/// Of whom holds or reservations are due, once for each, and whether there may be more.
async fn due_customers(store: &Store, but: &BTreeSet<CustomerId>) -> (Vec<CustomerId>, bool) {
    let holds = store.customers_with_due_holds(but.iter(), DUE as i64).await;
    let reservations = store.customers_with_due_reservations(but.iter(), DUE as i64).await;
    let (mut found, mut full) = (Vec::new(), false);
    for due in [holds, reservations] {
        match due {
            Ok(due) => {
                full |= due.len() == DUE;
                found.extend(due);
            }
            Err(error) => tracing::debug!(%error, "cannot look for what is due"),
        }
    }
    (found, full)
}

async fn turn(booking: &Booking, customer: CustomerId) -> CustomerId {
    // What is refused now is found again later.
    if let Err(error) = booking.expire(customer.clone()).await {
        tracing::debug!(%error, "what is due waits for a later query");
    }
    tokio::time::sleep(REST).await;
    customer
}
