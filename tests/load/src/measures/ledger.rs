//! The ledger with a million records in it: balances, charges, batches, lists, the export, memory.

mod resident;

use std::sync::Arc;
use std::time::Duration;

use self::resident::Resident;
use super::balance::beside_bare;
use super::charges::{LATE, Sides, Times, count};
use super::lists::List;
use super::{Effort, durability, export, lists, no_rounds};
use crate::Failure;
use crate::child::Child;
use crate::database::Kind;
use crate::generator::{self, Load};
use crate::machine::{Seen, Watch};
use crate::outcome::Outcome;
use crate::raw;
use crate::raw::booking::{Plain, Work};
use crate::report::{Goal, Line};
use crate::request::accepted;
use crate::server::Programs;
use crate::stat::Stat;

/// Connections of clients that charge.
const CHARGING: usize = 64;
/// Connections of clients that send batches.
const BATCHING: usize = 4;
/// Items of a batch.
const ITEMS: usize = 1000;
/// Records of a plain group commit, and its connections.
const PLAIN: (usize, usize) = (64, 4);
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
    let durability = durability::note(&theirs, kind)?;
    programs.seed(&theirs, &customers)?;
    let mut plain = Plain::new(&theirs, FIRST_SEQ);
    fill_plainly(&mut plain, &customers, effort.records)?;

    let [_, key] = programs.seed(&ours, &customers)?;
    let server = programs.serve(&ours, None)?;
    let requests = key.requests(server.http)?;
    let mut sides = Sides { server: server.http, requests, theirs: plain, booked: 0 };
    let mut resident = Resident::default();
    fill(&mut sides, &customers, effort.records, &server.child, &mut resident)?;

    let name = kind.name();
    // What is listed and exported.
    let list = List { path: "accounting", records: effort.records, number: "seq" };
    let mut lines = vec![lists::of_all(server.http, &mut sides.requests, list, effort, name)?];
    resident.after(&server.child, "the lists")?;
    let among = format!(", {} records, {name}", effort.records);
    let hot = customers.first().ok_or("there are no customers")?.as_str();
    lines.push(beside_bare(&server, &mut sides.requests, Some(hot), &ours, effort, &among)?);
    resident.after(&server.child, "GET /balance")?;
    let mut charged = charges(&mut sides, &customers, effort, name)?;
    charged[0].notes.push(durability);
    lines.extend(charged);
    resident.after(&server.child, "the charges")?;
    lines.push(batches(&mut sides, &customers, effort, name)?);
    resident.after(&server.child, "the batches")?;
    lines.push(lists::of_one(server.http, &mut sides.requests, list, hot, effort, name)?);
    resident.after(&server.child, "the lists of one customer")?;
    // The seed made one record for each customer.
    let records = customers.len() + sides.booked;
    lines.push(export::measure(&server, &mut sides.requests, list, records, name)?);
    resident.after(&server.child, "the export")?;
    lines.extend(resident.lines(&server.child, effort.records, name)?);
    server.child.stop()?;

    raw::check_records(&ours, records, "SageAPI")?;
    raw::check_records(&theirs, customers.len() + sides.theirs.records, "plain transactions")?;
    programs.command(&ours, None, &["verify"])?;
    Ok(lines)
}

/// Books so many charges in batches, and looks at the server's memory on the way.
fn fill(
    sides: &mut Sides<'_>,
    customers: &[String],
    records: usize,
    server: &Child,
    resident: &mut Resident,
) -> Result<(), Failure> {
    // Small enough to look at each quarter.
    let portion = PORTION.min(records.div_ceil(4));
    while sides.booked < records {
        let from = sides.booked;
        let number = portion.min(records - from).div_ceil(ITEMS);
        let outcome = send_batches(sides, customers, from, number, LIMIT)?;
        if outcome.count != number {
            return Err(format!("{number} batches took longer than {LIMIT:?}").into());
        }
        resident.at(server, sides.booked)?;
    }
    Ok(())
}

/// So many records without a server.
fn fill_plainly(plain: &mut Plain<'_>, customers: &Arc<[String]>, records: usize) -> Result<(), Failure> {
    while plain.records < records {
        plain.run(customers, Work::Records(ITEMS), 1, FILLING)?;
    }
    Ok(())
}

/// Sends so many batches, the customers in turn from this one on. A batch that is not accepted whole is a failure.
fn send_batches(
    sides: &mut Sides<'_>,
    customers: &[String],
    from: usize,
    number: usize,
    limit: Duration,
) -> Result<Outcome, Failure> {
    let load = (0..number)
        .map(|batch| sides.requests.batch(in_turn(customers, from + batch * ITEMS)))
        .collect::<Result<_, _>>()?;
    let load = Load { ending: accepted(ITEMS), ..Load::once(load, limit) };
    let outcome = generator::run(sides.server, BATCHING, load)?;
    sides.booked += outcome.count * ITEMS;
    Ok(outcome)
}

/// A batch's customers, beginning with this one.
fn in_turn(customers: &[String], from: usize) -> impl Iterator<Item = &str> {
    (from..from + ITEMS).map(|n| customers[n % customers.len()].as_str())
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
    let limit = effort.round + LATE;
    let (mut rounds, mut alone) = (Vec::new(), Times::default());
    let mut seen = Vec::new();
    for _ in 0..effort.rounds {
        alone.add(&sides.theirs.run(hot, Work::Charges, 1, effort.round)?);
        let due = count(rate * effort.round.as_secs_f64());
        let watch = Watch::start();
        let round = sides.charge(hot, CHARGING, due, limit, Some(rate));
        seen.push(watch.stop()?);
        let round = round?;
        if round.count != due {
            let left = due - round.count;
            return Err(format!("{left} of {due} charges due were not sent within {limit:?}").into());
        }
        rounds.push(round);
    }
    let name = format!("99 % of single charges at {rate:.0} a second (open loop), {kind}");
    let single = Stat::of(rounds.iter().map(|round| round.quantile_ms((99, 100)))).ok_or_else(no_rounds)?;
    let all = Outcome::together(rounds);
    let stat = Stat::of([all.quantile_ms((99, 100))]).ok_or_else(no_rounds)?;
    let seen = Seen::together(seen);
    let (share, longest) = seen.slowness();
    let apart = all.apart_from(&seen.slow);
    Ok(Line::alone(name, "ms", stat, Goal::AtMost(15.0))
        .note(format!(
            "of all {} charges; half of them took at most {:.2} ms, the slowest took {:.2} ms",
            all.count,
            all.quantile_ms((1, 2)),
            all.quantile_ms((1, 1))
        ))
        .note(format!(
            "99 % of a round's: {:.2} / {:.2} / {:.2} ms (least / median / greatest)",
            single.min, single.median, single.max
        ))
        .note(format!(
            "the machine itself ran at less than a third of its speed for {share:.1} % of this time, {:.0} ms at the \
             longest, by the processor time of one computation; of the {} charges that no such stretch fell upon, 99 % \
             took at most {:.2} ms",
            longest.as_secs_f64() * 1000.0,
            apart.count,
            apart.quantile_ms((99, 100))
        ))
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
        let plain = sides.theirs.run(customers, work, connections, effort.round)?;
        let outcome = send_batches(sides, customers, 0, number, effort.round)?;
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
