//! Recomputes every balance from the records, and the sums over usage, and holds the other tables against them.

mod chain;
mod holds;
mod quota;
mod reversals;
mod usage;

use crate::model::{Customer, Record};
use crate::store::{self, Store, Tx};

use super::Error;
use chain::Chain;
use usage::Usage;

/// Rows read at a time. A record may take ten thousand bytes and more.
const SLICE: i64 = 500;

/// What was looked at, and the first thing that does not add up.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Verified {
    /// Customers looked at.
    pub customers: u64,
    /// Records looked at.
    pub records: u64,
    /// Usage records looked at.
    pub usage_records: u64,
    /// The first difference, in one sentence; `None` if everything adds up.
    pub difference: Option<String>,
}

/// What ends the walk before its end.
enum Stop {
    /// Something does not add up.
    Difference(String),
    /// The database failed.
    Failed(store::Error),
}

impl From<store::Error> for Stop {
    fn from(error: store::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<String> for Stop {
    fn from(difference: String) -> Self {
        Self::Difference(difference)
    }
}

/// Recomputes balance, held, seq, balance_after, the hash chain and every computed amount of every customer, and
/// holds records, holds and noted reversals against each other, both ways; then the sums over usage records and the
/// charges that they name, and what counters say is reserved; in one snapshot of the database, so that a live server
/// beside it does no harm. Memory does not grow with the ledger, nor with usage records. `progress` hears the counts as they
/// grow.
pub async fn verify(store: &Store, mut progress: impl FnMut(&Verified)) -> Result<Verified, Error> {
    let mut tx = store.snapshot().await?;
    let mut seen = Verified::default();
    let result = walk(&mut tx, &mut seen, &mut progress).await;
    store.end_snapshot(tx).await;
    match result {
        Ok(()) => {}
        Err(Stop::Difference(difference)) => seen.difference = Some(difference),
        Err(Stop::Failed(error)) => return Err(error.into()),
    }
    Ok(seen)
}

async fn walk(tx: &mut Tx, seen: &mut Verified, progress: &mut impl FnMut(&Verified)) -> Result<(), Stop> {
    let usage = Usage::read(tx).await?;
    let (mut after, mut open) = (String::new(), 0);
    loop {
        let slice = tx.customers_after(&after, SLICE).await?;
        if slice.is_empty() {
            break;
        }
        for row in slice {
            let customer = row?;
            // Rows of a customer without a row of its own lie between those of two that have one.
            no_orphans(tx, &after, Some(&customer)).await?;
            seen.customers += 1;
            verify_records(tx, &customer, seen, progress).await?;
            holds::verify(tx, &customer).await?;
            usage::verify(tx, &customer, &usage, seen, progress).await?;
            open += quota::verify(tx, &customer).await?;
            after = customer.id.to_string();
            progress(seen);
        }
    }
    no_orphans(tx, &after, None).await?;
    // Each user's are counted: what is left are those of users without a counter.
    let all = tx.number_of_open_reservations().await?;
    if all != open {
        return Err(
            format!("{all} reservations are open, but the counters of their users know {open}").into()
        );
    }
    reversals::verify_noted(tx).await
}

async fn no_orphans(tx: &mut Tx, after: &str, next: Option<&Customer>) -> Result<(), Stop> {
    match tx.next_customer_with_rows(after).await? {
        Some(orphan) if next.is_none_or(|next| orphan.as_str() < next.id.as_str()) => {
            return Err(format!("{orphan}: records or holds, but no balance").into());
        }
        _ => {}
    }
    match tx.next_customer_with_usage(after).await? {
        Some(orphan) if next.is_none_or(|next| orphan.as_str() < next.id.as_str()) => {
            Err(format!("{orphan}: usage or quotas, but no balance").into())
        }
        _ => Ok(()),
    }
}

async fn verify_records(
    tx: &mut Tx,
    customer: &Customer,
    seen: &mut Verified,
    progress: &mut impl FnMut(&Verified),
) -> Result<(), Stop> {
    let mut chain = Chain::of(customer);
    // From the very first row: one that stands before seq 1 was not written by SageAPI.
    let mut after = i64::MIN;
    loop {
        let slice = tx.records_after(&customer.id, after, SLICE).await?;
        if slice.is_empty() {
            break;
        }
        let mut linked: Vec<Record> = Vec::new();
        for row in slice {
            seen.records += 1;
            let record = row?;
            chain.step(&record)?;
            after = record.seq;
            if record.reverses.is_some() || record.hold_id.is_some() {
                linked.push(record);
            }
        }
        reversals::verify_records(tx, &linked).await?;
        holds::verify_captures(tx, &linked).await?;
        progress(seen);
    }
    Ok(chain.end()?)
}
