use std::collections::HashMap;

use super::{SLICE, Stop};
use crate::model::{Customer, Hold, HoldState, Money, Record, RecordId, Timestamp};
use crate::store::Tx;

/// A customer's holds: as many as were made, in its currency, under names that no record has; what the open ones reserve
/// is what is held; a hold was captured if, and only if, exactly one record settles it.
pub(super) async fn verify(tx: &mut Tx, customer: &Customer) -> Result<(), Stop> {
    let at = &customer.id;
    let (mut made, mut held) = (0, 0i128);
    let mut after = (Timestamp::from_micros(i64::MIN), RecordId(uuid::Uuid::nil()));
    loop {
        let slice: Vec<Hold> =
            tx.holds_after(&customer.id, after, SLICE).await?.into_iter().collect::<Result<_, _>>()?;
        let Some(last) = slice.last() else { break };
        after = (last.created_at, last.id);
        for hold in &slice {
            made += 1;
            if hold.state == HoldState::Open {
                held += hold.amount.wide();
            }
            let which = format!("{at}, hold {} ({})", hold.id, hold.transno);
            if hold.currency != customer.currency {
                let (currency, is) = (hold.currency, customer.currency);
                return Err(format!("{which}: its currency is {currency}, the customer's is {is}").into());
            }
            if hold.state != HoldState::Captured && hold.captured != Money::ZERO {
                return Err(
                    format!("{which}: {} was captured, but it is {}", hold.captured, hold.state).into()
                );
            }
        }
        if let Some(record) = tx.namesake_of(&customer.id, &slice).await? {
            return Err(format!("{at}: the transno {record} names a hold and a record").into());
        }
        verify_captured(tx, customer, &slice).await?;
    }
    if customer.holds_made != made {
        let said = customer.holds_made;
        return Err(format!("{at}: {said} holds were made, but there are {made}").into());
    }
    if customer.held.wide() != held {
        let sum = Money::from_wide(held).map_or_else(|| "more than fits".to_owned(), |m| m.to_string());
        return Err(format!("{at}: held is {}, the open holds add up to {sum}", customer.held).into());
    }
    Ok(())
}

async fn verify_captured(tx: &mut Tx, customer: &Customer, holds: &[Hold]) -> Result<(), Stop> {
    let captured: Vec<_> = holds.iter().filter(|hold| hold.state == HoldState::Captured).collect();
    let mut settled: HashMap<RecordId, Vec<Money>> = HashMap::new();
    for row in tx.captures_of(&customer.id, &captured).await? {
        let record = row?;
        if let Some(hold) = record.hold_id {
            settled.entry(hold).or_default().push(record.amount);
        }
    }
    for hold in captured {
        let amounts = settled.get(&hold.id).map(Vec::as_slice).unwrap_or_default();
        if amounts != [hold.captured] {
            let (at, captured) = (&customer.id, hold.captured);
            return Err(format!(
                "{at}, hold {} ({}): {captured} was captured, but {} records settle it",
                hold.id,
                hold.transno,
                amounts.iter().filter(|amount| **amount == captured).count()
            )
            .into());
        }
    }
    Ok(())
}

/// Each of these records of a customer that settles a hold is the one that its hold was closed by.
pub(super) async fn verify_captures(tx: &mut Tx, records: &[Record]) -> Result<(), Stop> {
    let ids: Vec<_> = records.iter().filter_map(|record| record.hold_id).collect();
    let mut holds = HashMap::new();
    for row in tx.holds_named(&ids).await? {
        let hold = row?;
        holds.insert(hold.id, hold);
    }
    for record in records {
        let Some(id) = record.hold_id else { continue };
        let settles = |hold: &Hold| {
            hold.state == HoldState::Captured
                && hold.customer_id == record.customer_id
                && hold.captured == record.amount
                && hold.updated_at == record.created_at
        };
        if !holds.get(&id).is_some_and(settles) {
            let (at, seq) = (&record.customer_id, record.seq);
            return Err(format!("{at}, record {seq}: the hold {id} is not one that it settled").into());
        }
    }
    Ok(())
}
