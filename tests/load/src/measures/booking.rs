use std::sync::Arc;

use serde::Deserialize;

use super::charges::Sides;
use super::{CONNECTIONS, Effort, no_rounds};
use crate::Failure;
use crate::child::get;
use crate::database::{Database, Kind};
use crate::raw;
use crate::raw::booking::Plain;
use crate::report::{Goal, Line};
use crate::server::{Programs, Server};

const CUSTOMER: &str = "org_bench";

/// What `customer show` says of interest.
#[derive(Deserialize)]
struct Shown {
    seq: usize,
}

/// One customer's charges: through the API, and by plain transactions.
pub fn measure(programs: &Programs, effort: &Effort) -> Result<Vec<Line>, Failure> {
    Kind::ROOTLESS.into_iter().map(|kind| of_kind(programs, effort, kind)).collect()
}

fn of_kind(programs: &Programs, effort: &Effort, kind: Kind) -> Result<Line, Failure> {
    let (ours, theirs) = (programs.database(kind)?, programs.database(kind)?);
    let customers: Arc<[_]> = [CUSTOMER.to_owned()].into();
    let [key, _] = programs.seed(&ours, &customers)?;
    programs.seed(&theirs, &customers)?;
    let server = programs.serve(&ours, None)?;
    // Its first record is the seed's credit.
    let plain = Plain::new(&theirs, 2);
    let mut sides =
        Sides { server: server.http, requests: key.requests(server.http)?, theirs: plain, booked: 0 };
    let rounds = sides.against_plain(&customers, CONNECTIONS, effort)?;
    let booked = sides.booked;
    let (batch, millis) = means(&server)?;
    server.child.stop()?;
    check(programs, &ours, booked)?;
    raw::check_records(&theirs, 1 + sides.theirs.records, "plain transactions")?;

    let line = Line::compared(
        format!("signed POST /accounting, 16 connections, one customer, {}", kind.name()),
        "bookings/s",
        "16 raw connections",
        &rounds.rates,
        Goal::AtLeast(1.0),
    );
    Ok(line
        .ok_or_else(no_rounds)?
        .note(format!("{booked} bookings, all of them found again by verify"))
        .note(format!("a commit had {batch:.1} of them and took {millis:.2} ms on average"))
        .note(rounds.times.text()?))
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
