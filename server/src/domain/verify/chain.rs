use crate::domain::pricing::Arithmetic;
use crate::model::{Customer, Money, Record, Timestamp};

/// Where the recomputation of a customer stands.
pub(super) struct Chain<'c> {
    customer: &'c Customer,
    balance: Money,
    seq: i64,
    hash: [u8; 32],
    time: Timestamp,
}

impl<'c> Chain<'c> {
    pub fn of(customer: &'c Customer) -> Self {
        let time = Timestamp::from_micros(i64::MIN);
        Self { customer, balance: Money::ZERO, seq: 0, hash: [0; 32], time }
    }

    pub const fn seq(&self) -> i64 {
        self.seq
    }

    /// Goes on to the next record, unless it does not follow.
    pub fn step(&mut self, record: &Record) -> Result<(), String> {
        let at = format!("{}, record {} ({})", self.customer.id, record.seq, record.transno);
        if record.seq != self.seq + 1 {
            return Err(format!("{at}: seq {} is missing", self.seq + 1));
        }
        if record.currency != self.customer.currency {
            let (currency, is) = (record.currency, self.customer.currency);
            return Err(format!("{at}: its currency is {currency}, the customer's is {is}"));
        }
        let Some(balance) = self.balance.checked_add(record.delta) else {
            return Err(format!("{at}: the balance leaves the range of money"));
        };
        if record.balance_after != balance {
            return Err(format!(
                "{at}: balance_after is {}, the records before it add up to {balance}",
                record.balance_after
            ));
        }
        if record.prev_hash != self.hash {
            return Err(format!("{at}: it does not follow the record before it; one was changed or removed"));
        }
        if record.hash != record.chain_hash() {
            return Err(format!("{at}: its content was changed after it was booked"));
        }
        if record.created_at < self.time {
            return Err(format!("{at}: it was booked before the record before it"));
        }
        if !amount_recomputes(record) {
            return Err(format!("{at}: its arithmetic does not come to {}", record.amount));
        }
        (self.balance, self.seq, self.hash, self.time) =
            (balance, record.seq, record.hash, record.created_at);
        Ok(())
    }

    /// The customer's row says what the records come to.
    pub fn end(&self) -> Result<(), String> {
        let Customer { id: at, last_seq, balance, last_hash, .. } = self.customer;
        if *last_seq != self.seq {
            return Err(format!("{at}: the last seq is {last_seq}, but there are {} records", self.seq));
        }
        if *balance != self.balance {
            return Err(format!("{at}: the balance is {balance}, the records add up to {}", self.balance));
        }
        if *last_hash != self.hash {
            return Err(format!("{at}: the last hash is not that of the last record"));
        }
        Ok(())
    }
}

/// Whether a computed amount is what its arithmetic comes to; others are as they were given.
fn amount_recomputes(record: &Record) -> bool {
    let Some(arithmetic) = &record.arithmetic else { return true };
    let computed = Arithmetic::parse(arithmetic).and_then(|arithmetic| arithmetic.recompute());
    computed.is_some_and(|(amount, unrounded)| amount == record.amount && Some(unrounded) == record.unrounded)
}
