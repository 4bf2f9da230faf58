//! The tables of hostile requests, each sent once; then all of them over and over while memory is watched.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;

use crate::cases::Case;
use crate::raw::Connection;
use crate::victim::{Victim, on_every_database};
use crate::{bodies, framing, headers, queries};

/// Connections at a time.
const CLIENTS: usize = 8;

/// Sends every case once.
async fn once(victim: &Victim, cases: &[Case]) {
    let next = AtomicUsize::new(0);
    let client = async || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            case.run(victim).await;
        }
    };
    join_all((0..CLIENTS).map(|_| client())).await;
}

fn table(cases: impl Fn() -> Vec<Case>) {
    on_every_database(async |kind| {
        let victim = Victim::start(kind).await;
        let cases = cases();
        eprintln!("{} hostile requests", cases.len());
        once(&victim, &cases).await;
        victim.assert_unharmed().await;
    });
}

#[test]
fn hostile_targets_get_a_documented_answer() {
    table(queries::cases);
}

#[test]
fn hostile_bodies_get_a_documented_answer() {
    table(bodies::bookings);
}

#[test]
fn hostile_bodies_of_quotes_holds_and_batches_get_a_documented_answer() {
    table(bodies::others);
}

#[test]
fn hostile_bodies_of_administration_get_a_documented_answer() {
    table(bodies::administration);
}

#[test]
fn hostile_events_get_a_documented_answer() {
    table(bodies::events);
}

#[test]
fn hostile_headers_get_a_documented_answer() {
    table(headers::cases);
}

#[test]
fn what_is_hardly_http_gets_an_answer_or_the_connection_is_closed() {
    table(framing::cases);
}

/// How many requests, and by how much memory may grow between the first part of them and the end.
const MANY: usize = 20_000;
const WARM_UP: usize = 4_000;
const GROWTH: u64 = 30 << 20;

#[test]
fn twenty_thousand_hostile_requests_do_not_grow_the_server() {
    on_every_database(async |kind| {
        let mut victim = Victim::start(kind).await;
        let all: Vec<_> = [
            queries::cases(),
            bodies::bookings(),
            bodies::others(),
            bodies::administration(),
            bodies::events(),
            headers::cases(),
            framing::cases(),
        ]
        .concat();
        // Evenly through the tables, so that any part of the run has some of each.
        let step = (0..all.len()).map(|n| all.len() / 2 + n).find(|step| gcd(*step, all.len()) == 1).unwrap();
        let order: Arc<Vec<_>> = Arc::new((0..MANY).map(|n| all[n * step % all.len()].clone()).collect());

        let started = victim.stopwatch();
        let before = victim.server.process().resident_bytes();
        attack(&victim, &order[..WARM_UP]).await;
        let warm = victim.server.process().resident_bytes();
        attack(&victim, &order[WARM_UP..]).await;
        let after = victim.server.process().resident_bytes();
        let seconds = (victim.stopwatch() - started).as_secs_f64();
        let mib = |bytes: u64| bytes >> 20;
        eprintln!(
            "{MANY} hostile requests of {} sorts on {kind} in {seconds:.0} s: {} MiB before, {} MiB after {WARM_UP}, {} MiB at the end",
            all.len(),
            mib(before),
            mib(warm),
            mib(after),
        );
        assert!(after.saturating_sub(warm) <= GROWTH, "{} MiB more than after {WARM_UP}", mib(after - warm));
        victim.assert_unharmed().await;
    });
}

/// Sends them all, on connections that are kept for as long as the server keeps them.
async fn attack(victim: &Victim, cases: &[Case]) {
    let next = AtomicUsize::new(0);
    let client = async || {
        let mut kept: Option<Connection> = None;
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut connection = match kept.take() {
                Some(connection) if !case.may_close => connection,
                _ => Connection::open(victim.server.http_address()).await,
            };
            if case.run_on(&mut connection, victim).await && !case.may_close && !case.has_unread_body() {
                kept = Some(connection);
            }
        }
    };
    join_all((0..CLIENTS).map(|_| client())).await;
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
