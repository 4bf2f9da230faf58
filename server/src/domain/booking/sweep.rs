//! Holds expire by themselves, on whichever instance looks first.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Booking;
use crate::store::Store;

/// How often due holds are looked for: a due hold is closed within a second.
const EVERY: Duration = Duration::from_millis(400);
/// Customers per look.
const CUSTOMERS: i64 = 256;

/// Closes holds whose time has run out until stopped. Several instances may do it at once: each
/// closing is decided under the customer's lock.
pub async fn sweep_due_holds(booking: Booking, store: Store, stop: CancellationToken) {
    loop {
        match store.customers_with_due_holds(CUSTOMERS).await {
            Ok(customers) => {
                for customer in customers {
                    // What is refused now is found again by the next look.
                    if let Err(error) = booking.expire(customer).await {
                        tracing::debug!(%error, "a due hold waits for the next look");
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "cannot look for due holds"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
