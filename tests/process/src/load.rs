//! A load that knows what it meant to book and what was acknowledged, and holds the ledger against it when all the
//! trouble is over.

mod intent;
mod plans;
mod settle;
mod sums;
mod usage;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use sageapi_test_support::server::ServerProcess;
use serde_json::json;
use tokio::task::JoinHandle;

use self::intent::{Answered, Intent, Verdict};
use self::plans::Plans;
use crate::connection::{Connection, Outcome};
use crate::installation::{Installation, MadeKey};
use crate::waiting;

const CONNECTIONS: usize = 16;
/// Units that each customer has.
const CREDIT: u64 = 1_000_000;

/// Customers of a load that is not about their number.
pub const CUSTOMERS: usize = 8;

/// What the clients know.
#[derive(Default)]
struct Log {
    customers: usize,
    /// In which it began.
    month: String,
    intents: Vec<Intent>,
    /// Of everything whose answer said that it is there: its name, and its seq or useq if it is a record.
    acknowledged: BTreeMap<String, Option<u64>>,
    /// How often the server said that it could not now.
    unavailable: BTreeMap<String, u64>,
}

impl Log {
    /// Whether something of it was not acknowledged.
    fn unknown(&self, intent: &Intent) -> bool {
        intent.names().into_iter().any(|name| !self.acknowledged.contains_key(name))
    }

    /// Takes an answer in; whether the server could do it all.
    fn note(&mut self, verdicts: &[Verdict]) -> bool {
        let mut refused = BTreeSet::new();
        for verdict in verdicts {
            match &verdict.answer {
                Answered::There { seq, .. } => {
                    self.acknowledged.insert(verdict.name.clone(), *seq);
                }
                Answered::Unavailable(code) => {
                    refused.insert(code);
                }
            }
        }
        for code in &refused {
            *self.unavailable.entry((*code).clone()).or_default() += 1;
        }
        refused.is_empty()
    }
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
    /// So many customers with funds and users, and a key that may charge them.
    pub async fn key(installation: &Installation, customers: usize) -> MadeKey {
        let mut seed = usage::seed(customers);
        let customer = |number| json!({"id": intent::name(number), "credit": CREDIT.to_string()});
        seed["customers"] = (0..customers).map(customer).collect();
        let key = installation.seed_with(seed).await;
        usage::book(installation, customers).await;
        key
    }

    /// The id of one of its customers.
    pub fn customer(number: usize) -> String {
        intent::name(number)
    }

    /// Clients that book for so many customers at these servers until [`Load::settle`].
    pub fn start(servers: &[ServerProcess], key: MadeKey, customers: usize, rng: &mut StdRng) -> Self {
        let log = Mutex::new(Log { customers, month: sums::month(), ..Log::default() });
        let (answers, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let shared = Arc::new(Shared { log, answers, stop, key });
        let clients = (0..CONNECTIONS)
            .map(|number| {
                let plans = Plans::new(number, customers, rng.random());
                let address = servers[number % servers.len()].http_address();
                tokio::spawn(work(Arc::clone(&shared), address, plans))
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
            if let Err(failed) = client.await {
                let said = |server: &ServerProcess| {
                    server.stderr().into_iter().filter(|line| line.contains("WARN") || line.contains("ERROR"))
                };
                let log: Vec<_> = running.iter().flat_map(said).collect();
                panic!("{failed}; the servers said:\n{}", log.join("\n"));
            }
        }
        let log = std::mem::take(&mut *self.shared.log.lock().unwrap());
        let client = self.shared.key.client(&running[0].http());
        settle::settle(installation, running, &client, log, what).await;
    }
}

/// Books until told to stop; after a crash on a new connection, and never the same thing twice.
async fn work(load: Arc<Shared>, address: SocketAddr, mut plans: Plans) {
    let client = load.key.client(&format!("http://{address}"));
    let mut connection = None;
    while !load.stop.load(Ordering::Relaxed) {
        let Some(open) = &mut connection else {
            connection = Connection::open(address).await.ok();
            if connection.is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            continue;
        };
        let intent = plans.next();
        let (path, body) = intent.request();
        let request = client.call(Intent::METHOD, &path).json(&body).build();
        load.log.lock().unwrap().intents.push(intent.clone());
        match open.exchange(request).await {
            Outcome::Answered(answer) => {
                let verdicts = intent.verdicts(answer.status.as_u16(), &answer.body);
                plans.learn(&intent, &verdicts);
                if load.log.lock().unwrap().note(&verdicts) {
                    load.answers.fetch_add(1, Ordering::Relaxed);
                } else {
                    // A server that has just started, as a rule: it listens before it has seen its schema.
                    // Each of these is repeated in the end, so a busy loop here makes a long end.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            Outcome::NotSent | Outcome::Lost(_) => connection = None,
        }
    }
}
