//! kill -9 under load, again and again: nothing acknowledged is lost, nothing is booked twice.
//!
//! Longer: SAGEAPI_TEST_CRASH_ROUNDS=200; other moments: SAGEAPI_TEST_CRASH_SEED=7.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sageapi_process_tests::connection::{Connection, Outcome};
use sageapi_process_tests::installation::MadeKey;
use sageapi_process_tests::{Installation, setting, waiting};
use sageapi_test_support::client::Client;
use sageapi_test_support::database::{Kind, wanted};
use sageapi_test_support::server::ServerProcess;
use serde_json::{Value, json};

const CUSTOMERS: usize = 8;
const CONNECTIONS: usize = 16;
/// Of a unit; amounts are whole numbers of these.
const SCALE: u64 = 10_000;
const CREDIT: u64 = 1_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_on_sqlite_that_is_killed_under_load_loses_and_doubles_nothing() {
    if wanted(Kind::Sqlite) {
        crash(Kind::Sqlite, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_database_that_are_killed_under_load_lose_and_double_nothing() {
    if wanted(Kind::MySql) {
        crash(Kind::MySql, 2).await;
    }
}

/// A charge that a client means to book.
#[derive(Debug, Clone)]
struct Intent {
    customer: usize,
    transno: String,
    amount: u64,
}

impl Intent {
    fn body(&self) -> Value {
        let amount = decimal(self.amount);
        json!({"transno": self.transno, "customer_id": customer(self.customer), "kind": "charge", "amount": amount})
    }
}

/// What the clients know.
#[derive(Default)]
struct Log {
    intents: Vec<Intent>,
    /// transno -> seq, of every answer that said it was booked.
    acknowledged: BTreeMap<String, u64>,
    /// How often the server said that it could not book now.
    unavailable: BTreeMap<String, u64>,
}

struct Load {
    log: Mutex<Log>,
    answers: AtomicUsize,
    stop: AtomicBool,
    key: MadeKey,
}

async fn crash(kind: Kind, servers: usize) {
    let (rounds, seed) = (setting("SAGEAPI_TEST_CRASH_ROUNDS", 5), setting("SAGEAPI_TEST_CRASH_SEED", 1));
    let mut rng = StdRng::seed_from_u64(seed);
    let customers: Vec<_> = (0..CUSTOMERS).map(customer).collect();
    let installation = Installation::new(kind).await;
    let key = installation.seed(&customers, &CREDIT.to_string()).await;
    let mut running = Vec::new();
    for _ in 0..servers {
        running.push(installation.server().start().await);
    }

    let load = Arc::new(Load {
        log: Mutex::default(),
        answers: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        key,
    });
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let rng = StdRng::seed_from_u64(rng.random());
            tokio::spawn(work(Arc::clone(&load), running[number % servers].http_address(), number, rng))
        })
        .collect();
    for _ in 0..rounds {
        // Every server's clients are at work again, then a moment of its own.
        let before = load.answers.load(Ordering::Relaxed);
        let busy =
            || async { (load.answers.load(Ordering::Relaxed) > before + 4 * CONNECTIONS).then_some(()) };
        waiting::until("the servers answer", Duration::from_secs(60), busy).await;
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..400))).await;
        // Now one of them, now all of them.
        let victims = if rng.random_bool(0.3) {
            0..servers
        } else {
            let one = rng.random_range(0..servers);
            one..one + 1
        };
        for server in &mut running[victims.clone()] {
            server.kill9();
        }
        for server in &mut running[victims] {
            let again = server.again().start().await;
            *server = again;
        }
    }
    load.stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    let log = std::mem::take(&mut *load.log.lock().unwrap());
    settle(
        &installation,
        &running,
        &load.key,
        log,
        &format!("{kind}, {servers} server(s), {rounds} rounds, seed {seed}"),
    )
    .await;
}

/// Books until told to stop; after a crash on a new connection, and never the same thing twice.
async fn work(load: Arc<Load>, address: SocketAddr, number: usize, mut rng: StdRng) {
    let client = load.key.client(&format!("http://{address}"));
    let mut connection = None;
    for count in 0.. {
        if load.stop.load(Ordering::Relaxed) {
            return;
        }
        let Some(open) = &mut connection else {
            connection = Connection::open(address).await.ok();
            if connection.is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            continue;
        };
        let intent = Intent {
            customer: rng.random_range(0..CUSTOMERS),
            transno: format!("c{number}-{count}"),
            amount: rng.random_range(1..SCALE),
        };
        let request = client.call(Method::POST, "/accounting").json(&intent.body()).build();
        load.log.lock().unwrap().intents.push(intent.clone());
        match open.exchange(request).await {
            Outcome::Answered(answer) if answer.status == 201 => {
                let seq = answer.body["data"]["seq"].as_u64().unwrap();
                load.log.lock().unwrap().acknowledged.insert(intent.transno, seq);
                load.answers.fetch_add(1, Ordering::Relaxed);
            }
            // Not booked, perhaps: to be repeated like the others.
            Outcome::Answered(answer) if answer.status == 503 => {
                let code = answer.body["code"].as_str().unwrap().to_owned();
                *load.log.lock().unwrap().unavailable.entry(code).or_default() += 1;
                // A server that has just started, as a rule: it listens before it has seen its schema.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Outcome::Answered(answer) => panic!("{intent:?}: {answer:?}"),
            Outcome::NotSent | Outcome::Lost(_) => connection = None,
        }
    }
}

/// Holds what the ledger has against what the clients know, repeats what is unknown, and adds up.
async fn settle(installation: &Installation, running: &[ServerProcess], key: &MadeKey, log: Log, what: &str) {
    let client = key.client(&running[0].http());
    let booked = ledger(&client).await;
    let lost: Vec<_> = log
        .acknowledged
        .iter()
        .filter(|(transno, seq)| booked.get(*transno).map(|(s, _)| s) != Some(seq))
        .collect();
    assert!(lost.is_empty(), "acknowledged, but not there under the same seq: {lost:?}");

    let unknown: Vec<_> = log.intents.iter().filter(|i| !log.acknowledged.contains_key(&i.transno)).collect();
    let (mut had_landed, mut had_not) = (0, 0);
    for (index, intent) in unknown.iter().enumerate() {
        let client = client.at(running[index % running.len()].http());
        let answer = client.post("/accounting", &intent.body()).await;
        match (answer.status.as_u16(), booked.get(&intent.transno)) {
            (200, Some((seq, _))) => {
                assert_eq!(answer.data()["replayed"], true, "{answer}");
                assert_eq!(answer.data()["seq"].as_u64(), Some(*seq), "{answer}");
                had_landed += 1;
            }
            (201, None) => had_not += 1,
            (_, before) => panic!("{intent:?}, in the ledger as {before:?}: {answer}"),
        }
    }

    let booked = ledger(&client).await;
    assert_eq!(booked.len(), log.intents.len(), "as many records as intents");
    for number in 0..CUSTOMERS {
        let mine = log.intents.iter().filter(|i| i.customer == number);
        let spent: u64 = mine
            .map(|i| {
                let (_, amount) = &booked[&i.transno];
                assert_eq!(*amount, decimal(i.amount), "{i:?}");
                i.amount
            })
            .sum();
        // Another instance may have booked last: the row, not what this one has cached.
        let balance = client.call(Method::GET, &format!("/balance?customer_id={}", customer(number)));
        let balance = balance.header("cache-control", "no-cache").send().await;
        assert_eq!(balance.data()["balance"], decimal(CREDIT * SCALE - spent), "{}", customer(number));
    }
    let records = installation.verify().await;
    assert_eq!(records, (log.intents.len() + CUSTOMERS) as u64, "every intent and every credit once");
    #[expect(clippy::print_stdout, reason = "the counts are what the rounds were for")]
    {
        println!(
            "crash: {what}: {} acknowledged, 0 lost, 0 doubled; {} unknown (answered 503: {:?}), all repeated: {had_landed} had landed, {had_not} had not; verify: {records} records add up",
            log.acknowledged.len(),
            unknown.len(),
            log.unavailable,
        );
    }
}

/// transno -> (seq, amount) of every charge, read through the API; each seq is there once, without a gap.
async fn ledger(client: &Client) -> BTreeMap<String, (u64, String)> {
    let mut booked = BTreeMap::new();
    for number in 0..CUSTOMERS {
        let (mut cursor, mut next) = (String::new(), None);
        loop {
            let page =
                client.get(&format!("/accounting?customer_id={}&limit=1000{cursor}", customer(number))).await;
            for row in page.rows() {
                let seq = row["seq"].as_u64().unwrap();
                assert!(
                    next.is_none_or(|next| next == seq),
                    "{}: {seq} in place of {next:?}",
                    customer(number)
                );
                next = Some(seq - 1);
                if row["kind"] == "charge" {
                    let charge = (seq, row["amount"].as_str().unwrap().to_owned());
                    let twice = booked.insert(row["transno"].as_str().unwrap().to_owned(), charge);
                    assert!(twice.is_none(), "booked twice: {row}");
                }
            }
            match page.data()["next_cursor"].as_str() {
                Some(more) => cursor = format!("&cursor={more}"),
                None => break,
            }
        }
        assert_eq!(next, Some(0), "{}: the first seq is 1", customer(number));
    }
    booked
}

fn customer(number: usize) -> String {
    format!("org_crash_{number}")
}

/// An amount in units, as the server writes it.
fn decimal(amount: u64) -> String {
    let text = format!("{}.{:04}", amount / SCALE, amount % SCALE);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
