//! Charges one by one: through the API, and beside it by plain transactions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Effort, no_rounds};
use crate::Failure;
use crate::generator::{self, Load};
use crate::outcome::Outcome;
use crate::raw::booking::{Plain, Work};
use crate::request::Requests;
use crate::stat::Stat;

/// Plain connections.
const PLAIN: usize = 16;
/// How long the plain side is run before it counts, at most.
const WARM_UP: Duration = Duration::from_secs(1);
/// How late the last charges of an open loop may be sent: lateness is what it measures, and ends nothing.
pub(super) const LATE: Duration = Duration::from_secs(60);
/// Requests that show about how fast the server is, so that enough of them can be signed beforehand.
const TRIAL: usize = 2000;

/// Both sides of the comparison.
pub(super) struct Sides<'a> {
    /// The API.
    pub server: SocketAddr,
    /// Signs what is sent there.
    pub requests: Requests,
    /// The plain transactions.
    pub theirs: Plain<'a>,
    /// Charges that the API has acknowledged, one by one or in batches.
    pub booked: usize,
}

/// Rates of both sides, and how long requests took.
#[derive(Default)]
pub(super) struct Rounds {
    /// SageAPI's and the plain transactions', each a second.
    pub rates: Vec<(f64, f64)>,
    /// Of SageAPI's requests.
    pub times: Times,
}

/// How long things took, in milliseconds, round by round.
#[derive(Default)]
pub(super) struct Times {
    /// Half of them at most.
    pub middle: Vec<f64>,
    /// 99 % of them at most.
    pub slowest: Vec<f64>,
}

impl Times {
    /// One more round.
    pub fn add(&mut self, round: &Outcome) {
        self.middle.push(round.quantile_ms((1, 2)));
        self.slowest.push(round.quantile_ms((99, 100)));
    }

    /// For a note.
    pub fn text(&self) -> Result<String, Failure> {
        let median = |figures: &[f64]| Stat::of(figures.iter().copied()).map(|stat| stat.median);
        let (middle, slowest) = median(&self.middle).zip(median(&self.slowest)).ok_or_else(no_rounds)?;
        Ok(format!("half of them took at most {middle:.2} ms, 99 % at most {slowest:.2} ms"))
    }
}

impl Sides<'_> {
    /// So many charges of these customers in turn, in a closed loop or at a rate.
    pub fn charge(
        &mut self,
        customers: &[String],
        connections: usize,
        count: usize,
        limit: Duration,
        rate: Option<f64>,
    ) -> Result<Outcome, Failure> {
        let requests = (0..count).map(|n| self.requests.charge(&customers[n % customers.len()]));
        let requests: Vec<Bytes> = requests.collect::<Result<_, _>>()?;
        let load = Load { rate, ..Load::once(requests, limit) };
        let outcome = generator::run(self.server, connections, load)?;
        self.booked += outcome.count;
        Ok(outcome)
    }

    /// Rounds of either side in turn.
    pub fn against_plain(
        &mut self,
        customers: &Arc<[String]>,
        connections: usize,
        effort: &Effort,
    ) -> Result<Rounds, Failure> {
        let mut rate = self.charge(customers, connections, TRIAL, effort.round, None)?.rate();
        self.theirs.run(customers, Work::Charges, PLAIN, effort.round.min(WARM_UP))?;
        let mut rounds = Rounds::default();
        for _ in 0..effort.rounds {
            let other = self.theirs.run(customers, Work::Charges, PLAIN, effort.round)?;
            // Half as many again as are likely to be used.
            let enough = count(rate * effort.round.as_secs_f64() * 1.5).max(TRIAL);
            let outcome = self.charge(customers, connections, enough, effort.round, None)?;
            rate = outcome.rate();
            rounds.rates.push((rate, other.rate()));
            rounds.times.add(&outcome);
        }
        Ok(rounds)
    }
}

/// A whole number of things.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "finite and positive")]
pub(super) fn count(figure: f64) -> usize {
    figure as usize
}
