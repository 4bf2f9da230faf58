use crate::domain::Error;
use crate::domain::booking::MAX_HOLD;
use crate::model::{Customer, CustomerId, Money, Record, Timestamp};
use crate::store::Store;

/// Holds read at a time.
const SLICE: i64 = 1000;

/// What a customer had at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastBalance {
    /// The instant asked for.
    pub at: Timestamp,
    /// The last record booked until then; `None` before the first one, when the balance was zero.
    pub last: Option<Record>,
    /// What the holds reserved that were open then.
    pub held: Money,
}

impl PastBalance {
    /// The customer as it was, with the credit limit and the status of today: those of the past are not kept.
    pub fn of(&self, today: &Customer) -> Customer {
        Customer {
            balance: self.last.as_ref().map_or(Money::ZERO, |record| record.balance_after),
            held: self.held,
            last_seq: self.last.as_ref().map_or(0, |record| record.seq),
            ..today.clone()
        }
    }
}

/// The balance of a customer at an instant. A customer that does not exist has no records.
pub async fn balance_at(store: &Store, customer: &CustomerId, at: Timestamp) -> Result<PastBalance, Error> {
    // What is open now is not taken to expire: it may be captured before. The customer's last change may be a moment
    // ahead of the database's clock.
    let now = store.ledger_row(customer).await?.map(|row| row.now.max(row.customer.updated_at));
    let held = held_at(store, customer, now.map_or(at, |now| at.min(now))).await?;
    let last = store.record_at(customer, at).await?;
    Ok(PastBalance { at, last, held })
}

async fn held_at(store: &Store, customer: &CustomerId, at: Timestamp) -> Result<Money, Error> {
    let (mut held, mut after) = (0i128, None);
    loop {
        let slice = store.holds_open_at(customer, at, MAX_HOLD, after, SLICE).await?;
        held += slice.iter().map(|hold| hold.amount.wide()).sum::<i128>();
        match slice.last() {
            Some(last) if slice.len() as i64 == SLICE => after = Some((last.created_at, last.id)),
            _ => break,
        }
    }
    Money::from_wide(held).ok_or_else(|| Error::Internal("held is out of range".to_owned()))
}
