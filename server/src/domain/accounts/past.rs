use crate::domain::Error;
use crate::model::{CustomerId, Money, Record, Timestamp};
use crate::store::Store;

/// What a customer had at an instant, by the ledger: as it stood after the last record booked until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastBalance {
    /// The instant asked for.
    pub at: Timestamp,
    /// That record; `None` before the first one, when the balance was zero.
    pub last: Option<Record>,
}

impl PastBalance {
    /// The balance after the last record.
    pub fn balance(&self) -> Money {
        self.last.as_ref().map_or(Money::ZERO, |record| record.balance_after)
    }

    /// The open holds right after the last record.
    pub fn held(&self) -> Money {
        self.last.as_ref().map_or(Money::ZERO, |record| record.held_after)
    }

    /// The last record's place in the ledger; 0 before the first one.
    pub fn seq(&self) -> i64 {
        self.last.as_ref().map_or(0, |record| record.seq)
    }
}

/// The balance of a customer at an instant. A customer that does not exist has no records.
pub async fn balance_at(store: &Store, customer: &CustomerId, at: Timestamp) -> Result<PastBalance, Error> {
    Ok(PastBalance { at, last: store.record_at(customer, at).await? })
}
