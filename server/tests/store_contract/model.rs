//! The engine against a model: a ledger in a `BTreeMap` that keeps what was made under each name and adds everything
//! up from nothing whenever it is asked. Any sequence of requests gets the same verdicts from both, and leaves the
//! same behind.
//!
//! A failure prints its seed; SAGEAPI_TEST_MODEL_SEED runs that one, SAGEAPI_TEST_MODEL_CASES so many cases.

use std::time::Duration;

use jiff::tz::TimeZone;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sageapi_server::domain::booking::{Action, Booking, Outcome, QuotaCheck, Request};
use sageapi_server::domain::quota::Check;
use sageapi_server::domain::verify::verify;
use sageapi_server::domain::{Error, booking};
use sageapi_server::model::{
    Clock as _, CustomerId, CustomerStatus, Kind, Mode, Money, RecordId, SystemClock, Transno,
};
use sageapi_server::store::{HoldFilter, NewCustomer, RecordFilter, Window};
use sageapi_test_support::database::kinds;

use crate::model::ledger::{Asked, Model, Verdict, What};
use crate::model::tables::compare_usage;
use crate::model::usage::{USERS, Use, When, limits_of};
use crate::{Db, cny, customer, engine, random_bytes};

mod ledger;
mod tables;
pub mod usage;

/// How many customers there are; one more is asked about that there is not.
const CUSTOMERS: usize = 3;

/// One thing done to both.
#[derive(Debug, Clone)]
enum Step {
    One(Ask),
    /// Many at once, each decided for itself.
    Bulk(Vec<Ask>),
    /// Many at once, or none of them.
    Group(Vec<Ask>),
    /// A hold whose time is over at once.
    Brief(usize, u8, i64),
    /// A check whose reservation is over at once.
    BriefCheck(usize, usize, i64),
    Suspend(usize, bool),
    Limit(usize, i64),
    Mode(usize, Option<Mode>),
    /// The request made before the last ones, so many of them ago, once more.
    Again(usize),
}

/// A request of a customer, under one of few names and with one of few bodies, so that both come again.
#[derive(Debug, Clone)]
struct Ask {
    customer: usize,
    name: u8,
    body: u8,
    what: Wanted,
}

#[derive(Debug, Clone)]
enum Wanted {
    Book(Kind, i64, bool),
    Hold(i64),
    Capture(u8, Option<i64>),
    Release(u8),
    Reverse(u8, Option<i64>),
    Expire,
    Use(Using),
    Check(usize, i64, bool),
    ReleaseQuota(u8),
    ExtendQuota(u8),
}

/// Usage that names a hold and a reservation by what there is.
#[derive(Debug, Clone)]
struct Using {
    user: Option<usize>,
    tokens: i64,
    cost: Option<i64>,
    foreign: bool,
    when: When,
    hold: Option<u8>,
    reservation: Option<u8>,
}

fn amounts() -> impl Strategy<Value = i64> {
    prop_oneof![20 => 1..40i64, 1 => Just(Money::MAX.nanos()), 1 => Just(Money::MAX.nanos() - 20)]
}

fn some_amount() -> impl Strategy<Value = Option<i64>> {
    prop::option::of(amounts())
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let entry = (0..4usize, amounts(), 0..20u8);
    prop_oneof![
        6 => entry.prop_map(|(kind, amount, foreign)| {
            let (kind, sign) = [
                (Kind::Charge, 1), (Kind::Credit, 1), (Kind::Adjustment, 1), (Kind::Adjustment, -1)
            ][kind];
            Wanted::Book(kind, sign * amount, foreign == 0)
        }),
        3 => amounts().prop_map(Wanted::Hold),
        3 => (any::<u8>(), some_amount()).prop_map(|(hold, amount)| Wanted::Capture(hold, amount)),
        2 => any::<u8>().prop_map(Wanted::Release),
        3 => (any::<u8>(), some_amount()).prop_map(|(record, amount)| Wanted::Reverse(record, amount)),
        1 => Just(Wanted::Expire),
    ]
}

fn users() -> impl Strategy<Value = usize> {
    0..USERS.len()
}

fn using() -> impl Strategy<Value = Using> {
    let when = prop_oneof![
        16 => Just(When::Now),
        3 => Just(When::LongAgo),
        1 => Just(When::TooLongAgo),
        1 => Just(When::Later)
    ];
    let cost = prop::option::weighted(0.8, 0..40i64);
    let named = prop::option::weighted(0.3, any::<u8>());
    let parts = (
        prop::option::weighted(0.9, users()),
        0..40i64,
        cost,
        prop::bool::weighted(0.1),
        when,
        named.clone(),
        prop::option::weighted(0.6, any::<u8>()),
    );
    parts.prop_map(|(user, tokens, cost, foreign, when, hold, reservation)| Using {
        user,
        tokens,
        cost,
        foreign,
        when,
        hold,
        reservation,
    })
}

fn consumed() -> impl Strategy<Value = Wanted> {
    prop_oneof![
        5 => using().prop_map(Wanted::Use),
        5 => (users(), 0..45i64, any::<bool>()).prop_map(|(u, tokens, named)| Wanted::Check(u, tokens, named)),
        1 => any::<u8>().prop_map(Wanted::ReleaseQuota),
        1 => any::<u8>().prop_map(Wanted::ExtendQuota),
    ]
}

/// A booking.
fn ask() -> impl Strategy<Value = Ask> {
    asking(wanted())
}

/// Anything.
fn any_ask() -> impl Strategy<Value = Ask> {
    asking(prop_oneof![3 => wanted(), 2 => consumed()])
}

fn asking(wanted: impl Strategy<Value = Wanted>) -> impl Strategy<Value = Ask> {
    let customer = prop_oneof![30 => 0..CUSTOMERS, 1 => Just(CUSTOMERS)];
    let parts = (customer, 0..120u8, 0..2u8, wanted);
    parts.prop_map(|(customer, name, body, what)| Ask { customer, name, body, what })
}

fn step() -> impl Strategy<Value = Step> {
    let mode = prop_oneof![Just(None), Just(Some(Mode::Strict)), Just(Some(Mode::AllowNegative))];
    prop_oneof![
        20 => any_ask().prop_map(Step::One),
        4 => prop::collection::vec(any_ask(), 1..25).prop_map(Step::Bulk),
        3 => prop::collection::vec(ask(), 1..6).prop_map(Step::Group),
        2 => (0..CUSTOMERS, 0..120u8, 1..30i64).prop_map(|(c, name, amount)| Step::Brief(c, name, amount)),
        1 => (0..CUSTOMERS, users(), 1..30i64).prop_map(|(c, u, tokens)| Step::BriefCheck(c, u, tokens)),
        1 => (0..CUSTOMERS, 0..4u8).prop_map(|(c, n)| Step::Suspend(c, n == 0)),
        1 => (0..CUSTOMERS, 0..50i64).prop_map(|(c, limit)| Step::Limit(c, limit)),
        1 => (0..CUSTOMERS, mode).prop_map(|(c, mode)| Step::Mode(c, mode)),
        3 => (0..30usize).prop_map(Step::Again),
    ]
}

/// The database, two engines on it that take turns, and the model.
struct Both<'d> {
    db: &'d Db,
    engines: &'d [Booking; 2],
    ids: Vec<CustomerId>,
    model: Model,
    /// What was asked for, in order, with what makes it again.
    asked: Vec<(usize, Request, Asked)>,
    turn: usize,
    /// A time zone in which it is about noon, so that no day or month ends meanwhile.
    zone: TimeZone,
}

const HOUR: Duration = Duration::from_hours(1);

impl<'d> Both<'d> {
    async fn new(db: &'d Db, engines: &'d [Booking; 2]) -> Self {
        let case = u64::from_be_bytes(random_bytes());
        let ids: Vec<_> = (0..=CUSTOMERS).map(|n| customer(&format!("{case:016x}.{n}"))).collect();
        for id in &ids[..CUSTOMERS] {
            let new = NewCustomer { id: id.clone(), currency: cny(), credit_limit: Money::ZERO };
            assert!(db.store.create_customer(new).await.unwrap());
        }
        let mut model = Model::new(CUSTOMERS);
        // The usage of all but one is charged.
        for (n, id) in ids.iter().enumerate().take(CUSTOMERS).skip(1) {
            let sql =
                format!("UPDATE customer_balance SET usage_billing = 'book' WHERE customer_id = '{id}'");
            db.database.execute(&sql).await;
            model.account(n).books = true;
        }
        let now = SystemClock::new().now();
        let hour = i8::try_from(now.seconds() / 3600 % 24).unwrap();
        let zone = jiff::tz::offset(12 - hour).to_time_zone();
        Self { db, engines, ids, model, asked: Vec::new(), turn: 0, zone }
    }

    fn engine(&mut self) -> &'d Booking {
        self.turn += 1;
        &self.engines[self.turn % 2]
    }

    /// The request for the engine and for the model.
    fn request(&self, ask: &Ask) -> (usize, Request, Asked) {
        let name = format!("t{}", ask.name);
        let money = |nanos: i64| Money::from_nanos(nanos).unwrap();
        let amount = |amount: Option<i64>| amount.map(money);
        let (action, what) = match &ask.what {
            Wanted::Book(kind, nanos, foreign) => {
                let mut action = engine::book(&name, *kind, money(*nanos));
                if let (Action::Book(entry), true) = (&mut action, foreign) {
                    entry.currency = sageapi_server::model::Currency::parse("USD");
                }
                (action, What::Book { kind: *kind, amount: *nanos, foreign: *foreign })
            }
            Wanted::Hold(nanos) => {
                (engine::hold(&name, money(*nanos), HOUR), What::Hold { amount: *nanos, brief: false })
            }
            Wanted::Capture(n, nanos) => {
                let hold = pick(self.model.holds(), ask.customer, *n);
                (engine::capture(&name, hold, amount(*nanos)), What::Capture { hold, amount: *nanos })
            }
            Wanted::Release(n) => {
                let hold = pick(self.model.holds(), ask.customer, *n);
                (Action::Release(hold), What::Release { hold })
            }
            Wanted::Reverse(n, nanos) => {
                let record = pick(self.model.records(), ask.customer, *n);
                (engine::reverse(&name, record, amount(*nanos)), What::Reverse { record, amount: *nanos })
            }
            Wanted::Expire => (Action::Expire, What::Expire),
            Wanted::Use(using) => {
                let hold = using.hold.map(|n| pick(self.model.holds(), ask.customer, n));
                let reservation = using.reservation;
                let reservation = reservation.map(|n| pick(self.model.reservations(), ask.customer, n));
                let Using { user, tokens, cost, foreign, when, .. } = *using;
                let usage = Use { user, tokens, cost, foreign, when, hold, reservation };
                (engine::consume(&name, &usage, &self.zone), What::Use(usage))
            }
            Wanted::Check(user, tokens, named) => self.check(*user, *tokens, named.then_some(&name), HOUR),
            Wanted::ReleaseQuota(n) => {
                let reservation = pick(self.model.reservations(), ask.customer, *n);
                (Action::ReleaseQuota(reservation), What::ReleaseQuota { reservation })
            }
            Wanted::ExtendQuota(n) => {
                let reservation = pick(self.model.reservations(), ask.customer, *n);
                (Action::ExtendQuota(reservation, HOUR), What::ExtendQuota { reservation })
            }
        };
        let asked = Asked { name, body: ask.body, what };
        (ask.customer, engine::request(&self.ids[ask.customer], ask.body, action), asked)
    }

    fn check(&self, user: usize, tokens: i64, name: Option<&String>, ttl: Duration) -> (Action, What) {
        let (named, brief) = (name.is_some(), ttl.is_zero());
        let check = QuotaCheck {
            user_id: USERS[user].to_owned(),
            request_id: name.map(|name| Transno::parse(name).unwrap()),
            check: Check { tokens: Some(tokens), default_reservation: None, ttl },
            limits: limits_of(user),
            zone: self.zone.clone(),
        };
        (Action::Check(Box::new(check)), What::Check { user, tokens, named, brief })
    }

    async fn one(&mut self, step: (usize, Request, Asked)) -> Result<(), TestCaseError> {
        self.asked.push(step.clone());
        let (customer, request, asked) = step;
        let got = self.engine().submit(request).await;
        let expected = self.model.one(customer, &asked, made_by(&got));
        prop_assert_eq!(Verdict::of(&got), expected, "{:?} of customer {}", asked, customer);
        Ok(())
    }

    async fn bulk(&mut self, steps: Vec<(usize, Request, Asked)>) -> Result<(), TestCaseError> {
        let requests = steps.iter().map(|(_, request, _)| request.clone()).collect();
        let got = self.engine().submit_bulk(requests).await.unwrap();
        prop_assert_eq!(got.len(), steps.len());
        for (n, ((customer, _, asked), got)) in steps.iter().zip(&got).enumerate() {
            let expected = self.model.one(*customer, asked, made_by(got));
            prop_assert_eq!(Verdict::of(got), expected, "item {}: {:?} of customer {}", n, asked, customer);
        }
        self.asked.extend(steps);
        Ok(())
    }

    async fn group(&mut self, steps: Vec<(usize, Request, Asked)>) -> Result<(), TestCaseError> {
        let requests = steps.iter().map(|(_, request, _)| request.clone()).collect();
        let got = self.engine().submit_group(requests).await;
        let mut model = self.model.clone();
        let all = steps.iter().enumerate().map(|(n, (customer, _, asked))| {
            let made = got.as_ref().ok().and_then(|outcomes| id_of(&outcomes[n]));
            model.one(*customer, asked, made)
        });
        // The first refusal is the answer of all, with its place.
        let (mut verdicts, mut place) = (Vec::new(), None);
        for (index, verdict) in all.enumerate() {
            let refused = matches!(verdict, Verdict::Refused(_));
            verdicts.push(verdict);
            if refused {
                verdicts.drain(..verdicts.len() - 1);
                place = Some(index);
                break;
            }
        }
        let (found, named): (Vec<_>, _) = match got {
            Ok(outcomes) => (outcomes.into_iter().map(|outcome| Verdict::of(&Ok(outcome))).collect(), None),
            Err(Error::Item { index, error }) => (vec![Verdict::of(&Err(*error))], Some(index)),
            Err(error) => (vec![Verdict::of(&Err(error))], None),
        };
        prop_assert_eq!(named, place, "{:?}", found);
        prop_assert_eq!(&found, &verdicts, "{:?}", steps.iter().map(|(c, _, a)| (c, a)).collect::<Vec<_>>());
        if !matches!(found.first(), Some(Verdict::Refused(_))) {
            self.model = model;
            self.asked.extend(steps);
        }
        Ok(())
    }

    async fn run(&mut self, step: Step) -> Result<(), TestCaseError> {
        let store = &self.db.store;
        match step {
            Step::One(ask) => self.one(self.request(&ask)).await,
            Step::Bulk(asks) => self.bulk(asks.iter().map(|ask| self.request(ask)).collect()).await,
            Step::Group(asks) => self.group(asks.iter().map(|ask| self.request(ask)).collect()).await,
            Step::Brief(customer, name, amount) => {
                let name = format!("t{name}");
                let action = engine::hold(&name, Money::from_nanos(amount).unwrap(), Duration::ZERO);
                let asked = Asked { name, body: 9, what: What::Hold { amount, brief: true } };
                self.one((customer, engine::request(&self.ids[customer], 9, action), asked)).await
            }
            Step::BriefCheck(customer, user, tokens) => {
                let (action, what) = self.check(user, tokens, None, Duration::ZERO);
                let asked = Asked { name: String::new(), body: 0, what };
                self.one((customer, engine::request(&self.ids[customer], 0, action), asked)).await
            }
            Step::Again(n) => match self.asked.iter().rev().nth(n).cloned() {
                Some(step) => self.one(step).await,
                None => Ok(()),
            },
            Step::Suspend(customer, suspended) => {
                let status = if suspended { CustomerStatus::Suspended } else { CustomerStatus::Active };
                assert!(store.set_customer_status(&self.ids[customer], status).await.unwrap());
                self.model.account(customer).suspended = suspended;
                Ok(())
            }
            Step::Limit(customer, nanos) => {
                let limit = Money::from_nanos(nanos).unwrap();
                assert!(store.set_credit_limit(&self.ids[customer], limit).await.unwrap());
                self.model.account(customer).limit = nanos.into();
                Ok(())
            }
            Step::Mode(customer, mode) => {
                assert!(store.set_customer_mode(&self.ids[customer], mode).await.unwrap());
                self.model.account(customer).negative = mode == Some(Mode::AllowNegative);
                Ok(())
            }
        }
    }

    /// Both have come to the same.
    async fn compare(&mut self) -> Result<(), TestCaseError> {
        for n in 0..CUSTOMERS {
            self.one((n, engine::request(&self.ids[n], 0, Action::Expire), Asked::expire())).await?;
            let (id, account) = (self.ids[n].clone(), self.model.account(n).clone());
            let row = self.db.store.customer(&id).await.unwrap().unwrap();
            prop_assert_eq!(row.balance.wide(), account.balance());
            prop_assert_eq!(row.held.wide(), account.held());
            let filter = RecordFilter { customer_id: Some(id.clone()), ..RecordFilter::default() };
            let records = self.db.store.list(&filter, &Window::oldest(10_000)).await.unwrap();
            let found: Vec<_> = records.iter().map(|r| (r.transno.to_string(), r.delta.wide())).collect();
            prop_assert_eq!(found, account.movements());
            prop_assert_eq!(row.last_seq, i64::try_from(records.len()).unwrap());
            let filter = HoldFilter { customer_id: Some(id), ..HoldFilter::default() };
            let holds = self.db.store.list(&filter, &Window::newest(10_000)).await.unwrap();
            let mut found: Vec<_> = holds
                .iter()
                .map(|(hold, _)| (hold.transno.to_string(), hold.state, hold.captured.wide()))
                .collect();
            found.sort_by(|a, b| a.0.cmp(&b.0));
            prop_assert_eq!(row.holds_made, i64::try_from(found.len()).unwrap());
            prop_assert_eq!(found, account.holds());
            compare_usage(self.db, &row, &account).await?;
        }
        let verified = verify(&self.db.store, |_| ()).await.unwrap();
        prop_assert_eq!(verified.difference, None);
        Ok(())
    }
}

/// A hold or record to name: mostly one of the customer's own, at times anybody's, or none that there is.
fn pick(made: &[(usize, RecordId)], customer: usize, n: u8) -> RecordId {
    let whose: Vec<_> = made.iter().filter(|(owner, _)| *owner == customer || n < 20).collect();
    let place = usize::from(n) % (whose.len() + usize::from(n < 10)).max(1);
    whose.get(place).map_or(RecordId(uuid::Uuid::from_bytes([9; 16])), |(_, id)| *id)
}

/// The id of what a verdict made: the engine chooses it.
fn made_by(got: &Result<Outcome, Error>) -> Option<RecordId> {
    got.as_ref().ok().and_then(id_of)
}

fn id_of(outcome: &Outcome) -> Option<RecordId> {
    match outcome {
        Outcome::Booked(booking::Booked { record, .. }) => Some(record.id),
        Outcome::Reserved(reserved) => Some(reserved.hold.id),
        Outcome::Used(used) => Some(used.usage.id),
        Outcome::Checked(checked) => checked.admitted.as_ref().ok().map(|made| made.id),
        Outcome::Expired | Outcome::Kept(_) => None,
    }
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is \"{text}\", which is no number")))
}

#[test]
fn any_sequence_of_requests_comes_to_what_the_model_says() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let seed =
        setting("SAGEAPI_TEST_MODEL_SEED").unwrap_or_else(|| u64::from(u32::from_be_bytes(random_bytes())));
    let cases = setting("SAGEAPI_TEST_MODEL_CASES").map_or(12, |cases| u32::try_from(cases).unwrap());
    for kind in kinds() {
        let db = runtime.block_on(Db::ready(kind));
        let other = runtime.block_on(async { db.another() });
        let engines = runtime.block_on(async { [engine::start(&db.store), engine::start(&other)] });
        let config = Config { cases, max_shrink_iters: 200, failure_persistence: None, ..Config::default() };
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let steps = prop::collection::vec(step(), 60..160);
        let result = TestRunner::new_with_rng(config, rng).run(&steps, |steps| {
            runtime.block_on(async {
                let mut both = Both::new(&db, &engines).await;
                for step in steps {
                    both.run(step).await?;
                }
                both.compare().await
            })
        });
        runtime.block_on(async {
            for engine in &engines {
                engine.drain().await;
            }
        });
        if let Err(failure) = result {
            panic!("on {kind}: {failure}\nSAGEAPI_TEST_MODEL_SEED={seed} runs it again");
        }
    }
}
