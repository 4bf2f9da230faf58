//! What is sent to the server, and how much of it was acknowledged.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::{BATCHING, CONNECTIONS, ITEMS, LIMIT};
use crate::Failure;
use crate::database::Database;
use crate::generator::{self, Load};
use crate::measures::charges::count;
use crate::outcome::Outcome;
use crate::raw::usage;
use crate::request::{Caller, Requests, accepted};

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// `POST /accounting`
    Charge,
    /// `POST /usage`
    Usage,
    /// `POST /quota/check`
    Check,
}

/// A client of one server after another, all on the same database.
pub struct Client {
    /// Where it sends requests.
    pub server: SocketAddr,
    /// Signs them.
    pub requests: Requests,
    /// Charges that were acknowledged, one by one or in batches.
    pub booked: usize,
    /// Usage records that there are.
    pub recorded: usize,
    /// Checks that were answered since their reservations were settled.
    checked: usize,
}

impl Client {
    /// With so many usage records there.
    pub fn new(server: SocketAddr, requests: Requests, recorded: usize) -> Self {
        Self { server, requests, booked: 0, recorded, checked: 0 }
    }

    /// Goes on at another server.
    pub fn move_to(&mut self, server: SocketAddr, requests: Requests) {
        (self.server, self.requests) = (server, requests);
    }

    /// Sends the requests for so many numbers in turn, until they or the time are over.
    pub fn send<'c>(
        &mut self,
        number: usize,
        limit: Duration,
        rate: Option<f64>,
        nth: impl Fn(usize) -> (Ask, &'c str),
    ) -> Result<Outcome, Failure> {
        let load = self.load(number, limit, rate, &nth)?;
        let outcome = generator::run(self.server, CONNECTIONS, load)?;
        self.count(&outcome, nth);
        Ok(outcome)
    }

    /// Such a load, to be sent by [`CONNECTIONS`] and then counted.
    pub fn load<'c>(
        &mut self,
        number: usize,
        limit: Duration,
        rate: Option<f64>,
        nth: impl Fn(usize) -> (Ask, &'c str),
    ) -> Result<Load, Failure> {
        let requests = (0..number).map(|n| match nth(n) {
            (Ask::Charge, customer) => self.requests.charge(customer),
            (Ask::Usage, customer) => self.requests.usage(customer),
            (Ask::Check, customer) => self.requests.check(customer),
        });
        let requests = requests.collect::<Result<_, _>>()?;
        Ok(Load { rate, ..Load::once(requests, limit) })
    }

    /// Requests are sent in their order, and what is sent is answered: so many of them were.
    pub fn count<'c>(&mut self, outcome: &Outcome, nth: impl Fn(usize) -> (Ask, &'c str)) {
        for n in 0..outcome.count {
            *match nth(n).0 {
                Ask::Charge => &mut self.booked,
                Ask::Usage => &mut self.recorded,
                Ask::Check => &mut self.checked,
            } += 1;
        }
    }

    /// Batches of usage, for these customers in turn. One that is not accepted whole is a failure.
    pub fn send_usage(
        &mut self,
        customers: &[String],
        connections: usize,
        number: usize,
        limit: Duration,
    ) -> Result<Outcome, Failure> {
        let batches = self.usage_batches(customers, number)?;
        let load = Load { ending: accepted(ITEMS), ..Load::once(batches, limit) };
        let outcome = generator::run(self.server, connections, load)?;
        self.recorded += outcome.count * ITEMS;
        Ok(outcome)
    }

    /// So many of them, to be sent and counted.
    pub fn usage_batches(&mut self, customers: &[String], number: usize) -> Result<Vec<Bytes>, Failure> {
        let caller = |n: usize| Caller::of(&customers[n % customers.len()], n as u64);
        (0..number)
            .map(|batch| {
                let callers: Vec<_> = (0..ITEMS).map(|n| caller(batch * ITEMS + n)).collect();
                self.requests.usage_batch(&callers)
            })
            .collect()
    }

    /// Batches of charges likewise.
    pub fn send_charges(
        &mut self,
        customers: &[String],
        number: usize,
        limit: Duration,
    ) -> Result<Outcome, Failure> {
        let names = || (0..ITEMS).map(|n| customers[n % customers.len()].as_str());
        let batches = (0..number).map(|_| self.requests.batch(names())).collect::<Result<_, _>>()?;
        let load = Load { ending: accepted(ITEMS), ..Load::once(batches, limit) };
        let outcome = generator::run(self.server, BATCHING, load)?;
        self.booked += outcome.count * ITEMS;
        Ok(outcome)
    }

    /// Settles all open reservations by usage records. Fails if there are other than the checks have left: then some were
    /// not admitted, or have expired.
    pub fn settle(&mut self, database: &Database) -> Result<(), Failure> {
        let open = usage::reservations(database)?;
        if open.len() != self.checked {
            return Err(format!("{} checks have left {} open reservations", self.checked, open.len()).into());
        }
        let send = |callers: &[Caller], requests: &mut Requests, server| {
            let load = Load::once(vec![requests.usage_batch(callers)?], LIMIT);
            generator::run(server, 1, Load { ending: accepted(callers.len()), ..load })
        };
        for callers in open.chunks(ITEMS) {
            send(callers, &mut self.requests, self.server)?;
            self.recorded += callers.len();
        }
        self.checked = 0;
        let left = usage::reservations(database)?.len();
        if left == 0 { Ok(()) } else { Err(format!("{left} reservations were not settled").into()) }
    }
}

/// How many requests fill a round at this rate: half as many again as are likely to be answered.
pub fn enough(rate: f64, round: Duration, least: usize) -> usize {
    count(rate * round.as_secs_f64() * 1.5).max(least)
}
