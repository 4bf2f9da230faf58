//! Clients that book and ask without a break, and count what went wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use sageapi_test_support::client::Client;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::Failure;
use crate::scenario::UNIT;

/// Clients that keep their connections, and clients that make a new one for each request.
const KEEPING: u64 = 4;
const ANEW: u64 = 2;
/// Between two requests of one client.
const REQUEST_INTERVAL: Duration = Duration::from_millis(40);
/// So many complaints are told.
const TOLD: usize = 5;

/// What clients have seen.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    answered: AtomicU64,
    booked: AtomicU64,
    failed: AtomicU64,
    complaints: Mutex<Vec<String>>,
}

/// A load that goes on until it is ended.
pub struct Load {
    runtime: Runtime,
    clients: Vec<JoinHandle<()>>,
    seen: Arc<Seen>,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Requests that were answered as they should be.
    pub answered: u64,
    /// Bookings among them, of one unit each.
    pub booked: u64,
    /// Requests that were not.
    pub failed: u64,
    /// The first of what went wrong.
    pub complaints: Vec<String>,
}

impl Load {
    /// Begins. Each booking's transno begins with `prefix`.
    pub fn start(client: &Client, prefix: &str) -> Result<Self, Failure> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let seen = Arc::new(Seen::default());
        let clients = (0..KEEPING + ANEW).map(|number| {
            let (client, seen) = (client.unshared(), seen.clone());
            runtime.spawn(one(client, seen, number >= KEEPING, format!("{prefix}-{number}")))
        });
        let clients = clients.collect();
        Ok(Self { runtime, clients, seen })
    }

    /// How many requests were answered so far.
    pub fn answered(&self) -> u64 {
        self.seen.answered.load(Ordering::Relaxed)
    }

    /// Ends it, when every request has been answered.
    pub fn end(self) -> Result<Outcome, Failure> {
        self.seen.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            self.runtime.block_on(client)?;
        }
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let complaints = self.seen.complaints.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Outcome {
            answered: get(&self.seen.answered),
            booked: get(&self.seen.booked),
            failed: get(&self.seen.failed),
            complaints,
        })
    }
}

async fn one(client: Client, seen: Arc<Seen>, reconnect: bool, name: String) {
    let mut number = 0_u64;
    while !seen.stop.load(Ordering::Relaxed) {
        number += 1;
        let client = if reconnect { client.unshared() } else { client.clone() };
        let books = number.is_multiple_of(2);
        let call = if books {
            let body = json!({"transno": format!("{name}-{number}"), "amount": UNIT});
            client.call(Method::POST, "/accounting").json(&body)
        } else {
            client.call(Method::GET, "/balance")
        };
        let wanted = if books { 201 } else { 200 };
        match call.try_send().await {
            Ok(answer) if answer.status.as_u16() == wanted => {
                seen.answered.fetch_add(1, Ordering::Relaxed);
                seen.booked.fetch_add(u64::from(books), Ordering::Relaxed);
            }
            Ok(answer) => seen.complain(format!("{name} request {number}: {answer}")),
            Err(why) => seen.complain(format!("{name} request {number}: {why}")),
        }
        tokio::time::sleep(REQUEST_INTERVAL).await;
    }
}

impl Seen {
    fn complain(&self, what: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        if complaints.len() < TOLD {
            complaints.push(what);
        }
    }
}

/// What a pod of the cluster runs: a balance, a booking, and the same booking again.
pub fn client(base: &str, key: &str, secret: &str) -> Result<(), Failure> {
    let client = Client::new(base, key, secret);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let body = json!({"transno": "from-a-pod", "amount": UNIT});
        let calls = [
            (client.call(Method::GET, "/balance"), 200),
            (client.call(Method::POST, "/accounting").json(&body), 201),
            (client.call(Method::POST, "/accounting").json(&body), 200),
        ];
        for (call, wanted) in calls {
            let answer = call.try_send().await?;
            println!("{answer}");
            if answer.status.as_u16() != wanted {
                return Err(format!("{} instead of {wanted}", answer.status).into());
            }
        }
        Ok(())
    })
}
