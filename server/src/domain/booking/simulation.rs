//! The write path from one seed: clients, instances that are killed, a database that fails, and time.
//!
//! Everything runs on one thread in simulated time, so that a seed always leads to the same history. A failure names
//! its seed; SAGEAPI_TEST_SIMULATION_SEED runs that one alone, with SAGEAPI_TEST_SIMULATIONS so many from it on.

mod check;
mod database;
mod intent;
mod quota;
mod rows;
mod time;
mod usage;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use self::check::{assert_held_adds_up, is_poisonous};
use self::database::{Database, Moment, SimulatedBackend};
use self::intent::Intent;
use self::rows::Rows;
use super::{Action, Booking, BookingMetrics, BookingParts, Outcome, Request, UsageFloor};
use crate::config::{self, LiveConfig};
use crate::domain::Error;
use crate::domain::balances::BalanceCache;
use crate::domain::caches::Caches;
use crate::model::{
    Actor, Clock, Customer, CustomerId, HoldState, Kind, Mode, Money, RecordId, SeededEntropy, Timestamp,
    Transno, UsageBilling,
};
use crate::store::NonceUse;
use crate::telemetry::metrics::Metrics;

/// What the database refuses, whenever it comes, begins so.
const POISON: &str = "poison";
/// Histories of one run of the test.
const HISTORIES: u64 = 1_200;
const CUSTOMERS: u32 = 3;
const CLIENTS: u64 = 5;
const INTENTS: u32 = 10;
/// Attempts after which a client would give up; none may need so many.
const MAX_ATTEMPTS: u32 = 400;
/// So often the database's own refusal is heard before it is taken to be for good.
const POISONED_AFTER: u32 = 3;
/// Tasks that look for due holds, as every instance has one, and how often each of them looks.
const SWEEPS: u32 = 2;
const LOOKS: u32 = 30;
/// How long a sweep waits for a turn: of a killed instance it would for ever.
const TURN: Duration = Duration::from_secs(1);
/// What the histories must have shown, or they would show little.
const SHOWN: [&str; 35] = [
    "above concurrent_requests",
    "above daily_tokens",
    "above its hold",
    "above max_tokens_per_request",
    "above monthly_tokens",
    "above requests_per_minute",
    "admitted",
    "admitted before",
    "conflict",
    "done",
    "event in the future",
    "event too old",
    "hold closed",
    "no money",
    "no money above a hold",
    "no such reservation",
    POISON,
    "poison in a bulk",
    "poison in a group",
    "request conflict",
    "reservation closed",
    "reservation closed before",
    "reservation expired",
    "reservation extended",
    "reservation released",
    "reversal exceeds",
    "usage",
    "usage again",
    "usage in another currency",
    "usage that released a hold",
    "usage with a hold",
    "usage with a reservation",
    "usage with an unusable hold",
    "usage with an unusable reservation",
    "usage without a price",
];

fn customer(number: u32) -> Customer {
    let credit_limit = Money::parse("150").unwrap();
    let usage_billing = if number == 0 { UsageBilling::Log } else { UsageBilling::Book };
    Customer { credit_limit, usage_billing, ..super::tests::customer(&format!("c{number}"), "0") }
}

/// An instance as clients see it.
#[derive(Clone)]
struct Instance {
    booking: Booking,
    balances: BalanceCache,
    alive: Arc<AtomicBool>,
}

/// What clients were told.
#[derive(Default)]
struct Told {
    /// Transnos by what was acknowledged: the id of a record or of a hold.
    booked: BTreeMap<(CustomerId, Transno), RecordId>,
    held: BTreeMap<(CustomerId, Transno), RecordId>,
    used: BTreeMap<(CustomerId, Transno), RecordId>,
    released: BTreeSet<RecordId>,
    /// Reservations of checks that were admitted.
    admitted: BTreeSet<RecordId>,
    /// Transnos of what was refused at the first attempt.
    refused: Vec<(CustomerId, Transno)>,
    /// Transnos of requests that stand or fall together.
    groups: Vec<Vec<(CustomerId, Transno)>>,
    verdicts: BTreeMap<&'static str, u32>,
}

/// One history.
struct Simulation {
    database: Arc<Database>,
    instances: Mutex<Vec<Instance>>,
    told: Mutex<Told>,
    nonces: AtomicU64,
    seed: u64,
    /// How long clients pause at most, in ms: in some histories so long that minutes pass.
    pause: u32,
}

impl Simulation {
    fn start(seed: u64) -> Self {
        let simulation = Self {
            database: Database::new(seed, (0..CUSTOMERS).map(customer).collect()),
            instances: Mutex::default(),
            told: Mutex::default(),
            nonces: AtomicU64::new(0),
            seed,
            pause: if seed % 9 == 8 { 20_000 } else { 30 },
        };
        let count = 1 + simulation.database.draw(3);
        let instances = (0..count).map(|_| simulation.instance()).collect();
        *simulation.instances.lock().unwrap() = instances;
        simulation
    }

    fn instance(&self) -> Instance {
        let clock: Arc<dyn Clock> = self.database.time.clock.clone();
        let metrics = Metrics::new("0");
        let mut config = config::defaults();
        config.accounting = config::Accounting {
            mode: Mode::Strict,
            batch_max: 1 + self.database.draw(8) as usize,
            batch_delay: Duration::from_millis(2),
            queue: 40,
            writers: 4,
            ..config.accounting
        };
        let config = LiveConfig::new(config);
        let balances = BalanceCache::new(&Caches::new(&config, &clock, &metrics));
        let alive = Arc::new(AtomicBool::new(true));
        let parts = BookingParts {
            usage_floor: UsageFloor::default(),
            balances: balances.clone(),
            nonces: Arc::default(),
            metrics: BookingMetrics::register(&metrics),
            clock,
            entropy: SeededEntropy::new(self.seed ^ u64::from(self.database.draw(u32::MAX))),
            config,
            runtime: tokio::runtime::Handle::current(),
        };
        let backend = || SimulatedBackend { database: self.database.clone(), alive: alive.clone() };
        let booking = Booking::start_on(1 + self.database.draw(2) as usize, backend, parts);
        Instance { booking, balances, alive }
    }

    fn any_instance(&self) -> Instance {
        let instances = self.instances.lock().unwrap();
        instances[self.database.draw(u32::try_from(instances.len()).unwrap()) as usize].clone()
    }

    /// kill -9 of one instance now and then, and another one in its place.
    async fn kill(&self) {
        for _ in 0..self.database.draw(3) {
            self.database.pause(60).await;
            let fresh = self.instance();
            let mut instances = self.instances.lock().unwrap();
            let victim = self.database.draw(u32::try_from(instances.len()).unwrap()) as usize;
            instances[victim].alive.store(false, Ordering::SeqCst);
            instances[victim] = fresh;
        }
    }

    /// Another transaction locks customers now and then, for longer than the lock timeout.
    async fn lock(&self) {
        for _ in 0..self.database.draw(3) {
            self.database.pause(60).await;
            self.database.lock_a_customer(40_000).await;
        }
    }

    /// Signs again: the same request with a new nonce.
    fn signed(&self, request: &Request) -> Request {
        let nonce = format!("n{}", self.nonces.fetch_add(1, Ordering::SeqCst));
        let nonce = NonceUse::new("ak_1", &nonce, Timestamp::from_micros(i64::MAX));
        Request { nonce: Some(nonce), ..request.clone() }
    }

    /// Asks until there is a verdict on everything, as a client does that knows nothing of what became of its last
    /// attempt.
    async fn ask(&self, intent: &Intent) {
        let Intent { requests, group } = intent;
        let mut refusals = vec![0; requests.len()];
        for attempt in 0..MAX_ATTEMPTS {
            let instance = self.any_instance();
            let signed: Vec<_> = requests
                .iter()
                .enumerate()
                .map(|(n, r)| if *group && n > 0 { r.clone() } else { self.signed(r) })
                .collect();
            let (replay, since) = (signed[0].clone(), self.database.moment());
            let answer = submit(&instance.booking, signed, *group);
            // A client hangs up when it likes; of a killed instance it would wait for ever.
            let patience = if self.database.draw(4) == 0 { self.database.draw(30) } else { 30_000 };
            let patience = Duration::from_millis(u64::from(patience));
            let Some(verdicts) = self.database.time.timeout(patience, answer).await else {
                self.database.pause(20).await;
                continue;
            };
            let mut settled = true;
            for (n, (verdict, refusals)) in verdicts.iter().zip(&mut refusals).enumerate() {
                // A group is refused as a whole, or for the one that is named.
                let (asked, verdict) = match verdict {
                    Err(Error::Item { index, error }) => (&requests[*index..=*index], Err(&**error)),
                    Err(refusal) if *group => (&requests[..], Err(refusal)),
                    verdict => (&requests[n..=n], verdict.as_ref()),
                };
                settled &= self.hear(intent, asked, verdict, &since, refusals);
            }
            self.seen_at(&instance, &verdicts).await;
            if verdicts[0].is_ok() && self.database.draw(10) == 0 {
                self.assert_replay_refused(replay).await;
            }
            if settled {
                // An attempt given up before may be under way yet.
                if attempt == 0 {
                    let is_refused = |n: usize| verdicts[if *group { 0 } else { n }].is_err();
                    let refused = requests.iter().enumerate().filter(|(n, _)| is_refused(*n));
                    let refused = refused.filter_map(|(_, request)| name(request));
                    self.told.lock().unwrap().refused.extend(refused);
                }
                return;
            }
            // As Retry-After says.
            if matches!(verdicts[..], [Err(Error::Overloaded)]) {
                self.database.time.sleep(Duration::from_secs(1)).await;
            }
            self.database.pause(20).await;
        }
        panic!("no verdict for {requests:?}");
    }

    /// Takes in what a client was told about what it asked at that moment; whether it is the last word.
    fn hear(
        &self,
        intent: &Intent,
        asked: &[Request],
        verdict: Result<&Outcome, &Error>,
        since: &Moment,
        refusals: &mut u32,
    ) -> bool {
        match verdict {
            Ok(outcome) => self.note(&asked[0], outcome),
            Err(Error::Overloaded) => return false,
            // What was given up stays so.
            Err(Error::StoreUnavailable(_)) => return *refusals >= POISONED_AFTER,
            Err(Error::Auth(error)) => panic!("a nonce that was never used: {error}"),
            // A refusal of the database may pass; one of poison does not.
            Err(Error::Internal(_)) if asked.iter().any(is_poison) => *refusals += 1,
            Err(Error::Internal(_)) => {
                assert!(self.database.is_faulty(), "refused for the poison of others: {asked:?}");
                return false;
            }
            Err(refusal) => self.assert_right(intent, asked, refusal, since),
        }
        let label = match verdict {
            Ok(outcome) => usage::label(outcome),
            Err(Error::InsufficientBalance { .. }) if matches!(asked[0].action, Action::Capture(_)) => {
                "no money above a hold"
            }
            Err(Error::InsufficientBalance { .. }) => "no money",
            Err(Error::HoldClosed(_)) => "hold closed",
            Err(Error::ReversalExceeds(_)) => "reversal exceeds",
            Err(Error::TransnoConflict) => "conflict",
            Err(Error::RequestConflict) => "request conflict",
            Err(Error::EventInFuture) => "event in the future",
            Err(Error::EventTooOld(_)) => "event too old",
            Err(Error::ReservationClosed(_)) => "reservation closed",
            Err(Error::NotFound("reservation")) => "no such reservation",
            Err(Error::Internal(_)) if intent.group => "poison in a group",
            Err(Error::Internal(_)) if intent.requests.len() > 1 => "poison in a bulk",
            Err(Error::Internal(_)) => POISON,
            Err(other) => panic!("{other}: {asked:?}"),
        };
        *self.told.lock().unwrap().verdicts.entry(label).or_default() += 1;
        !matches!(verdict, Err(Error::Internal(_))) || *refusals >= POISONED_AFTER
    }

    /// A caller that booked sees it at once, from the cache too.
    async fn seen_at(&self, instance: &Instance, verdicts: &[Result<Outcome, Error>]) {
        for outcome in verdicts.iter().flatten() {
            let (id, record, replayed) = match outcome {
                Outcome::Booked(booked) => {
                    (&booked.record.customer_id, Some(booked.record.id), booked.replayed)
                }
                Outcome::Used(used) => (&used.usage.customer_id, used.usage.record_id, used.replayed),
                _ => continue,
            };
            let seq_of = |rows: &Rows| rows.records.iter().find(|r| Some(r.id) == record).map(|r| r.seq);
            let Some(seq) = seq_of(&self.database.rows()) else { continue };
            let load = async || {
                let customer = self.database.rows().customers[id].clone();
                Ok(Some((customer.clone(), customer.version)))
            };
            let seen = instance.balances.get(id, load).await.unwrap().value.unwrap();
            assert!(replayed || seen.last_seq >= seq, "{id} at {} after {seq}", seen.last_seq);
        }
    }

    /// A request that was answered is refused when it is sent again with its nonce.
    async fn assert_replay_refused(&self, request: Request) {
        for _ in 0..MAX_ATTEMPTS {
            let booking = self.any_instance().booking;
            let again = booking.submit(request.clone());
            match self.database.time.timeout(Duration::from_secs(30), again).await {
                Some(Err(Error::Auth(_))) => return,
                // As Retry-After says.
                Some(Err(Error::Overloaded)) => self.database.time.sleep(Duration::from_secs(1)).await,
                None | Some(Err(Error::StoreUnavailable(_) | Error::Internal(_))) => {}
                Some(other) => panic!("a replay got {other:?}"),
            }
            self.database.pause(20).await;
        }
        panic!("no verdict for a replay of {request:?}");
    }

    async fn client(&self, number: u64) {
        let mut rng = StdRng::seed_from_u64(self.seed.wrapping_mul(CLIENTS).wrapping_add(number));
        for nth in 0..INTENTS {
            let intent = Intent::draw(&mut rng, &self.database, number, nth);
            if intent.group {
                let names = intent.requests.iter().filter_map(name).collect();
                self.told.lock().unwrap().groups.push(names);
            }
            self.ask(&intent).await;
            self.database.pause(self.pause).await;
        }
    }

    /// What a client was told to be done: everything has a name but what is about a hold or a reservation.
    fn note(&self, request: &Request, outcome: &Outcome) {
        let (rows, mut told) = (self.database.rows(), self.told.lock().unwrap());
        match (outcome, name(request)) {
            (Outcome::Booked(booked), Some(name)) => {
                let before = told.booked.insert(name, booked.record.id);
                assert!(before.is_none_or(|id| id == booked.record.id));
            }
            (Outcome::Reserved(reserved), Some(name)) => {
                let before = told.held.insert(name, reserved.hold.id);
                assert!(before.is_none_or(|id| id == reserved.hold.id));
            }
            (Outcome::Reserved(reserved), None) => drop(told.released.insert(reserved.hold.id)),
            (Outcome::Used(used), Some(name)) => told.used(name, used, &rows),
            (Outcome::Checked(checked), None) => told.checked(request, checked, &rows),
            (Outcome::Kept(kept), None) => usage::kept(request, kept, &rows),
            other => panic!("{other:?}"),
        }
    }

    /// Closes due holds beside the clients, as the sweep of an instance does: a look, then the turns of all that it
    /// found.
    async fn sweep(&self) {
        for _ in 0..LOOKS {
            self.database.pause(40).await;
            let turns = self.database.due().into_iter().map(|customer| self.turn(customer));
            // What is refused now is found again by a later look.
            join_all(turns).await;
        }
    }

    /// The turn of a customer on any instance; whether it came to its end.
    async fn turn(&self, customer: CustomerId) -> bool {
        let booking = self.any_instance().booking;
        match self.database.time.timeout(TURN, booking.expire(customer)).await {
            Some(Ok(())) => true,
            None | Some(Err(Error::StoreUnavailable(_) | Error::Overloaded)) => false,
            Some(Err(Error::Internal(_))) if self.database.is_faulty() => false,
            Some(Err(other)) => panic!("a turn of due holds: {other}"),
        }
    }

    /// Nobody books any more and all that is open is due: turns alone close it, of a customer two at once.
    async fn expire_the_rest(&self) {
        assert_held_adds_up(&self.database.rows());
        let customers: Vec<_> = self.database.rows().customers.keys().cloned().collect();
        let turns = customers.iter().chain(&customers).map(|customer| async move {
            for _ in 0..MAX_ATTEMPTS {
                if self.turn(customer.clone()).await {
                    return;
                }
                self.database.pause(20).await;
            }
            panic!("no end of a turn of {customer}");
        });
        join_all(turns).await;
        let rows = self.database.rows();
        let open: Vec<_> = rows.holds.values().filter(|hold| hold.state == HoldState::Open).collect();
        assert!(open.is_empty(), "due, and left open: {open:?}");
    }

    async fn run(self: Arc<Self>) -> ([u8; 32], BTreeMap<&'static str, u32>) {
        self.database.fail([0, 10, 50, 150][self.database.draw(4) as usize]);
        // As tasks, so that one that waits is not polled whenever time goes on.
        let clients = (0..CLIENTS).map(|number| {
            let simulation = self.clone();
            tokio::spawn(async move { simulation.client(number).await })
        });
        let killer = self.clone();
        let killer = tokio::spawn(async move { killer.kill().await });
        let stranger = self.clone();
        let stranger = tokio::spawn(async move { stranger.lock().await });
        let sweeps = (0..SWEEPS).map(|_| {
            let simulation = self.clone();
            tokio::spawn(async move { simulation.sweep().await })
        });
        let others = sweeps.chain([killer, stranger]).collect::<Vec<_>>();
        for task in clients.collect::<Vec<_>>().into_iter().chain(others) {
            task.await.unwrap();
        }
        // Transactions that lost their connection come to their end.
        self.database.fail(0);
        self.database.time.sleep(Duration::from_secs(60)).await;
        self.expire_the_rest().await;
        let instances = std::mem::take(&mut *self.instances.lock().unwrap());
        for instance in instances {
            instance.booking.drain().await;
            assert_eq!(instance.booking.depth(), 0, "room was not given back");
        }
        (self.check(), self.told.lock().unwrap().verdicts.clone())
    }
}

fn name(request: &Request) -> Option<(CustomerId, Transno)> {
    Some((request.customer_id.clone(), request.action.transno()?.clone()))
}

fn is_poison(request: &Request) -> bool {
    let request_id = match &request.action {
        Action::Check(check) => check.request_id.as_ref(),
        _ => None,
    };
    request.action.transno().or(request_id).is_some_and(is_poisonous)
}

/// One attempt: a verdict on each request, or one refusal of all of them.
async fn submit(booking: &Booking, requests: Vec<Request>, group: bool) -> Vec<Result<Outcome, Error>> {
    let count = requests.len();
    let answer: Result<Vec<_>, Error> = if group {
        booking.submit_group(requests).await.map(|outcomes| outcomes.into_iter().map(Ok).collect())
    } else if let [request] = &requests[..] {
        // Credits are an administrator's.
        let is_credit = matches!(&request.action, Action::Book(entry) if entry.kind == Kind::Credit);
        let actor = is_credit.then(Actor::command_line);
        Ok(vec![booking.submit_as(request.clone(), actor).await])
    } else {
        booking.submit_bulk(requests).await
    };
    match answer {
        Ok(verdicts) => {
            assert_eq!(verdicts.len(), count, "a verdict for each");
            verdicts
        }
        Err(refusal) => vec![Err(refusal)],
    }
}

/// Runs one history; its ledger and what clients were told.
fn history(seed: u64) -> ([u8; 32], BTreeMap<&'static str, u32>) {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let simulation = Arc::new(Simulation::start(seed));
            simulation.database.time.pass(simulation.clone().run()).await
        })
    };
    std::panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        panic!("the history of seed {seed} went wrong; SAGEAPI_TEST_SIMULATION_SEED={seed} runs it alone")
    })
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn whatever_fails_nothing_that_was_acknowledged_is_lost_or_doubled() {
    let (seed, count) = (setting("SAGEAPI_TEST_SIMULATION_SEED"), setting("SAGEAPI_TEST_SIMULATIONS"));
    let histories = count.unwrap_or(if seed.is_some() { 1 } else { HISTORIES });
    let (from, to) = (seed.unwrap_or(0), seed.unwrap_or(0) + histories);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let verdicts: Mutex<BTreeMap<&str, u32>> = Mutex::default();
    std::thread::scope(|scope| {
        for first in 0..threads as u64 {
            let verdicts = &verdicts;
            scope.spawn(move || {
                for seed in (from + first..to).step_by(threads) {
                    for (verdict, count) in history(seed).1 {
                        *verdicts.lock().unwrap().entry(verdict).or_default() += count;
                    }
                }
            });
        }
    });
    let verdicts = verdicts.into_inner().unwrap();
    println!("{histories} histories from seed {from} on: {verdicts:?}");
    if histories >= HISTORIES {
        assert_eq!(verdicts.into_keys().collect::<Vec<_>>(), SHOWN);
    }
}

#[test]
fn a_seed_always_leads_to_the_same_history() {
    for seed in 0..20 {
        assert_eq!(history(seed), history(seed), "{seed}");
    }
}
