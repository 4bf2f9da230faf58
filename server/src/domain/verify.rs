//! Recomputes every balance from the records.

use crate::model::{Customer, CustomerId, Money, Record};
use crate::store::{Store, Tx};

use super::Error;

/// Rows read at a time.
const SLICE: i64 = 1000;

/// What was looked at, and the first thing that does not add up.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Verified {
    /// Customers looked at.
    pub customers: u64,
    /// Records looked at.
    pub records: u64,
    /// The first difference, in one sentence; `None` if everything adds up.
    pub difference: Option<String>,
}

/// Recomputes balance, seq, balance_after and the hash chain of every customer, in one snapshot of
/// the database, so that a live server beside it does no harm. Memory does not grow with the ledger.
/// `progress` hears the counts after each customer.
pub async fn verify(store: &Store, mut progress: impl FnMut(&Verified)) -> Result<Verified, Error> {
    let mut tx = store.snapshot().await?;
    let mut seen = Verified::default();
    let result = walk(&mut tx, &mut seen, &mut progress).await;
    store.end_snapshot(tx).await;
    result?;
    Ok(seen)
}

async fn walk(tx: &mut Tx, seen: &mut Verified, progress: &mut impl FnMut(&Verified)) -> Result<(), Error> {
    let mut after = String::new();
    loop {
        let slice = tx.customers_after(&after, SLICE).await?;
        if slice.is_empty() {
            break;
        }
        for customer in &slice {
            // A customer with records but no row of its own lies between two that have one.
            if let Some(orphan) = tx.next_customer_with_records(&after).await?
                && orphan.as_str() < customer.id.as_str()
            {
                seen.difference = Some(format!("{orphan}: records but no balance"));
                return Ok(());
            }
            seen.customers += 1;
            seen.difference = verify_customer(tx, customer, &mut seen.records).await?;
            if seen.difference.is_some() {
                return Ok(());
            }
            after = customer.id.to_string();
            progress(seen);
        }
    }
    if let Some(orphan) = tx.next_customer_with_records(&after).await? {
        seen.difference = Some(format!("{orphan}: records but no balance"));
    }
    Ok(())
}

async fn verify_customer(tx: &mut Tx, customer: &Customer, count: &mut u64) -> Result<Option<String>, Error> {
    let mut chain = Chain { balance: Money::ZERO, seq: 0, hash: [0; 32] };
    loop {
        let slice = tx.records_after(&customer.id, chain.seq, SLICE).await?;
        if slice.is_empty() {
            return Ok(chain.end(customer));
        }
        for row in slice {
            *count += 1;
            let difference = match row {
                Ok(record) => chain.step(&customer.id, &record),
                Err(unreadable) => Some(unreadable),
            };
            if difference.is_some() {
                return Ok(difference);
            }
        }
    }
}

/// Where the recomputation of a customer stands.
struct Chain {
    balance: Money,
    seq: i64,
    hash: [u8; 32],
}

impl Chain {
    fn step(&mut self, customer: &CustomerId, record: &Record) -> Option<String> {
        let at = format!("{customer}, record {} ({})", record.seq, record.transno);
        if record.seq != self.seq + 1 {
            return Some(format!("{at}: seq {} is missing", self.seq + 1));
        }
        let Some(balance) = self.balance.checked_add(record.delta) else {
            return Some(format!("{at}: the balance leaves the range of money"));
        };
        if record.balance_after != balance {
            return Some(format!(
                "{at}: balance_after is {}, the records before it add up to {balance}",
                record.balance_after
            ));
        }
        if record.prev_hash != self.hash {
            return Some(format!(
                "{at}: it does not follow the record before it; one was changed or removed"
            ));
        }
        if record.hash != record.chain_hash() {
            return Some(format!("{at}: its content was changed after it was booked"));
        }
        (self.balance, self.seq, self.hash) = (balance, record.seq, record.hash);
        None
    }

    fn end(&self, customer: &Customer) -> Option<String> {
        let at = &customer.id;
        if customer.last_seq != self.seq {
            return Some(format!(
                "{at}: the last seq is {}, but there are {} records",
                customer.last_seq, self.seq
            ));
        }
        if customer.balance != self.balance {
            return Some(format!(
                "{at}: the balance is {}, the records add up to {}",
                customer.balance, self.balance
            ));
        }
        (customer.last_hash != self.hash)
            .then(|| format!("{at}: the last hash is not that of the last record"))
    }
}
