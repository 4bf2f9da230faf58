//! Refreshes beside plain updates of one row each.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::client::{Client, Tokens, refresh};
use super::{CONNECTIONS, Effort, no_rounds, username};
use crate::Failure;
use crate::database::Database;
use crate::generator::read_answer;
use crate::measures::charges::Times;
use crate::outcome::{Done, Outcome};
use crate::raw;
use crate::raw::rotation;
use crate::report::{Goal, Line};
use crate::server::Programs;

/// Sessions, each of a user and with a connection of its own.
const SESSIONS: usize = 64;

/// Both sides write to the same table, in turn.
pub fn measure(programs: &Programs, database: &Database, effort: &Effort) -> Result<Line, Failure> {
    let server = programs.serve(database, None)?;
    let mut client = Client::new(server.http, 0);
    let mut tokens = (1..=SESSIONS)
        .map(|n| Ok(client.log_in(&username(n))?.refresh_token))
        .collect::<Result<Vec<_>, Failure>>()?;
    rotation::copy_sessions(database)?;
    let (mut rates, mut times, mut refreshed) = (Vec::new(), Times::default(), 0);
    // The first round of both is the warm-up.
    for round in 0..=effort.rounds {
        let plain = rotation::run(database, CONNECTIONS, effort.round)?;
        let ours = run(server.http, &mut tokens, effort.round)?;
        refreshed += ours.count;
        if round > 0 {
            rates.push((ours.rate(), plain.rate()));
            times.add(&ours);
        }
    }
    server.child.stop()?;
    let sum = "SELECT CAST(SUM(generation - 1) AS SIGNED) FROM sessions WHERE user_id <> 'plain'";
    let rotated = raw::row(database, sum)?;
    if rotated != [i64::try_from(refreshed)?] {
        return Err(format!("{refreshed} refreshes were answered, {rotated:?} are in the database").into());
    }
    let line = Line::compared(
        format!("POST /auth/refresh, {SESSIONS} connections, MariaDB"),
        "refreshes/s",
        "one-row updates by 16 raw connections",
        &rates,
        Goal::AtLeast(0.7),
    );
    Ok(line
        .ok_or_else(no_rounds)?
        .note(format!("{refreshed} refreshes, all of them found again in the database"))
        .note(times.text()?))
}

/// Every session refreshes in a closed loop, and goes on from there in the next round.
fn run(server: SocketAddr, tokens: &mut [String], limit: Duration) -> Result<Outcome, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut streams = Vec::with_capacity(tokens.len());
        for _ in 0..tokens.len() {
            let stream = TcpStream::connect(server).await?;
            stream.set_nodelay(true)?;
            streams.push(stream);
        }
        let started = Instant::now();
        let until = started + limit;
        let tasks: Vec<_> = streams
            .into_iter()
            .zip(tokens.iter())
            .map(|(stream, token)| tokio::spawn(session(stream, server, token.clone(), until)))
            .collect();
        let mut all = Vec::new();
        for (task, token) in tasks.into_iter().zip(tokens) {
            let (mut times, next) = task.await??;
            all.append(&mut times);
            *token = next;
        }
        Ok(Outcome::of(started.elapsed(), all))
    })
}

async fn session(
    mut stream: TcpStream,
    server: SocketAddr,
    mut token: String,
    until: Instant,
) -> Result<(Vec<Done>, String), Failure> {
    let (mut times, mut answer) = (Vec::new(), Vec::with_capacity(4096));
    let mut sent = Instant::now();
    while sent < until {
        stream.write_all(refresh(server, &token).as_bytes()).await?;
        read_answer(&mut stream, &mut answer, b"").await?;
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("an answer broke off")?;
        let next = Tokens::parse(&answer[head + 4..])?;
        if next.replayed {
            return Err("a refresh was answered by the tokens of an earlier one".into());
        }
        token = next.refresh_token;
        let at = Instant::now();
        times.push(Done { took: u64::try_from((at - sent).as_nanos())?, at });
        sent = at;
    }
    Ok((times, token))
}
