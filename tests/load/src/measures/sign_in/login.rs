//! What logins cost in memory, and whether their times tell names that exist from others.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::client::Client;
use super::{Effort, PASSWORD, no_rounds, username};
use crate::Failure;
use crate::child::exchange_on;
use crate::database::Database;
use crate::generator::whole_length;
use crate::measures::megabytes;
use crate::raw;
use crate::report::{Goal, Line};
use crate::server::Programs;
use crate::stat::{Stat, fastest, welch_t};

/// Logins at once.
const PARALLEL: usize = 500;
const LIMIT: Duration = Duration::from_secs(120);
/// From here on a difference of times is taken for real.
const MAX_T: f64 = 4.5;
/// Logins to a locked account between two changes of whether it exists.
const TRIES_A_NAME: usize = 10;
const RENAME: &str = "UPDATE users SET username = 'bench_0' WHERE id = 'bench_1'";
const RENAME_BACK: &str = "UPDATE users SET username = 'bench_1' WHERE id = 'bench_1'";
/// So many wrong passwords lock an account for their address, at the latest.
const ATTEMPTS: usize = 8;
const WRONG: &str = "wrong horse battery staple";

/// A fresh server, at which many sign in at once.
pub fn memory(programs: &Programs, database: &Database) -> Result<Line, Failure> {
    let server = programs.serve(database, None)?;
    let mut client = Client::new(server.http, 1);
    let logins = (1..=PARALLEL).map(|n| client.login(&username(n), PASSWORD)).collect();
    let before = server.child.resident()?;
    let statuses = at_once(server.http, logins)?;
    // The most that it ever had: what it had meanwhile counts, not only what is left.
    let grown = server.child.peak()?.saturating_sub(before);
    server.child.stop()?;
    if let Some(other) = statuses.keys().find(|status| ![200, 429, 503].contains(*status)) {
        return Err(format!("a login was answered by {other}").into());
    }
    let answers: Vec<_> = statuses.iter().map(|(status, count)| format!("{count} by {status}")).collect();
    let grown = Stat::of([megabytes(grown)]).ok_or_else(no_rounds)?;
    let name = format!("resident memory grown by {PARALLEL} parallel logins");
    Ok(Line::alone(name, "MB", grown, Goal::AtMost(50.0))
        .note(format!("from {:.1} MB at rest to the peak", megabytes(before)))
        .note(format!("answered {}", answers.join(", "))))
}

/// Sends all requests at once, each over its own connection; how many answers had each status.
fn at_once(server: SocketAddr, requests: Vec<Bytes>) -> Result<BTreeMap<u16, usize>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut streams = Vec::with_capacity(requests.len());
        for _ in 0..requests.len() {
            streams.push(tokio::net::TcpStream::connect(server).await?);
        }
        let tasks: Vec<_> = streams
            .into_iter()
            .zip(requests)
            .map(|(stream, request)| tokio::spawn(tokio::time::timeout(LIMIT, status_of(stream, request))))
            .collect();
        let mut statuses = BTreeMap::new();
        for task in tasks {
            let status = task.await?.map_err(|_| format!("a login took longer than {LIMIT:?}"))??;
            *statuses.entry(status).or_default() += 1;
        }
        Ok(statuses)
    })
}

async fn status_of(mut stream: tokio::net::TcpStream, request: Bytes) -> Result<u16, Failure> {
    stream.write_all(&request).await?;
    let mut answer = Vec::new();
    while whole_length(&answer).is_none_or(|whole| answer.len() < whole) {
        if stream.read_buf(&mut answer).await? == 0 {
            break;
        }
    }
    let status = answer.get(9..12).ok_or("the server closed a connection")?;
    Ok(std::str::from_utf8(status)?.parse()?)
}

/// Names that exist beside names that do not: with a wrong password, and where the throttle refuses any.
pub fn timing(programs: &Programs, database: &Database, effort: &Effort) -> Result<[Line; 2], Failure> {
    let server = programs.serve(database, None)?;
    let mut stream = TcpStream::connect(server.http)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let mut client = Client::new(server.http, 2);

    let mut wrong = Times::default();
    for n in 1..=effort.logins {
        let logins = [username(n), unknown(n)].map(|name| client.login(&name, WRONG));
        wrong.add(&mut stream, &logins, 401)?;
    }
    let login = client.login(&username(1), WRONG);
    lock(&mut stream, &login)?;
    let locked = locked(&mut stream, &login, database, effort.logins)?;
    server.child.stop()?;
    Ok([
        wrong.line("time of a login, wrong password or unknown user")?,
        locked.line("time of a login, locked account, known or unknown user")?,
    ])
}

/// Logins to one locked account whose user has this name, then another, and so on: how long the throttle takes depends on
/// the account, and whether it has a user is all that may differ.
fn locked(
    stream: &mut TcpStream,
    login: &Bytes,
    database: &Database,
    logins: usize,
) -> Result<Times, Failure> {
    let mut times = Times::default();
    while times.0[1].len() < logins {
        for (side, rename) in [RENAME_BACK, RENAME].into_iter().enumerate() {
            raw::execute(database, rename)?;
            // The first one after a rename waits for what that left behind.
            exchange_on(stream, login)?;
            for _ in 0..TRIES_A_NAME {
                times.time(stream, login, side, 429)?;
            }
        }
    }
    Ok(times)
}

/// The name of no user, as long as that of one.
fn unknown(n: usize) -> String {
    format!("other_{n}")
}

fn lock(stream: &mut TcpStream, login: &[u8]) -> Result<(), Failure> {
    for _ in 0..ATTEMPTS {
        if exchange_on(stream, login)?.0 == 429 {
            return Ok(());
        }
    }
    Err(format!("an account was not locked by {ATTEMPTS} wrong passwords").into())
}

/// Times in milliseconds, of names that exist and of others.
#[derive(Default)]
struct Times([Vec<f64>; 2]);

impl Times {
    /// One more of either. They take turns in being the first.
    fn add(&mut self, stream: &mut TcpStream, logins: &[Bytes; 2], expected: u16) -> Result<(), Failure> {
        let order = if self.0[0].len().is_multiple_of(2) { [0, 1] } else { [1, 0] };
        order.into_iter().try_for_each(|side| self.time(stream, &logins[side], side, expected))
    }

    fn time(
        &mut self,
        stream: &mut TcpStream,
        login: &[u8],
        side: usize,
        expected: u16,
    ) -> Result<(), Failure> {
        let started = Instant::now();
        let (status, body) = exchange_on(stream, login)?;
        self.0[side].push(started.elapsed().as_secs_f64() * 1000.0);
        if status == expected {
            Ok(())
        } else {
            Err(format!("a login was answered by {status}, not {expected}: {body}").into())
        }
    }

    fn line(self, name: &str) -> Result<Line, Failure> {
        let [known, unknown] = &self.0;
        let t = Stat::of([welch_t(known, unknown).abs()]).ok_or_else(no_rounds)?;
        let median = |times: &[f64]| Stat::of(times.iter().copied()).map(|stat| stat.median);
        let (a, b) = median(known).zip(median(unknown)).ok_or_else(no_rounds)?;
        let [fast_known, fast_unknown] = fastest([known, unknown], (9, 10));
        Ok(Line::alone(name, "Welch's t", t, Goal::AtMost(MAX_T))
            .note(format!("{} logins of known and of unknown users each", known.len()))
            .note(format!("half of them took at most {a:.3} ms for known users, {b:.3} ms for unknown ones"))
            .note(format!(
                "t is {:.2} for the fastest nine tenths of all",
                welch_t(&fast_known, &fast_unknown).abs()
            )))
    }
}
