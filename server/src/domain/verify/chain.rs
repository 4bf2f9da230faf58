use crate::domain::pricing::Arithmetic;
use crate::model::{Customer, Kind, Money, Record, Timestamp};

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

    /// Goes on to the next record, unless it does not follow.
    pub fn step(&mut self, record: &Record) -> Result<(), String> {
        let at = format!("{}, record {} ({})", self.customer.id, record.seq, record.transno);
        if record.seq <= self.seq {
            return Err(format!("{at}: records are numbered from 1"));
        }
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
        if !moves_its_amount(record) {
            let Record { kind, amount, delta, .. } = record;
            return Err(format!("{at}: a {kind} of {amount} does not move the balance by {delta}"));
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

/// Whether the balance moves by the amount, and in the direction that the kind has. Which way a reversal goes is
/// known by its original.
fn moves_its_amount(record: &Record) -> bool {
    let Record { amount, delta, .. } = record;
    match record.kind {
        Kind::Charge | Kind::Capture => *delta == amount.negated() && !amount.is_negative(),
        Kind::Credit => delta == amount && !amount.is_negative(),
        Kind::Adjustment | Kind::Opening | Kind::Sync => delta == amount,
        Kind::Reversal => {
            delta.wide().abs() == amount.wide() && record.reverses.is_some() && *amount != Money::ZERO
        }
    }
}

/// Whether a computed amount, which names the version of its price list, is what its arithmetic comes to; others are as
/// they were given.
fn amount_recomputes(record: &Record) -> bool {
    let Some(arithmetic) = &record.arithmetic else {
        return record.pricing_version.is_none() && record.unrounded.is_none();
    };
    let computed = Arithmetic::parse(arithmetic).and_then(|arithmetic| arithmetic.recompute());
    computed.is_some_and(|(amount, unrounded)| amount == record.amount && Some(unrounded) == record.unrounded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RecordId;
    use crate::model::test_record;

    #[test]
    fn a_record_that_names_the_version_of_its_price_list_has_its_arithmetic() {
        let given = Record { pricing_version: None, unrounded: None, arithmetic: None, ..test_record() };
        assert!(amount_recomputes(&given));
        assert!(!amount_recomputes(&Record { pricing_version: Some(1), ..given.clone() }));
        assert!(!amount_recomputes(&Record { unrounded: Some("1".to_owned()), ..given }));
    }

    #[test]
    fn a_record_moves_the_balance_by_its_amount_in_the_direction_of_its_kind() {
        let moves = |kind, amount: &str, delta: &str| {
            let (amount, delta) = (Money::parse_signed(amount).unwrap(), Money::parse_signed(delta).unwrap());
            moves_its_amount(&Record { kind, amount, delta, ..test_record() })
        };
        for kind in [Kind::Charge, Kind::Capture] {
            assert!(moves(kind, "5", "-5") && moves(kind, "0", "0"));
            assert!(!moves(kind, "5", "5") && !moves(kind, "5", "-3") && !moves(kind, "-5", "5"));
        }
        assert!(moves(Kind::Credit, "5", "5"));
        assert!(!moves(Kind::Credit, "5", "-5") && !moves(Kind::Credit, "-5", "-5"));
        assert!(moves(Kind::Adjustment, "-5", "-5") && !moves(Kind::Adjustment, "-5", "5"));
        let reverses = |reverses| {
            let (amount, delta) = (Money::parse("5").unwrap(), Money::parse_signed("-5").unwrap());
            moves_its_amount(&Record { kind: Kind::Reversal, amount, delta, reverses, ..test_record() })
        };
        assert!(reverses(Some(RecordId(uuid::Uuid::nil()))) && !reverses(None));
    }
}
