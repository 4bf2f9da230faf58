//! Recomputes every balance from the records.

use crate::model::{Customer, CustomerId, HoldState, Money, Record, RecordId, Timestamp};
use crate::store::{Store, Tx};

use super::Error;
use super::pricing::Arithmetic;

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

/// Recomputes balance, held, seq, balance_after, reversals, the hash chain and every computed amount of every customer,
/// in one snapshot of the database, so that a live server beside it does no harm. Memory does not grow with the ledger.
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
            break;
        }
        let mut touched = Touched::default();
        for row in slice {
            *count += 1;
            let difference = match row {
                Ok(record) => {
                    touched.note(&record);
                    chain.step(&customer.id, &record)
                }
                Err(unreadable) => Some(unreadable),
            };
            if difference.is_some() {
                return Ok(difference);
            }
        }
        let difference = touched.verify(tx, &customer.id).await?;
        if difference.is_some() {
            return Ok(difference);
        }
    }
    match chain.end(customer) {
        None => verify_held(tx, customer).await,
        difference => Ok(difference),
    }
}

/// Records of a slice that other tables must agree with.
#[derive(Default)]
struct Touched {
    reversals: Vec<(RecordId, RecordId, Money)>,
    captures: Vec<(RecordId, Money)>,
}

impl Touched {
    fn note(&mut self, record: &Record) {
        if let Some(original) = record.reverses {
            self.reversals.push((record.id, original, record.amount));
        }
        if let Some(hold) = record.hold_id {
            self.captures.push((hold, record.amount));
        }
    }

    /// Every reversal is noted with its amount and takes back no more than there was; every capture
    /// settled its hold.
    async fn verify(&self, tx: &mut Tx, customer: &CustomerId) -> Result<Option<String>, Error> {
        let mut originals: Vec<_> = self.reversals.iter().map(|(_, original, _)| *original).collect();
        originals.sort_unstable();
        originals.dedup();
        let noted = tx.reversals(&originals).await?;
        for (id, original, amount) in &self.reversals {
            let known =
                noted.iter().any(|n| n.reversal == *id && n.original == *original && n.amount == *amount);
            if !known {
                return Ok(Some(format!("{customer}: the reversal {id} of {original} is not noted as such")));
            }
        }
        for record in if originals.is_empty() { Vec::new() } else { tx.records_by_id(&originals).await? } {
            let taken: i128 = noted.iter().filter(|n| n.original == record.id).map(|n| n.amount.wide()).sum();
            if taken > record.delta.wide().abs() {
                return Ok(Some(format!("{customer}: more was taken back of {} than was booked", record.id)));
            }
        }
        let ids: Vec<_> = self.captures.iter().map(|(hold, _)| *hold).collect();
        let holds = if ids.is_empty() { Vec::new() } else { tx.holds_by_id(&ids).await? };
        for (id, amount) in &self.captures {
            let settled = |h: &&crate::model::Hold| {
                h.id == *id
                    && h.state == HoldState::Captured
                    && h.captured == *amount
                    && h.customer_id == *customer
            };
            if !holds.iter().any(|h| settled(&h)) {
                return Ok(Some(format!(
                    "{customer}: the hold {id} is not the one that its capture settled"
                )));
            }
        }
        Ok(None)
    }
}

/// held = the sum of the holds whose row is open.
async fn verify_held(tx: &mut Tx, customer: &Customer) -> Result<Option<String>, Error> {
    let (mut held, mut after) = (0i128, (Timestamp::default(), RecordId(uuid::Uuid::nil())));
    loop {
        let slice = tx.open_holds_after(&customer.id, after, SLICE).await?;
        let Some(last) = slice.last() else { break };
        after = (last.created_at, last.id);
        held += slice.iter().map(|h| h.amount.wide()).sum::<i128>();
    }
    let at = &customer.id;
    let held_says = customer.held;
    Ok((held_says.wide() != held).then(|| {
        let sum = Money::from_wide(held).map_or_else(|| "more than fits".to_owned(), |m| m.to_string());
        format!("{at}: held is {held_says}, the open holds add up to {sum}")
    }))
}

/// Whether a computed amount is what its arithmetic comes to; others are as they were given.
fn amount_recomputes(record: &Record) -> bool {
    let Some(arithmetic) = &record.arithmetic else { return true };
    let computed = Arithmetic::parse(arithmetic).and_then(|arithmetic| arithmetic.recompute());
    computed.is_some_and(|(amount, unrounded)| amount == record.amount && Some(unrounded) == record.unrounded)
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
        if !amount_recomputes(record) {
            return Some(format!("{at}: its arithmetic does not come to {}", record.amount));
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
