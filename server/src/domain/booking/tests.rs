use std::collections::BTreeMap;

use proptest::prelude::*;
use uuid::Uuid;

use super::decide::Ledger;
use super::{BookingRequest, Command};
use crate::domain::Error;
use crate::model::{
    Currency, Customer, CustomerId, CustomerStatus, Kind, Mode, Money, RecordId, Timestamp, Transno,
    UsageBilling,
};
use crate::store::LedgerRow;

fn money(text: &str) -> Money {
    Money::parse_signed(text).unwrap()
}

fn customer(id: &str, balance: &str) -> Customer {
    Customer {
        id: CustomerId::parse(id).unwrap(),
        balance: money(balance),
        held: Money::ZERO,
        currency: Currency::parse("CNY").unwrap(),
        credit_limit: Money::ZERO,
        status: CustomerStatus::Active,
        mode: None,
        usage_billing: UsageBilling::Log,
        last_seq: 0,
        last_hash: [0; 32],
        version: 1,
        last_recharge: None,
        last_consumption: None,
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    }
}

fn command(n: u128, customer: &str, transno: &str, kind: Kind, amount: &str) -> Command {
    Command {
        record_id: RecordId(Uuid::from_u128(n)),
        request: BookingRequest {
            customer_id: CustomerId::parse(customer).unwrap(),
            transno: Transno::parse(transno).unwrap(),
            kind,
            amount: money(amount),
            currency: None,
            user_id: None,
            llmid: None,
            model_name: None,
            pricing_id: None,
            input_tokens: None,
            output_tokens: None,
            usage: None,
            request_id: None,
            event_time: None,
            note: None,
            body_hash: [u8::try_from(amount.len()).unwrap(); 32],
            nonce: None,
        },
    }
}

fn ledger(customers: Vec<Customer>) -> Ledger {
    let now = Timestamp::from_seconds(1_780_000_000);
    let rows = customers.into_iter().map(|customer| LedgerRow { customer, now }).collect();
    Ledger::new(rows, Vec::new(), Mode::Strict)
}

#[test]
fn charges_pass_until_the_money_is_spent_and_not_beyond() {
    let commands: Vec<_> = (0..5).map(|n| command(n, "c", &format!("t{n}"), Kind::Charge, "3")).collect();
    let decided = ledger(vec![customer("c", "10")]).decide(&commands, &[true; 5]);
    let passed: Vec<_> = decided.verdicts.iter().map(Result::is_ok).collect();
    assert_eq!(passed, [true, true, true, false, false]);
    assert!(matches!(
        &decided.verdicts[3],
        Err(Error::InsufficientBalance { available, required }) if *available == money("1") && *required == money("3")
    ));
    assert_eq!(decided.customers[0].balance, money("1"));
    assert_eq!(decided.records.iter().map(|r| r.seq).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn records_of_a_customer_form_a_chain() {
    let commands: Vec<_> = (0..3).map(|n| command(n, "c", &format!("t{n}"), Kind::Credit, "1")).collect();
    let decided = ledger(vec![customer("c", "0")]).decide(&commands, &[true; 3]);
    let mut previous = [0; 32];
    for record in &decided.records {
        assert_eq!(record.prev_hash, previous);
        assert_eq!(record.hash, record.chain_hash());
        previous = record.hash;
    }
    assert_eq!(decided.customers[0].last_hash, previous);
}

#[test]
fn a_repetition_in_the_same_batch_is_a_replay_and_another_body_a_conflict() {
    let mut other = command(3, "c", "t", Kind::Credit, "2");
    other.request.body_hash = [9; 32];
    let commands = [command(1, "c", "t", Kind::Credit, "1"), command(2, "c", "t", Kind::Credit, "1"), other];
    let decided = ledger(vec![customer("c", "0")]).decide(&commands, &[true; 3]);
    let first = decided.verdicts[0].as_ref().unwrap();
    let second = decided.verdicts[1].as_ref().unwrap();
    assert!(!first.replayed && second.replayed);
    assert_eq!(first.record, second.record);
    assert!(matches!(decided.verdicts[2], Err(Error::TransnoConflict)));
    assert_eq!(decided.records.len(), 1);
}

#[test]
fn a_command_that_meets_its_own_lost_commit_is_no_replay() {
    let command = command(1, "c", "t", Kind::Credit, "1");
    let landed = ledger(vec![customer("c", "0")]).decide(std::slice::from_ref(&command), &[true]);
    let now = Timestamp::default();
    let row = LedgerRow { customer: landed.customers[0].clone(), now };
    let again = Ledger::new(vec![row], landed.records.clone(), Mode::Strict).decide(&[command], &[true]);
    let booked = again.verdicts[0].as_ref().unwrap();
    assert!(!booked.replayed);
    assert!(again.records.is_empty() && again.customers.is_empty());
}

#[test]
fn a_spent_nonce_refuses_its_item_and_leaves_its_neighbours_alone() {
    let commands: Vec<_> = (0..3).map(|n| command(n, "c", &format!("t{n}"), Kind::Credit, "1")).collect();
    let decided = ledger(vec![customer("c", "0")]).decide(&commands, &[true, false, true]);
    assert!(matches!(decided.verdicts[1], Err(Error::Auth(crate::signing::AuthError::Replay))));
    assert_eq!(decided.customers[0].balance, money("2"));
}

#[test]
fn suspended_customers_take_credits_only() {
    let mut suspended = customer("c", "10");
    suspended.status = CustomerStatus::Suspended;
    let commands = [command(1, "c", "t1", Kind::Charge, "1"), command(2, "c", "t2", Kind::Credit, "1")];
    let decided = ledger(vec![suspended]).decide(&commands, &[true; 2]);
    assert!(matches!(decided.verdicts[0], Err(Error::CustomerSuspended)));
    assert!(decided.verdicts[1].is_ok());
}

#[test]
fn credit_limits_holds_and_modes_decide_what_is_available() {
    let charge = || [command(1, "c", "t", Kind::Charge, "6")];
    let with = |change: fn(&mut Customer)| {
        let mut c = customer("c", "5");
        change(&mut c);
        ledger(vec![c]).decide(&charge(), &[true]).verdicts[0].is_ok()
    };
    assert!(!with(|_| ()));
    assert!(with(|c| c.credit_limit = Money::parse("1").unwrap()));
    assert!(!with(|c| {
        c.credit_limit = Money::parse("1").unwrap();
        c.held = Money::parse("0.000000001").unwrap();
    }));
    assert!(with(|c| c.mode = Some(Mode::AllowNegative)));
}

#[test]
fn currencies_never_mix_and_balances_never_overflow() {
    let mut dollars = command(1, "c", "t1", Kind::Credit, "1");
    dollars.request.currency = Currency::parse("USD");
    let commands = [dollars, command(2, "c", "t2", Kind::Credit, "9000000000")];
    let decided = ledger(vec![customer("c", "1")]).decide(&commands, &[true; 2]);
    assert!(matches!(decided.verdicts[0], Err(Error::CurrencyMismatch { .. })));
    assert!(matches!(decided.verdicts[1], Err(Error::AmountOutOfRange)));
    assert!(decided.records.is_empty());
}

#[test]
fn an_unknown_customer_is_not_found() {
    let decided = ledger(Vec::new()).decide(&[command(1, "c", "t", Kind::Credit, "1")], &[true]);
    assert!(matches!(decided.verdicts[0], Err(Error::NotFound("customer"))));
}

proptest! {
    /// The model is a map of balances, written as plainly as can be.
    #[test]
    fn any_sequence_of_bookings_agrees_with_a_plain_ledger(
        steps in prop::collection::vec((0..3u8, 0..6u8, 0..3u8, -50i64..50), 1..60),
        cuts in prop::collection::vec(1..8usize, 1..20),
    ) {
        let ids = ["a", "b", "c"];
        let mut customers: Vec<_> = ids.iter().map(|id| customer(id, "20")).collect();
        let mut model: BTreeMap<&str, i64> = ids.iter().map(|id| (*id, 20)).collect();
        let mut seen: BTreeMap<(String, String), (Kind, i64)> = BTreeMap::new();
        let mut prior = Vec::new();
        let mut steps = steps.into_iter().enumerate();
        let mut cuts = cuts.into_iter().cycle();
        loop {
            let batch: Vec<_> = steps.by_ref().take(cuts.next().unwrap()).collect();
            if batch.is_empty() { break; }
            let commands: Vec<_> = batch.iter().map(|(n, (who, name, kind, amount))| {
                let kind = [Kind::Charge, Kind::Credit, Kind::Adjustment][usize::from(*kind)];
                let amount = if kind == Kind::Adjustment { *amount } else { amount.abs() };
                let mut c = command(*n as u128 + 1, ids[usize::from(*who)], &format!("t{name}"), kind, &amount.to_string());
                c.request.body_hash = [0; 32];
                c.request.body_hash[0] = kind as u8;
                c.request.body_hash[1..9].copy_from_slice(&amount.to_be_bytes());
                c
            }).collect();
            let now = Timestamp::from_seconds(1);
            let rows = customers.iter().cloned().map(|customer| LedgerRow { customer, now }).collect();
            let decided = Ledger::new(rows, prior.clone(), Mode::Strict).decide(&commands, &vec![true; commands.len()]);
            for (command, verdict) in commands.iter().zip(&decided.verdicts) {
                let r = &command.request;
                let amount = r.amount.nanos() / 1_000_000_000;
                let key = (r.customer_id.to_string(), r.transno.to_string());
                let balance = model.get_mut(r.customer_id.as_str()).unwrap();
                match seen.get(&key) {
                    Some(first) if *first == (r.kind, amount) => prop_assert!(verdict.as_ref().unwrap().replayed),
                    Some(_) => prop_assert!(matches!(verdict, Err(Error::TransnoConflict))),
                    None => {
                        let delta = if r.kind == Kind::Charge { -amount } else { amount };
                        if delta < 0 && *balance + delta < 0 {
                            let refused = matches!(verdict, Err(Error::InsufficientBalance { .. }));
                            prop_assert!(refused);
                        } else {
                            *balance += delta;
                            seen.insert(key, (r.kind, amount));
                            prop_assert!(!verdict.as_ref().unwrap().replayed);
                        }
                    }
                }
            }
            for changed in decided.customers {
                let slot = customers.iter_mut().find(|c| c.id == changed.id).unwrap();
                *slot = changed;
            }
            prior.extend(decided.records);
        }
        for c in &customers {
            prop_assert_eq!(c.balance.nanos(), model[c.id.as_str()] * 1_000_000_000);
            let own: Vec<_> = prior.iter().filter(|r| r.customer_id == c.id).collect();
            prop_assert_eq!(c.last_seq, own.len() as i64);
            prop_assert!(own.windows(2).all(|w| w[1].prev_hash == w[0].hash && w[1].seq == w[0].seq + 1));
        }
    }
}
