use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use proptest::prelude::*;
use uuid::Uuid;

use super::backend::LedgerBackend;
use super::command::Command;
use super::decide::{Decided, Ledger, Loaded};
use super::{
    Action, Booked, Booking, BookingMetrics, BookingParts, Capture, Outcome, Request, Reserve, Reserved,
    Reverse, Rules, UsageFloor,
};
use crate::config::{self, LiveConfig};
use crate::domain::Error;
use crate::domain::balances::BalanceCache;
use crate::domain::caches::Caches;
use crate::model::{
    Clock, Currency, Customer, CustomerId, CustomerStatus, Hold, HoldState, Kind, Mode, Money, Record,
    RecordId, SystemClock, SystemEntropy, Timestamp, Transno, UsageBilling, UsageRecord,
};
use crate::signing::AuthError;
use crate::store::{self, LedgerChanges, LedgerRow, NonceUse, NotCommitted, QuotaRows};
use crate::telemetry::metrics::Metrics;

fn money(text: &str) -> Money {
    Money::parse_signed(text).unwrap()
}

pub(super) fn customer(id: &str, balance: &str) -> Customer {
    Customer {
        id: CustomerId::parse(id).unwrap(),
        balance: money(balance),
        held: Money::ZERO,
        holds_made: 0,
        currency: Currency::parse("CNY").unwrap(),
        credit_limit: Money::ZERO,
        status: CustomerStatus::Active,
        mode: None,
        usage_billing: UsageBilling::Log,
        last_seq: 0,
        last_useq: 0,
        last_usage_at: Timestamp::default(),
        last_hash: [0; 32],
        version: 1,
        settings_version: 1,
        last_recharge: None,
        last_consumption: None,
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    }
}

fn id(n: u128) -> RecordId {
    RecordId(Uuid::from_u128(n))
}

fn transno(text: &str) -> Transno {
    Transno::parse(text).unwrap()
}

fn command(n: u128, customer: &str, name: &str, kind: Kind, amount: &str) -> Command {
    let customer = CustomerId::parse(customer).unwrap();
    let body_hash = [u8::try_from(amount.len()).unwrap(); 32];
    let request = Request::booking(customer, transno(name), kind, money(amount));
    Command::new(Request { body_hash, ..request }, id(n))
}

/// So many charges of a customer.
pub fn charges(customer: &str, count: usize) -> Vec<Request> {
    let named = |n: usize| command(1, customer, &format!("t-{n}"), Kind::Charge, "1").request;
    (0..count).map(named).collect()
}

fn act(n: u128, action: Action) -> Command {
    let customer_id = CustomerId::parse("c").unwrap();
    Command::new(Request { customer_id, body_hash: [7; 32], nonce: None, action }, id(n))
}

fn hold(n: u128, name: &str, amount: &str) -> Command {
    let reserve = Reserve {
        transno: transno(name),
        amount: money(amount),
        currency: None,
        ttl: Duration::from_secs(60),
        user_id: None,
        note: None,
    };
    act(n, Action::Hold(reserve))
}

fn capture(n: u128, name: &str, hold: u128, amount: Option<&str>) -> Command {
    act(n, Action::Capture(Capture { transno: transno(name), hold: id(hold), amount: amount.map(money) }))
}

fn reverse(n: u128, name: &str, record: u128, amount: Option<&str>) -> Command {
    let amount = amount.map(money);
    act(
        n,
        Action::Reverse(Reverse {
            transno: transno(name),
            record: id(record),
            amount,
            of_any_kind: true,
            note: None,
        }),
    )
}

const NOW: i64 = 1_780_000_000;

fn at(customer: Customer, seconds: i64) -> LedgerRow {
    LedgerRow { customer, now: Timestamp::from_seconds(NOW + seconds) }
}

/// A ledger in memory: applies what is decided, and finds what the store would find.
#[derive(Default)]
struct World {
    customers: BTreeMap<String, Customer>,
    records: Vec<Record>,
    holds: Vec<Hold>,
    reversals: Vec<crate::store::Reversal>,
    usage: Vec<UsageRecord>,
    seconds: i64,
}

impl World {
    fn of(customers: Vec<Customer>) -> Self {
        let customers = customers.into_iter().map(|c| (c.id.to_string(), c)).collect();
        Self { customers, ..Self::default() }
    }

    fn found(&self) -> Loaded {
        let now = Timestamp::from_seconds(NOW + self.seconds);
        Loaded {
            customers: self.customers.values().cloned().map(|c| at(c, self.seconds)).collect(),
            records: self.records.clone(),
            holds: self.holds.clone(),
            reversals: self.reversals.clone(),
            due_holds: self
                .holds
                .iter()
                .filter(|h| h.state == HoldState::Open && h.expires_at <= now)
                .cloned()
                .collect(),
            usage: self.usage.clone(),
            quota: QuotaRows::default(),
        }
    }

    fn apply(&mut self, changes: LedgerChanges) {
        for customer in changes.customers {
            self.customers.insert(customer.id.to_string(), customer);
        }
        self.records.extend(changes.records);
        self.reversals.extend(changes.reversals);
        for hold in changes.holds {
            match self.holds.iter_mut().find(|h| h.id == hold.id) {
                Some(row) => *row = hold,
                None => self.holds.push(hold),
            }
        }
    }

    fn run(&mut self, commands: &[Command]) -> Vec<Result<Outcome, Error>> {
        let Decided { changes, verdicts } =
            Ledger::new(self.found(), Rules::of(Mode::Strict)).decide(commands, &vec![true; commands.len()]);
        self.apply(changes);
        verdicts
    }

    fn one(&mut self, command: Command) -> Result<Outcome, Error> {
        self.run(&[command]).remove(0)
    }

    fn customer(&self) -> &Customer {
        &self.customers["c"]
    }
}

fn booked(outcome: &Result<Outcome, Error>) -> &Booked {
    match outcome {
        Ok(Outcome::Booked(booked)) => booked,
        other => panic!("{other:?}"),
    }
}

fn reserved(outcome: &Result<Outcome, Error>) -> &Reserved {
    match outcome {
        Ok(Outcome::Reserved(reserved)) => reserved,
        other => panic!("{other:?}"),
    }
}

#[test]
fn charges_pass_until_the_money_is_spent_and_not_beyond() {
    let mut world = World::of(vec![customer("c", "10")]);
    let commands: Vec<_> = (0..5).map(|n| command(n, "c", &format!("t{n}"), Kind::Charge, "3")).collect();
    let verdicts = world.run(&commands);
    let passed: Vec<_> = verdicts.iter().map(Result::is_ok).collect();
    assert_eq!(passed, [true, true, true, false, false]);
    assert!(matches!(
        &verdicts[3],
        Err(Error::InsufficientBalance { available, required }) if *available == money("1") && *required == money("3")
    ));
    assert_eq!(world.customer().balance, money("1"));
    assert_eq!(world.records.iter().map(|r| r.seq).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn records_of_a_customer_form_a_chain() {
    let mut world = World::of(vec![customer("c", "0")]);
    let commands: Vec<_> = (0..3).map(|n| command(n, "c", &format!("t{n}"), Kind::Credit, "1")).collect();
    world.run(&commands);
    let mut previous = [0; 32];
    for record in &world.records {
        assert_eq!(record.prev_hash, previous);
        assert_eq!(record.hash, record.chain_hash());
        previous = record.hash;
    }
    assert_eq!(world.customer().last_hash, previous);
}

#[test]
fn a_repetition_in_the_same_batch_is_a_replay_and_another_body_a_conflict() {
    let mut world = World::of(vec![customer("c", "0")]);
    let mut other = command(3, "c", "t", Kind::Credit, "2");
    other.request.body_hash = [9; 32];
    let commands = [command(1, "c", "t", Kind::Credit, "1"), command(2, "c", "t", Kind::Credit, "1"), other];
    let verdicts = world.run(&commands);
    let (first, second) = (booked(&verdicts[0]), booked(&verdicts[1]));
    assert!(!first.replayed && second.replayed);
    assert_eq!(first.record, second.record);
    assert!(matches!(verdicts[2], Err(Error::TransnoConflict)));
    assert_eq!(world.records.len(), 1);
}

#[test]
fn a_command_that_meets_its_own_lost_commit_is_no_replay() {
    let mut world = World::of(vec![customer("c", "5")]);
    let credit = [command(1, "c", "t", Kind::Credit, "1")];
    assert!(world.run(&credit)[0].is_ok());
    assert!(!booked(&world.run(&credit)[0]).replayed);
    let hold = [hold(2, "h", "1")];
    assert!(world.run(&hold)[0].is_ok());
    assert!(!reserved(&world.run(&hold)[0]).replayed);
    assert_eq!((world.records.len(), world.holds.len()), (1, 1));
}

#[test]
fn a_spent_nonce_refuses_its_item_and_leaves_its_neighbours_alone() {
    let world = World::of(vec![customer("c", "0")]);
    let commands: Vec<_> = (0..3).map(|n| command(n, "c", &format!("t{n}"), Kind::Credit, "1")).collect();
    let decided = Ledger::new(world.found(), Rules::of(Mode::Strict)).decide(&commands, &[true, false, true]);
    assert!(matches!(decided.verdicts[1], Err(Error::Auth(AuthError::Replay))));
    assert_eq!(decided.changes.customers[0].balance, money("2"));
}

#[test]
fn suspended_customers_take_credits_only() {
    let mut suspended = customer("c", "10");
    suspended.status = CustomerStatus::Suspended;
    let mut world = World::of(vec![suspended]);
    assert!(matches!(world.one(command(1, "c", "t1", Kind::Charge, "1")), Err(Error::CustomerSuspended)));
    assert!(matches!(world.one(hold(2, "h", "1")), Err(Error::CustomerSuspended)));
    assert!(world.one(command(3, "c", "t2", Kind::Credit, "1")).is_ok());
}

#[test]
fn credit_limits_holds_and_modes_decide_what_is_available() {
    let with = |change: fn(&mut Customer)| {
        let mut c = customer("c", "5");
        change(&mut c);
        World::of(vec![c]).one(command(1, "c", "t", Kind::Charge, "6")).is_ok()
    };
    assert!(!with(|_| ()));
    assert!(with(|c| c.credit_limit = money("1")));
    assert!(!with(|c| {
        c.credit_limit = money("1");
        c.held = money("0.000000001");
    }));
    assert!(with(|c| c.mode = Some(Mode::AllowNegative)));
}

#[test]
fn currencies_never_mix_and_balances_never_overflow() {
    let mut world = World::of(vec![customer("c", "1")]);
    let mut dollars = command(1, "c", "t1", Kind::Credit, "1");
    if let Action::Book(entry) = &mut dollars.request.action {
        entry.currency = Currency::parse("USD");
    }
    assert!(matches!(world.one(dollars), Err(Error::CurrencyMismatch { .. })));
    assert!(matches!(
        world.one(command(2, "c", "t2", Kind::Credit, "9000000000")),
        Err(Error::AmountOutOfRange)
    ));
    assert!(world.records.is_empty());
}

#[test]
fn an_amount_of_the_wrong_sign_is_refused_and_moves_nothing() {
    let mut world = World::of(vec![customer("c", "10")]);
    world.run(&[hold(1, "h", "4"), command(2, "c", "t", Kind::Charge, "1")]);
    let before = world.customer().clone();
    let reverse = Reverse {
        transno: Transno::parse("r").unwrap(),
        record: id(2),
        amount: Some(money("-1")),
        of_any_kind: false,
        note: None,
    };
    for wrong in [
        command(3, "c", "t1", Kind::Charge, "-1"),
        command(4, "c", "t2", Kind::Credit, "-1"),
        hold(5, "h2", "-1"),
        capture(6, "c1", 1, Some("-1")),
        act(7, Action::Reverse(reverse)),
    ] {
        assert!(matches!(world.one(wrong), Err(Error::AmountOutOfRange)));
    }
    assert_eq!(*world.customer(), before);
    assert!(world.one(command(8, "c", "t3", Kind::Adjustment, "-1")).is_ok());
}

#[test]
fn an_unknown_customer_is_not_found() {
    let verdict = World::default().one(command(1, "c", "t", Kind::Credit, "1"));
    assert!(matches!(verdict, Err(Error::NotFound("customer"))));
}

#[test]
fn a_hold_reserves_and_its_capture_settles() {
    let mut world = World::of(vec![customer("c", "10")]);
    let made = reserved(&world.one(hold(1, "h", "8"))).hold.clone();
    assert_eq!((made.state, made.available_after), (HoldState::Open, money("2")));
    assert!(world.one(command(2, "c", "t", Kind::Charge, "3")).is_err());
    let record = booked(&world.one(capture(3, "cap", 1, Some("6")))).record.clone();
    assert_eq!((record.kind, record.delta, record.hold_id), (Kind::Capture, money("-6"), Some(id(1))));
    assert_eq!((world.customer().balance, world.customer().held), (money("4"), Money::ZERO));
    assert_eq!((world.holds[0].state, world.holds[0].captured), (HoldState::Captured, money("6")));
    assert!(matches!(world.one(capture(4, "cap2", 1, None)), Err(Error::HoldClosed(HoldState::Captured))));
    assert!(matches!(world.one(act(5, Action::Release(id(1)))), Err(Error::HoldClosed(HoldState::Captured))));
}

#[test]
fn a_capture_above_its_hold_needs_funds_and_counts_its_own_hold() {
    let mut world = World::of(vec![customer("c", "10")]);
    world.run(&[hold(1, "h1", "4"), hold(2, "h2", "3")]);
    assert!(matches!(world.one(capture(3, "x", 1, Some("7.1"))), Err(Error::InsufficientBalance { .. })));
    assert!(world.one(capture(4, "y", 1, Some("7"))).is_ok());
    assert_eq!((world.customer().balance, world.customer().held), (money("3"), money("3")));
}

#[test]
fn a_suspended_customers_hold_can_be_captured_within_its_amount() {
    let mut world = World::of(vec![customer("c", "10")]);
    world.one(hold(1, "h", "4")).unwrap();
    world.customers.get_mut("c").unwrap().status = CustomerStatus::Suspended;
    assert!(matches!(world.one(capture(2, "x", 1, Some("4.5"))), Err(Error::CustomerSuspended)));
    assert!(world.one(capture(3, "y", 1, None)).is_ok());
}

#[test]
fn a_release_frees_once_and_can_be_repeated() {
    let mut world = World::of(vec![customer("c", "10")]);
    world.one(hold(1, "h", "4")).unwrap();
    let first = reserved(&world.one(act(2, Action::Release(id(1))))).clone();
    let second = reserved(&world.one(act(3, Action::Release(id(1))))).clone();
    assert_eq!((first.replayed, second.replayed), (false, true));
    assert_eq!(second.hold.state, HoldState::Released);
    assert_eq!(world.customer().held, Money::ZERO);
}

#[test]
fn a_due_hold_is_closed_by_the_next_write_and_never_captured() {
    let mut world = World::of(vec![customer("c", "10")]);
    world.one(hold(1, "h", "10")).unwrap();
    world.seconds = 60;
    assert!(matches!(world.one(capture(2, "x", 1, None)), Err(Error::HoldClosed(HoldState::Expired))));
    assert_eq!((world.customer().held, world.holds[0].state), (Money::ZERO, HoldState::Expired));
    let version = world.customer().version;
    world.one(act(3, Action::Expire)).unwrap();
    assert_eq!(world.customer().version, version, "a hold expires once");
    assert!(world.one(command(4, "c", "t", Kind::Charge, "10")).is_ok());
}

#[test]
fn holds_of_one_tick_of_the_clock_have_the_times_of_their_order() {
    let mut world = World::of(vec![customer("c", "10")]);
    let holds: Vec<_> = (0..6).map(|n| hold(9 - n, &format!("h-{n}"), "1")).collect();
    holds.chunks(2).for_each(|two| assert!(world.run(two).iter().all(Result::is_ok)));
    assert!(world.holds.is_sorted_by(|a, b| a.created_at < b.created_at), "{:?}", world.holds);
}

#[test]
fn transnos_are_unique_over_holds_and_records() {
    let mut world = World::of(vec![customer("c", "10")]);
    world.run(&[hold(1, "a", "1"), command(2, "c", "b", Kind::Charge, "1")]);
    assert!(matches!(world.one(command(3, "c", "a", Kind::Charge, "1")), Err(Error::TransnoConflict)));
    assert!(matches!(world.one(hold(4, "b", "1")), Err(Error::TransnoConflict)));
}

#[test]
fn a_repeated_hold_answers_as_the_first_time_whatever_became_of_it() {
    let mut world = World::of(vec![customer("c", "10")]);
    let first = reserved(&world.one(hold(1, "h", "4"))).hold.clone();
    world.one(capture(2, "cap", 1, None)).unwrap();
    let again = reserved(&world.one(hold(3, "h", "4"))).clone();
    assert!(again.replayed);
    assert_eq!(
        (again.hold.state, again.hold.captured, again.hold.id),
        (HoldState::Open, Money::ZERO, first.id)
    );
    assert_eq!(again.hold.available_after, first.available_after);
}

#[test]
fn a_record_is_taken_back_in_parts_and_not_beyond() {
    let mut world = World::of(vec![customer("c", "10")]);
    world.one(command(1, "c", "t", Kind::Charge, "5")).unwrap();
    world.one(reverse(2, "r1", 1, Some("2"))).unwrap();
    assert!(matches!(world.one(reverse(3, "r2", 1, Some("3.1"))), Err(Error::ReversalExceeds(_))));
    let rest = booked(&world.one(reverse(4, "r3", 1, None))).record.clone();
    assert_eq!((rest.amount, rest.delta, rest.reverses), (money("3"), money("3"), Some(id(1))));
    assert!(matches!(world.one(reverse(5, "r4", 1, None)), Err(Error::ReversalExceeds(_))));
    assert!(matches!(world.one(reverse(6, "r5", 4, None)), Err(Error::ReversalExceeds(_))));
    assert!(matches!(world.one(reverse(7, "r6", 99, None)), Err(Error::NotFound("accounting record"))));
    assert_eq!(world.customer().balance, money("10"));
}

#[test]
fn taking_a_credit_back_passes_the_funds_check() {
    let mut world = World::of(vec![customer("c", "0")]);
    world.one(command(1, "c", "t", Kind::Credit, "5")).unwrap();
    world.one(command(2, "c", "u", Kind::Charge, "3")).unwrap();
    assert!(matches!(world.one(reverse(3, "r1", 1, None)), Err(Error::InsufficientBalance { .. })));
    assert!(world.one(reverse(4, "r2", 1, Some("2"))).is_ok());
}

/// One step of the model: what is asked for, in small numbers so that collisions happen.
#[derive(Debug, Clone)]
enum Step {
    Book(Kind, i64),
    Hold(i64),
    Capture(usize, Option<i64>),
    Release(usize),
    Reverse(usize, Option<i64>),
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3usize, 0..30i64).prop_map(|(k, a)| Step::Book([Kind::Charge, Kind::Credit, Kind::Adjustment][k], a)),
        2 => (1..20i64).prop_map(Step::Hold),
        2 => (0..8usize, prop::option::of(1..25i64)).prop_map(|(h, a)| Step::Capture(h, a)),
        1 => (0..8usize).prop_map(Step::Release),
        2 => (0..12usize, prop::option::of(1..25i64)).prop_map(|(r, a)| Step::Reverse(r, a)),
        1 => (1..80i64).prop_map(Step::Wait),
    ]
}

proptest! {
    /// After any sequence of requests, in batches of any size, everything recomputes from nothing.
    #[test]
    fn any_sequence_keeps_the_books_exact(
        steps in prop::collection::vec((step(), 0..40u8), 1..80),
        cuts in prop::collection::vec(1..6usize, 1..10),
    ) {
        let mut world = World::of(vec![customer("c", "20")]);
        let start = world.customer().balance.wide();
        let mut cuts = cuts.into_iter().cycle();
        let mut steps = steps.into_iter().enumerate().peekable();
        while steps.peek().is_some() {
            let size = cuts.next().unwrap();
            let mut batch = Vec::new();
            for (n, (step, name)) in steps.by_ref().take(size) {
                let n = n as u128 + 1;
                let name = format!("t{name}");
                let pick_hold = |i: usize| world.holds.get(i).map_or(0, |h| h.id.0.as_u128());
                let pick_record = |i: usize| world.records.get(i).map_or(0, |r| r.id.0.as_u128());
                let mut c = match step {
                    Step::Book(kind, amount) => command(n, "c", &name, kind, &amount.to_string()),
                    Step::Hold(amount) => hold(n, &name, &amount.to_string()),
                    Step::Capture(i, amount) => capture(n, &name, pick_hold(i), amount.map(|a| a.to_string()).as_deref()),
                    Step::Release(i) => act(n, Action::Release(id(pick_hold(i)))),
                    Step::Reverse(i, amount) => reverse(n, &name, pick_record(i), amount.map(|a| a.to_string()).as_deref()),
                    Step::Wait(seconds) => { world.seconds += seconds; continue; }
                };
                c.request.body_hash = [u8::try_from(n % 251).unwrap(); 32];
                batch.push(c);
            }
            world.run(&batch);
            let c = world.customer();
            let sum: i128 = world.records.iter().map(|r| r.delta.wide()).sum();
            prop_assert_eq!(c.balance.wide(), start + sum);
            let open: i128 = world.holds.iter().filter(|h| h.state == HoldState::Open).map(|h| h.amount.wide()).sum();
            prop_assert_eq!(c.held.wide(), open);
            prop_assert_eq!(c.last_seq, world.records.len() as i64);
            prop_assert!(world.records.windows(2).all(|w| w[1].prev_hash == w[0].hash && w[1].seq == w[0].seq + 1));
            for record in &world.records {
                prop_assert_eq!(record.hash, record.chain_hash());
                let taken: i128 = world.records.iter().filter(|r| r.reverses == Some(record.id)).map(|r| r.amount.wide()).sum();
                prop_assert!(taken <= record.delta.wide().abs());
                // Strict: no record that takes money left less than was reserved, but captures within
                // their hold, which the hold paid for.
                if record.delta.is_negative() && record.kind != Kind::Capture {
                    prop_assert!(!record.available_after.is_negative());
                }
            }
            let mut names: Vec<_> = world.records.iter().map(|r| &r.transno).chain(world.holds.iter().map(|h| &h.transno)).collect();
            names.sort();
            names.dedup();
            prop_assert_eq!(names.len(), world.records.len() + world.holds.len());
        }
    }
}

/// Books that the program has a fault in.
struct FaultyBackend;

impl LedgerBackend for FaultyBackend {
    type Tx = ();

    async fn begin(&mut self, _: &[Command]) -> Result<((), Vec<LedgerRow>, QuotaRows), store::Error> {
        panic!("a fault, as this test wants it");
    }

    async fn look_up(
        &mut self,
        (): &mut (),
        _: &[Command],
        _: Vec<LedgerRow>,
    ) -> Result<Loaded, store::Error> {
        unreachable!()
    }

    async fn spend_nonces(&mut self, (): &mut (), _: &[NonceUse]) -> Result<Vec<bool>, store::Error> {
        unreachable!()
    }

    async fn commit(&mut self, (): (), _: &LedgerChanges) -> Result<(), NotCommitted> {
        unreachable!()
    }

    async fn abort(&mut self, (): (), _: &store::Error) {
        unreachable!()
    }

    async fn rollback(&mut self, (): ()) {
        unreachable!()
    }

    async fn first_use(&mut self, _: NonceUse) -> Result<bool, store::Error> {
        unreachable!()
    }

    async fn locked(&mut self, _: &[CustomerId]) -> Result<Vec<CustomerId>, store::Error> {
        unreachable!()
    }

    async fn await_customer(&mut self, _: &CustomerId) -> Result<(), store::Error> {
        unreachable!()
    }

    async fn back_off(&mut self, _: u32) {
        unreachable!()
    }

    async fn wait(&self, _: Duration) {}
}

fn parts() -> BookingParts {
    let clock: Arc<dyn Clock> = SystemClock::new();
    let metrics = Metrics::new("0");
    let mut config = config::defaults();
    config.accounting = config::Accounting {
        mode: Mode::Strict,
        batch_max: 8,
        batch_delay: Duration::from_millis(2),
        queue: 40,
        writers: 2,
        ..config.accounting
    };
    let config = LiveConfig::new(config);
    BookingParts {
        usage_floor: UsageFloor::default(),
        balances: BalanceCache::new(&Caches::new(&config, &clock, &metrics)),
        nonces: Arc::default(),
        metrics: BookingMetrics::register(&metrics),
        clock,
        entropy: SystemEntropy::new(),
        config,
        runtime: tokio::runtime::Handle::current(),
    }
}

#[tokio::test]
async fn a_writer_that_ends_by_a_fault_is_noticed_and_one_that_drains_is_not() {
    let booking = Booking::start_on(2, || FaultyBackend, parts());
    assert!(booking.broken().now_or_never().is_none(), "nothing has happened yet");
    let request = command(1, "org", "t", Kind::Charge, "1").request;
    assert!(matches!(booking.submit(request).await, Err(Error::Internal(_))));
    tokio::time::timeout(Duration::from_secs(20), booking.broken()).await.unwrap();

    let healthy = Booking::start_on(2, || FaultyBackend, parts());
    healthy.drain().await;
    assert!(healthy.broken().now_or_never().is_none());
}
