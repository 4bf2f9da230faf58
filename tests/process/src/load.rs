//! A load that knows what it meant to book and what was acknowledged, and holds the ledger against it when all the
//! trouble is over.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sageapi_test_support::client::Client;
use sageapi_test_support::server::ServerProcess;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::connection::{Connection, Outcome};
use crate::installation::{Installation, MadeKey};
use crate::waiting;

const CUSTOMERS: usize = 8;
const CONNECTIONS: usize = 16;
/// Of a unit; amounts are whole numbers of these.
const SCALE: u64 = 10_000;
const CREDIT: u64 = 1_000_000;

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

struct Shared {
    log: Mutex<Log>,
    answers: AtomicUsize,
    stop: AtomicBool,
    key: MadeKey,
}

/// Clients at work.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Customers with funds, and a key that may charge them.
    pub async fn key(installation: &Installation) -> MadeKey {
        let customers: Vec<_> = (0..CUSTOMERS).map(customer).collect();
        installation.seed(&customers, &CREDIT.to_string()).await
    }

    /// Clients that book at these servers until [`Load::settle`].
    pub fn start(servers: &[ServerProcess], key: MadeKey, rng: &mut StdRng) -> Self {
        let (log, answers, stop) = (Mutex::default(), AtomicUsize::new(0), AtomicBool::new(false));
        let shared = Arc::new(Shared { log, answers, stop, key });
        let clients = (0..CONNECTIONS)
            .map(|number| {
                let rng = StdRng::seed_from_u64(rng.random());
                let address = servers[number % servers.len()].http_address();
                tokio::spawn(work(Arc::clone(&shared), address, number, rng))
            })
            .collect();
        Self { shared, clients }
    }

    /// Waits until the clients get answers again.
    pub async fn flows(&self) {
        let before = self.shared.answers.load(Ordering::Relaxed);
        let busy = || async {
            (self.shared.answers.load(Ordering::Relaxed) > before + 4 * CONNECTIONS).then_some(())
        };
        waiting::until("the servers answer", Duration::from_secs(60), busy).await;
    }

    /// How often a server said that it could not book now.
    pub fn refusals(&self) -> u64 {
        self.shared.log.lock().unwrap().unavailable.values().sum()
    }

    /// Stops the clients, holds what the ledger has against what they know, repeats what is unknown, and adds up.
    pub async fn settle(self, installation: &Installation, running: &[ServerProcess], what: &str) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
        let log = std::mem::take(&mut *self.shared.log.lock().unwrap());
        settle(installation, running, &self.shared.key, log, what).await;
    }
}

/// Books until told to stop; after a crash on a new connection, and never the same thing twice.
async fn work(load: Arc<Shared>, address: SocketAddr, number: usize, mut rng: StdRng) {
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
            // 200 where a commit's answer was lost on the way and the server found its own booking.
            Outcome::Answered(answer) if matches!(answer.status.as_u16(), 200 | 201) => {
                let seq = answer.body["data"]["seq"].as_u64().unwrap();
                load.log.lock().unwrap().acknowledged.insert(intent.transno, seq);
                load.answers.fetch_add(1, Ordering::Relaxed);
            }
            // Not booked, perhaps: to be repeated like the others.
            Outcome::Answered(answer) if answer.status == 503 => {
                let code = answer.body["code"].as_str().unwrap().to_owned();
                *load.log.lock().unwrap().unavailable.entry(code).or_default() += 1;
                // A server that has just started, as a rule: it listens before it has seen its schema.
                // Each of these is repeated in the end, so a busy loop here makes a long end.
                tokio::time::sleep(Duration::from_millis(50)).await;
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
