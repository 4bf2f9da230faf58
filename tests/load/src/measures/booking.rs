use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use super::{CONNECTIONS, Effort, no_rounds};
use crate::Failure;
use crate::child::get;
use crate::database::{Database, Kind};
use crate::generator::{self, Load};
use crate::raw;
use crate::report::{Goal, Line};
use crate::request::Requests;
use crate::server::{Programs, Server};
use crate::stat::Stat;

const CUSTOMER: &str = "org_bench";
/// Requests that show about how fast the server is, so that enough of them can be signed beforehand.
const TRIAL: usize = 2000;

/// What `customer show` says of interest.
#[derive(Deserialize)]
struct Shown {
    seq: usize,
}

/// One customer's charges: through the API, and by plain transactions.
pub fn measure(programs: &Programs, effort: &Effort) -> Result<Vec<Line>, Failure> {
    Kind::ALL.into_iter().map(|kind| of_kind(programs, effort, kind)).collect()
}

fn of_kind(programs: &Programs, effort: &Effort, kind: Kind) -> Result<Line, Failure> {
    let (ours, theirs) = (programs.database(kind)?, programs.database(kind)?);
    let customers = [CUSTOMER.to_owned()];
    let [key, _] = programs.seed(&ours, &customers)?;
    programs.seed(&theirs, &customers)?;
    let server = programs.serve(&ours, None)?;
    let mut requests = key.requests(server.http)?;

    let mut booked = 0;
    let mut charge = |count: usize, limit: Duration, requests: &mut Requests| {
        let requests: Vec<Bytes> = (0..count).map(|_| requests.charge(CUSTOMER)).collect::<Result<_, _>>()?;
        let outcome = generator::run(server.http, CONNECTIONS, Load { requests, again: false, limit })?;
        booked += outcome.answers;
        Ok::<_, Failure>(outcome)
    };
    // Its first record is the seed's credit.
    let seq = Arc::new(AtomicI64::new(2));
    let plain = |limit| raw::booking::run(&theirs, CUSTOMER, CONNECTIONS, limit, &seq);

    let mut rate = charge(TRIAL, effort.round, &mut requests)?.rate();
    plain(Duration::from_secs(1))?;
    let (mut rates, mut middle, mut slowest) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let other = plain(effort.round)?;
        // Half as many again as are likely to be used.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate is finite and positive"
        )]
        let enough = (rate * effort.round.as_secs_f64() * 1.5) as usize;
        let outcome = charge(enough.max(TRIAL), effort.round, &mut requests)?;
        rate = outcome.rate();
        rates.push((rate, other.rate()));
        middle.push(outcome.quantile_ms((1, 2)));
        slowest.push(outcome.quantile_ms((99, 100)));
    }
    let (batch, millis) = means(&server)?;
    server.child.stop()?;
    check(programs, &ours, booked)?;

    let median = |figures: Vec<f64>| Stat::of(figures).map(|stat| stat.median).ok_or_else(no_rounds);
    let line = Line::compared(
        format!("signed POST /accounting, 16 connections, one customer, {}", kind.name()),
        "bookings/s",
        "16 raw connections",
        &rates,
        Goal::AtLeast(1.0),
    );
    Ok(line
        .ok_or_else(no_rounds)?
        .note(format!("{booked} bookings, all of them found again by verify"))
        .note(format!("a commit had {batch:.1} of them and took {millis:.2} ms on average"))
        .note(format!(
            "half of them took at most {:.2} ms, 99 % at most {:.2} ms",
            median(middle)?,
            median(slowest)?
        )))
}

/// Bookings a transaction, and its time in milliseconds, by the server's own count.
fn means(server: &Server) -> Result<(f64, f64), Failure> {
    let (_, metrics) = get(server.admin, "/metrics")?;
    let figure = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|figure| figure.parse::<f64>().ok()).ok_or_else(|| format!("no metric {name}"))
    };
    let mean = |name: &str| -> Result<f64, Failure> {
        Ok(figure(&format!("sageapi_booking_{name}_sum"))?
            / figure(&format!("sageapi_booking_{name}_count"))?)
    };
    Ok((mean("batch_size")?, mean("commit_seconds")? * 1000.0))
}

/// Whether every booking that was acknowledged is there, once, and the ledger adds up.
fn check(programs: &Programs, database: &Database, booked: usize) -> Result<(), Failure> {
    let shown = programs.command(database, None, &["customer", "show", CUSTOMER, "--output", "json"])?;
    let Shown { seq } = serde_json::from_str(&shown)?;
    if seq != booked + 1 {
        return Err(format!("{booked} bookings were acknowledged, {} are there", seq - 1).into());
    }
    programs.command(database, None, &["verify"]).map(drop)
}
