//! The ledger with a million records in it: charges, batches, lists, memory.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use bytes::Bytes;

use super::charges::{Sides, Times, count};
use super::{Effort, MEGABYTE, no_rounds};
use crate::Failure;
use crate::child::exchange;
use crate::database::{Database, Kind};
use crate::generator::{self, Load};
use crate::raw::booking::{self, Work};
use crate::report::{Goal, Line};
use crate::request::Requests;
use crate::server::{Programs, Server};
use crate::stat::Stat;

/// Connections of clients that charge.
const CHARGING: usize = 64;
/// Connections of clients that send batches.
const BATCHING: usize = 4;
/// Items of a batch.
const ITEMS: usize = 1000;
/// Records of a plain group commit, and its connections.
const PLAIN: (usize, usize) = (64, 4);
/// Connections of clients that list.
const LISTING: usize = 4;
/// Records of the plain side are numbered from here, above all that are there.
const FIRST_SEQ: i64 = 1 << 40;
/// How long the plain side is filled at a time.
const FILLING: Duration = Duration::from_secs(1);
/// How long filling may take at most.
const LIMIT: Duration = Duration::from_secs(600);
/// Bookings signed at a time: a signature lives for five minutes.
const PORTION: usize = 50_000;

/// All figures on one kind of database.
pub fn measure(programs: &Programs, effort: &Effort, kind: Kind) -> Result<Vec<Line>, Failure> {
    let customers: Arc<[String]> = (0..effort.customers).map(|n| format!("org_bench_{n:05}")).collect();
    let (ours, theirs) = (programs.database(kind)?, programs.database(kind)?);
    let seq = Arc::new(AtomicI64::new(FIRST_SEQ));
    programs.seed(&theirs, &customers)?;
    fill_plainly(&theirs, &customers, effort.records, &seq)?;
    let (server, mut requests, resident) = fill(programs, &ours, &customers, effort.records)?;
    let name = kind.name();
    let mut lines = vec![memory(&resident, effort.records, name)?];
    lines.push(lists(&server, &mut requests, effort, name)?);
    let mut sides = Sides { server: server.http, requests, theirs: &theirs, seq, booked: 0 };
    lines.extend(charges(&mut sides, &customers, effort, name)?);
    lines.push(batches(&mut sides, &customers, effort, name)?);
    let after = server.child.resident()?;
    lines[0].notes.push(format!("{:.1} MB at the very end", megabytes(after)));
    server.child.stop()?;
    programs.command(&ours, None, &["verify"])?;
    Ok(lines)
}

/// A database with customers and so many charges, its server, and the server's resident memory four times on
/// the way.
fn fill(
    programs: &Programs,
    database: &Database,
    customers: &Arc<[String]>,
    records: usize,
) -> Result<(Server, Requests, Vec<u64>), Failure> {
    let [_, key] = programs.seed(database, customers)?;
    let server = programs.serve(database, None)?;
    let mut requests = key.requests(server.http)?;
    let (mut made, mut resident) = (0, Vec::new());
    while made < records {
        let portion = PORTION.min(records - made);
        let batches = portion.div_ceil(ITEMS);
        let load = (0..batches)
            .map(|batch| requests.batch(in_turn(customers, made + batch * ITEMS)))
            .collect::<Result<_, _>>()?;
        generator::run(server.http, BATCHING, Load::once(load, LIMIT))?;
        made += batches * ITEMS;
        if made * 4 / records > resident.len() {
            resident.push(server.child.resident()?);
        }
    }
    Ok((server, requests, resident))
}

/// So many records without a server.
fn fill_plainly(
    database: &Database,
    customers: &Arc<[String]>,
    records: usize,
    seq: &Arc<AtomicI64>,
) -> Result<(), Failure> {
    let mut made = 0;
    while made < records {
        let work = Work::Records(ITEMS);
        made += booking::run(database, customers, work, 1, FILLING, seq)?.count * ITEMS;
    }
    Ok(())
}

/// A batch's customers: each once, beginning with this one.
fn in_turn(customers: &[String], from: usize) -> impl Iterator<Item = &str> {
    (from..from + ITEMS).map(|n| customers[n % customers.len()].as_str())
}

fn memory(resident: &[u64], records: usize, kind: &str) -> Result<Line, Failure> {
    let last = *resident.last().ok_or_else(no_rounds)?;
    let way: Vec<_> = resident.iter().map(|bytes| format!("{:.1}", megabytes(*bytes))).collect();
    let stat = Stat::of([megabytes(last)]).ok_or_else(no_rounds)?;
    let name = format!("resident memory after {records} bookings, {kind}");
    Ok(Line::alone(name, "MB", stat, Goal::AtMost(80.0))
        .note(format!("{} MB at a quarter, a half, three quarters and all of them", way.join(", "))))
}

/// The newest records beside those that lie deep in the list.
fn lists(server: &Server, requests: &mut Requests, effort: &Effort, kind: &str) -> Result<Line, Failure> {
    let depth = effort.records / 10 * 9;
    let (mut query, mut seen) = ("limit=1000".to_owned(), 0);
    while seen < depth {
        let (status, body) = exchange(server.http, &requests.list(&query)?)?;
        let page: serde_json::Value = serde_json::from_str(&body)?;
        let cursor = page["data"]["next_cursor"].as_str();
        let cursor = cursor.ok_or_else(|| format!("no page after {seen} records: {status}"))?;
        query = format!("limit=1000&cursor={cursor}");
        seen += 1000;
    }
    let deep = query.replace("limit=1000", "limit=50");
    let mut round = |query: &str| -> Result<f64, Failure> {
        let request: Bytes = requests.list(query)?;
        Ok(generator::run(server.http, LISTING, Load::again(request, effort.round))?.rate())
    };
    let mut rates = Vec::new();
    for _ in 0..effort.rounds {
        let near = round("limit=50")?;
        rates.push((round(&deep)?, near));
    }
    let name = format!("list of 50 at record {depth}, {kind}");
    let line = Line::compared(name, "lists/s", "the same at record 1", &rates, Goal::AtLeast(1.0 / 1.2));
    line.ok_or_else(no_rounds)
}

fn charges(
    sides: &mut Sides<'_>,
    customers: &Arc<[String]>,
    effort: &Effort,
    kind: &str,
) -> Result<Vec<Line>, Failure> {
    let mut lines = Vec::new();
    let hot: Arc<[String]> = customers[..1].into();
    for (who, goal) in [(&hot, 2.0), (customers, 1.5)] {
        let rounds = sides.against_plain(who, CHARGING, effort)?;
        let name =
            format!("signed POST /accounting, {CHARGING} connections, {} customer(s), {kind}", who.len());
        let line = Line::compared(
            name,
            "bookings/s",
            "16 raw connections on the same customers",
            &rounds.rates,
            Goal::AtLeast(goal),
        );
        let line = line.ok_or_else(no_rounds)?;
        let reached = line.sageapi.median;
        lines.push(line.note(rounds.times.text()?));
        // At once, on the database that this rate was reached on.
        if who.len() == 1 {
            lines.push(at_half(sides, &hot, reached / 2.0, effort, kind)?);
        }
    }
    Ok(lines)
}

/// How long single charges take at this rate, beside what one plain connection that is alone needs for one
/// transaction: what a charge waits for is such a transaction at least, and the one before it.
fn at_half(
    sides: &mut Sides<'_>,
    hot: &Arc<[String]>,
    rate: f64,
    effort: &Effort,
    kind: &str,
) -> Result<Line, Failure> {
    let (mut ours, mut alone) = (Times::default(), Times::default());
    for _ in 0..effort.rounds {
        let work = Work::Charges;
        alone.add(&booking::run(sides.theirs, hot, work, 1, effort.round, &sides.seq)?);
        let number = count(rate * effort.round.as_secs_f64());
        ours.add(&sides.charge(hot, CHARGING, number, effort.round * 2, Some(rate))?);
    }
    let name = format!("99 % of single charges at {rate:.0} a second (open loop), {kind}");
    let stat = Stat::of(ours.slowest.iter().copied()).ok_or_else(no_rounds)?;
    Ok(Line::alone(name, "ms", stat, Goal::AtMost(15.0))
        .note(ours.text()?)
        .note(format!(
            "one raw connection alone, a transaction each, the database as it is by default: {}",
            alone.text()?
        ))
        .note("the load's timer ticks each millisecond, which is in these times"))
}

/// Batches through the API beside plain group commits.
fn batches(
    sides: &mut Sides<'_>,
    customers: &Arc<[String]>,
    effort: &Effort,
    kind: &str,
) -> Result<Line, Failure> {
    let (size, connections) = PLAIN;
    let mut rates = Vec::new();
    let mut number = BATCHING * 2;
    for _ in 0..effort.rounds {
        let work = Work::Records(size);
        let plain = booking::run(sides.theirs, customers, work, connections, effort.round, &sides.seq)?;
        let load = (0..number)
            .map(|batch| sides.requests.batch(in_turn(customers, batch * ITEMS)))
            .collect::<Result<_, _>>()?;
        let outcome = generator::run(sides.server, BATCHING, Load::once(load, effort.round))?;
        #[expect(clippy::cast_precision_loss, reason = "counts of items are far below 2^52")]
        let (items, size) = (ITEMS as f64, size as f64);
        // As many as fill a round.
        number = count(outcome.rate() * effort.round.as_secs_f64() * 1.5).max(BATCHING);
        rates.push((outcome.rate() * items, plain.rate() * size));
    }
    let name = format!("POST /accounting/batch of {ITEMS} over {} customers, {kind}", customers.len());
    let with = format!("raw inserts of {size} records a transaction, {connections} connections");
    let line = Line::compared(name, "items/s", &with, &rates, Goal::AtLeast(0.5));
    line.ok_or_else(no_rounds)
}

#[expect(clippy::cast_precision_loss, reason = "bytes of memory are far below 2^52")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / MEGABYTE
}
