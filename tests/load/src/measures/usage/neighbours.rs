//! What charges notice of usage and quotas: of other customers', and of the same customer's.

use std::thread;

use super::client::{Ask, Client, enough};
use super::{CONNECTIONS, Effort, ITEMS, no_rounds};
use crate::Failure;
use crate::database::Database;
use crate::generator::{self, Load};
use crate::measures::charges::{LATE, Times, count};
use crate::report::{Goal, Line};
use crate::request::accepted;

/// Requests of the first round.
const TRIAL: usize = 2000;
/// Batches of one customer that show how fast they are stored: one after another, since a customer has only a share of the queue.
const TRIAL_BATCHES: usize = 20;
/// Of so many requests one is another customer's.
const SHARE: usize = 3;
/// The others' part.
const CHARGED: f64 = 2.0 / 3.0;
/// The load of one customer is this part of what it reaches.
const STEADY: f64 = 0.25;

/// Charges of customers without usage, and as every third request a check or usage of others; beside that, as every third
/// request a charge of those others.
pub fn of_others(
    client: &mut Client,
    database: &Database,
    [charged, others]: [&[String]; 2],
    effort: &Effort,
    kind: &str,
) -> Result<Line, Failure> {
    let third = |n: usize| n % SHARE == SHARE - 1;
    let (mut rates, mut numbers) = (Vec::new(), [TRIAL; 2]);
    let mut times = [Times::default(), Times::default()];
    // The first round is the warm-up.
    for round in 0..=effort.rounds {
        let mut reached = [0.0; 2];
        for (side, asks) in [[Ask::Charge; 2], [Ask::Check, Ask::Usage]].into_iter().enumerate() {
            let nth = |n: usize| {
                let turn = n / SHARE;
                if third(n) {
                    (asks[turn % 2], others[turn % others.len()].as_str())
                } else {
                    (Ask::Charge, charged[n % charged.len()].as_str())
                }
            };
            let outcome = client.send(numbers[side], effort.round, None, nth)?;
            numbers[side] = enough(outcome.rate(), effort.round, TRIAL / 4);
            // Requests are sent in their order: of all that were answered, two thirds are these charges.
            reached[side] = outcome.rate() * CHARGED;
            if round > 0 {
                times[side].add(&outcome);
            }
        }
        client.settle(database)?;
        if round > 0 {
            rates.push((reached[1], reached[0]));
        }
    }
    let name = format!(
        "charges of {} customers, and a third of the load checks and usage of others, {CONNECTIONS} connections, {} records, \
         {kind}",
        charged.len(),
        effort.usage_records
    );
    let line = Line::compared(name, "charges/s", "charges of the others instead", &rates, Goal::AtLeast(0.9));
    Ok(line
        .ok_or_else(no_rounds)?
        .note("aim: 1 ×")
        .note("a closed loop of two charges and one other request, a check or usage in turn; the charges are counted")
        .note(format!("all requests: {}; with charges instead: {}", times[1].text()?, times[0].text()?)))
}

/// How long single charges of a customer take beside batches of its usage, and alone, at the same rates.
pub fn of_one(client: &mut Client, customer: &str, effort: &Effort, kind: &str) -> Result<Line, Failure> {
    let only = [customer.to_owned()];
    let charge = |_| (Ask::Charge, customer);
    let reached = client.send(TRIAL, effort.round, None, charge)?.rate();
    let batches = client.send_usage(&only, 1, TRIAL_BATCHES, effort.round)?.rate();
    let (charging, batching) = (reached * STEADY, batches * STEADY);
    let seconds = effort.round.as_secs_f64();
    let (due, sent) = (count(charging * seconds).max(1), count(batching * seconds).max(1));
    let limit = effort.round + LATE;
    let (mut slowest, mut alone, mut beside) = (Vec::new(), Times::default(), Times::default());
    for _ in 0..effort.rounds {
        let undisturbed = client.send(due, limit, Some(charging), charge)?;
        let load = client.load(due, limit, Some(charging), charge)?;
        let bulk = Load::once(client.usage_batches(&only, sent)?, limit);
        let bulk = Load { rate: Some(batching), ending: accepted(ITEMS), ..bulk };
        let server = client.server;
        let (disturbed, stored) = thread::scope(|scope| {
            let stream = scope.spawn(move || generator::run(server, 1, bulk));
            let disturbed = generator::run(server, CONNECTIONS, load);
            (disturbed, stream.join())
        });
        let (disturbed, stored) = (disturbed?, stored.map_err(|_| "the stream of batches ended")??);
        client.count(&disturbed, charge);
        client.recorded += stored.count * ITEMS;
        if (undisturbed.count, disturbed.count, stored.count) != (due, due, sent) {
            return Err(format!("charges or batches that were due were not sent within {limit:?}").into());
        }
        slowest.push((disturbed.quantile_ms((99, 100)), undisturbed.quantile_ms((99, 100))));
        alone.add(&undisturbed);
        beside.add(&disturbed);
    }
    let name = format!(
        "99 % of single charges of one customer beside batches of its usage, {} records, {kind}",
        effort.usage_records
    );
    let line = Line::compared(name, "ms", "the charges alone", &slowest, Goal::AtMost(3.0));
    Ok(line
        .ok_or_else(no_rounds)?
        .note("aim: 2 ×")
        .note(format!(
            "open loops: {charging:.0} charges a second and {batching:.1} batches of {ITEMS} a second, each {:.0} % of what it \
             reaches alone in a closed loop",
            STEADY * 100.0
        ))
        .note(format!("beside batches, {}; alone, {}", beside.text()?, alone.text()?)))
}
