//! Single usage records and checks beside single charges.

use super::client::{Ask, Client, enough};
use super::{CONNECTIONS, Effort, no_rounds};
use crate::Failure;
use crate::database::Database;
use crate::measures::charges::Times;
use crate::report::{Goal, Line};

/// Requests of the first round.
const TRIAL: usize = 2000;

/// All three in turn.
pub fn measure(
    client: &mut Client,
    database: &Database,
    customers: &[String],
    effort: &Effort,
    kind: &str,
) -> Result<[Line; 2], Failure> {
    let asks = [Ask::Charge, Ask::Usage, Ask::Check];
    let mut numbers = [TRIAL; 3];
    let (mut usage, mut checks) = (Vec::new(), Vec::new());
    let mut times = [Times::default(), Times::default(), Times::default()];
    // The first round is the warm-up.
    for round in 0..=effort.rounds {
        let mut rates = [0.0; 3];
        for (n, ask) in asks.into_iter().enumerate() {
            let nth = |n: usize| (ask, customers[n % customers.len()].as_str());
            let outcome = client.send(numbers[n], effort.round, None, nth)?;
            rates[n] = outcome.rate();
            numbers[n] = enough(rates[n], effort.round, TRIAL / 4);
            if round > 0 {
                times[n].add(&outcome);
            }
        }
        client.settle(database)?;
        if round > 0 {
            usage.push((rates[1], rates[0]));
            checks.push((rates[2], rates[0]));
        }
    }
    let [charging, using, checking] = &times;
    let line = |name: &str, rates: &[(f64, f64)], times: &Times| {
        let name = format!(
            "{name}, {CONNECTIONS} connections, {} customers, {} records, {kind}",
            customers.len(),
            effort.usage_records
        );
        let line = Line::compared(name, "requests/s", "POST /accounting", rates, Goal::AtLeast(0.8));
        let line = line.ok_or_else(no_rounds)?.note("aim: 1 ×").note(times.text()?);
        Ok::<_, Failure>(line.note(format!("charges: {}", charging.text()?)))
    };
    Ok([
        line("POST /usage", &usage, using)?.note("priced by a price list; no customer's usage is charged"),
        line("POST /quota/check, admitted", &checks, checking)?
            .note("limits of tokens by day and of requests by minute; after each round, and not within its time, usage settles the \
                   reservations"),
    ])
}
