//! The newest records of a list beside those that lie deep in it.

use std::net::SocketAddr;

use serde_json::Value;

use super::{Effort, no_rounds};
use crate::Failure;
use crate::child::exchange;
use crate::generator::{self, Load};
use crate::report::{Goal, Line};
use crate::request::Requests;

/// Connections of clients that list.
const LISTING: usize = 4;
/// The most records of a page.
const PAGE: usize = 1000;

/// Something to list.
#[derive(Clone, Copy)]
pub struct List {
    /// Where it is: `accounting`, `usage`.
    pub path: &'static str,
    /// How many records it has.
    pub records: usize,
    /// By what the records of a customer are numbered without a gap.
    pub number: &'static str,
}

/// All customers' records.
pub fn of_all(
    server: SocketAddr,
    requests: &mut Requests,
    list: List,
    effort: &Effort,
    kind: &str,
) -> Result<Line, Failure> {
    let depth = list.records / 10 * 9;
    compare(
        server,
        requests,
        list,
        "",
        depth,
        effort,
        format!("list of 50 of /{} at record {depth}, {kind}", list.path),
    )
}

/// The records of one customer, who has many.
pub fn of_one(
    server: SocketAddr,
    requests: &mut Requests,
    list: List,
    customer: &str,
    effort: &Effort,
    kind: &str,
) -> Result<Line, Failure> {
    let filter = format!("customer_id={customer}&");
    let newest = page(server, requests, list, &format!("{filter}limit=1"))?;
    let seq = newest["data"]["rows"][0][list.number].as_u64();
    let records = usize::try_from(seq.ok_or_else(|| format!("{customer} has no records"))?)?;
    let depth = records / 10 * 9;
    let name = format!("list of 50 of /{} of one customer at record {depth} of {records}, {kind}", list.path);
    compare(server, requests, list, &filter, depth, effort, name)
}

fn compare(
    server: SocketAddr,
    requests: &mut Requests,
    list: List,
    filter: &str,
    depth: usize,
    effort: &Effort,
    name: String,
) -> Result<Line, Failure> {
    let place = cursor(server, requests, list, filter, depth)?;
    let (near, deep) = (format!("{filter}limit=50"), format!("{filter}limit=50{place}"));
    let mut round = |query: &str| -> Result<f64, Failure> {
        // Signed again each time: a signature lives for five minutes.
        let load = Load::again(requests.list(list.path, query)?, effort.round);
        Ok(generator::run(server, LISTING, load)?.rate())
    };
    let mut rates = Vec::new();
    for _ in 0..effort.rounds {
        let near = round(&near)?;
        rates.push((round(&deep)?, near));
    }
    let line = Line::compared(name, "lists/s", "the same at record 1", &rates, Goal::AtLeast(1.0 / 1.2));
    line.ok_or_else(no_rounds)
}

/// The parameter that names the page after so many records; empty before all of them.
fn cursor(
    server: SocketAddr,
    requests: &mut Requests,
    list: List,
    filter: &str,
    depth: usize,
) -> Result<String, Failure> {
    let (mut place, mut seen) = (String::new(), 0);
    while seen < depth {
        let limit = PAGE.min(depth - seen);
        let page = page(server, requests, list, &format!("{filter}limit={limit}{place}"))?;
        let next = page["data"]["next_cursor"].as_str();
        let next = next.ok_or_else(|| format!("no page after {} records", seen + limit))?;
        place = format!("&cursor={next}");
        seen += limit;
    }
    Ok(place)
}

fn page(server: SocketAddr, requests: &mut Requests, list: List, query: &str) -> Result<Value, Failure> {
    let (status, body) = exchange(server, &requests.list(list.path, query)?)?;
    if status != 200 {
        return Err(format!("GET /{}?{query} was answered by {status}: {body}", list.path).into());
    }
    Ok(serde_json::from_str(&body)?)
}
