//! Which replica acts: a Lease, written with its resourceVersion only.
//!
//! Other replicas' clocks are never trusted: a lease has expired when its renewTime was seen not to change for its
//! duration. The holder counts from when it sent the renewal, so it stops before another replica starts.

mod election;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::election::{Election, LEASE_DURATION, LEASE_NAME, Step};
use crate::claim::Claim;
use crate::client::{RequestError, brief};
use crate::metrics::Metrics;
use sageapi_runtime::Clock;

/// How often the holder renews.
const RENEW_INTERVAL: Duration = Duration::from_secs(4);
/// How often the others read the lease, and how soon the holder retries after a failure.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How long after a conflict the lease is read again.
const CONFLICT_WAIT: Duration = Duration::from_millis(100);
/// How long one request about the lease may take: several fit into a lease's life.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// Registers the gauge that tells the leader.
pub fn leader_gauge(metrics: &mut Metrics) -> Gauge {
    metrics.register("leader", "1 on the replica that acts", Gauge::default())
}

/// Takes part in the election until stopped, then gives the lease back.
pub struct Elector {
    api: Api<Lease>,
    election: Election,
    claim: Arc<Claim>,
    leading: watch::Sender<bool>,
    clock: Arc<dyn Clock>,
    leader: Gauge,
}

impl Elector {
    /// A candidate called `identity`, which no other process may have at any time.
    pub fn new(
        client: Client,
        namespace: &str,
        identity: String,
        claim: Arc<Claim>,
        clock: Arc<dyn Clock>,
        leader: Gauge,
    ) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            election: Election::new(identity),
            claim,
            leading: watch::Sender::new(false),
            clock,
            leader,
        }
    }

    /// Whether this process leads, as it changes.
    pub fn leading(&self) -> watch::Receiver<bool> {
        self.leading.subscribe()
    }

    /// Runs the election until `stop`, then releases the lease if it is held.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let wait = self.turn().await;
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.release().await;
    }

    /// Reads or writes the lease once. Returns the time until the next turn.
    async fn turn(&mut self) -> Duration {
        let wait = match self.attempt().await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::warn!(error = %brief(&error), "the lease could not be read or written");
                // Whatever was known of the lease may be out of date now.
                self.election.forget_version();
                POLL_INTERVAL
            }
        };
        self.publish();
        wait
    }

    async fn attempt(&mut self) -> Result<Duration, kube::Error> {
        if self.election.must_read(self.clock.monotonic()) {
            let found = bounded(self.api.get_opt(LEASE_NAME)).await?;
            self.election.saw(found, self.clock.monotonic());
        }
        let sent = self.clock.monotonic();
        let written = match self.election.step(sent, self.clock.now().into()) {
            Step::Wait => return Ok(POLL_INTERVAL),
            Step::Create(lease) => bounded(self.api.create(&PostParams::default(), &lease)).await,
            Step::Replace(lease) => {
                bounded(self.api.replace(LEASE_NAME, &PostParams::default(), &lease)).await
            }
        };
        match written {
            Ok(lease) => {
                self.election.won(lease, sent);
                Ok(RENEW_INTERVAL)
            }
            // Another replica was faster, or an earlier request of our own arrived after all: read it again.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                self.election.forget_version();
                Ok(CONFLICT_WAIT)
            }
            Err(error) => Err(error),
        }
    }

    fn publish(&self) {
        match self.election.claimed_until() {
            Some(until) => self.claim.extend_until(until),
            None => self.claim.give_up(),
        }
        let now = self.clock.monotonic();
        let leads = self.claim.covers(now, Duration::ZERO);
        let changed = self.leading.send_if_modified(|leading| std::mem::replace(leading, leads) != leads);
        if changed {
            tracing::info!(leads, identity = self.election.identity(), "leadership changed");
            self.leader.set(i64::from(leads));
        }
    }

    /// Lets the next replica start at once. By now no write of ours may be under way.
    async fn release(mut self) {
        self.claim.give_up();
        let held = self.election.claimed_until().is_some();
        let release = self.election.release(self.clock.now().into());
        if let Some(lease) = release.filter(|_| held)
            && let Err(error) = bounded(self.api.replace(LEASE_NAME, &PostParams::default(), &lease)).await
        {
            tracing::warn!(error = %brief(&error), "the lease was not released; it expires by itself");
        }
        self.leading.send_replace(false);
        self.leader.set(0);
    }
}

async fn bounded<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    tokio::time::timeout(REQUEST_TIMEOUT, request)
        .await
        .unwrap_or_else(|_| Err(kube::Error::Service(RequestError::TimedOut(REQUEST_TIMEOUT).into())))
}
