//! Holds expire by themselves, on whichever instance looks first.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::writer::Booking;
use crate::model::CustomerId;
use crate::store::Store;

/// How often due holds are looked for: a due hold is closed within a second.
const SWEEP_INTERVAL: Duration = Duration::from_millis(400);
/// The pause of a customer after its turn: it may have more due holds than one transaction closes, or its turn was
/// refused.
const REST: Duration = Duration::from_millis(100);
/// Holds per query.
const HOLDS: usize = 512;
/// Customers whose turn it is at a time.
const CUSTOMERS: usize = 1024;

/// Closes holds whose time has run out until stopped. Several instances may do it at once: each
/// closing is decided under the customer's lock.
pub async fn sweep_due_holds(booking: Booking, store: Store, stop: CancellationToken) {
    // A query leaves these out, so that a customer that is locked, or has very many holds, holds up no other.
    let mut active = BTreeSet::new();
    let mut turns = FuturesUnordered::new();
    loop {
        let found = if active.len() < CUSTOMERS { due_customers(&store, &active).await } else { Vec::new() };
        let full = found.len() == HOLDS;
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

/// Whose holds are due, one customer for each hold.
async fn due_customers(store: &Store, but: &BTreeSet<CustomerId>) -> Vec<CustomerId> {
    let found = store.customers_with_due_holds(but.iter(), HOLDS as i64).await;
    found.unwrap_or_else(|error| {
        tracing::debug!(%error, "cannot look for due holds");
        Vec::new()
    })
}

async fn turn(booking: &Booking, customer: CustomerId) -> CustomerId {
    // What is refused now is found again later.
    if let Err(error) = booking.expire(customer.clone()).await {
        tracing::debug!(%error, "a due hold waits for a later query");
    }
    tokio::time::sleep(REST).await;
    customer
}
