//! Signing in: requests with an access token, refreshes, and what logins cost and give away.

mod client;
mod login;
mod refresh;

use bytes::Bytes;

use self::client::Client;
use super::{CONNECTIONS, Effort, no_rounds};
use crate::Failure;
use crate::database::{Database, Kind};
use crate::generator::{self, Load};
use crate::raw;
use crate::report::{Goal, Line};
use crate::server::{Key, Programs};

const CUSTOMER: &str = "org_bench";
/// The user whom the others are copies of.
const USERNAME: &str = "bench";
const PASSWORD: &str = "correct horse battery staple";
/// As many users as the longest measure needs: each tries one login of a kind.
const USERS: usize = 2000;

/// All of them.
pub fn measure(programs: &Programs, effort: &Effort) -> Result<Vec<Line>, Failure> {
    let mut lines = vec![beside_balance(programs, effort)?];
    let (database, _) = with_user(programs, Kind::MariaDb)?;
    copy_user(&database)?;
    lines.push(refresh::measure(programs, &database, effort)?);
    lines.push(login::memory(programs, &database)?);
    lines.extend(login::timing(programs, &database, effort)?);
    Ok(lines)
}

/// A database with a customer, its key, and a user who can sign in.
fn with_user(programs: &Programs, kind: Kind) -> Result<(Database, Key), Failure> {
    let database = programs.database(kind)?;
    let [key, _] = programs.seed(&database, &[CUSTOMER.to_owned()])?;
    let file = database.folder().join("password");
    std::fs::write(&file, PASSWORD)?;
    let file = file.to_str().ok_or("the folder's path is not UTF-8")?;
    let create = ["user", "create", USERNAME, "--customer", CUSTOMER, "--password-file", file];
    programs.command(&database, None, &create)?;
    Ok((database, key))
}

/// Users with the same password on MariaDB, named by [`username`]. The server would hash it for each of them.
fn copy_user(database: &Database) -> Result<(), Failure> {
    let copied = raw::execute(
        database,
        "INSERT INTO users (id, customer_id, username, role, password_hash, is_active, security_version, version, \
         created_at, updated_at) \
         SELECT CONCAT('bench_', seq), customer_id, CONCAT('bench_', seq), role, password_hash, is_active, \
         security_version, version, created_at, updated_at FROM users JOIN seq_1_to_2000 WHERE username = 'bench'",
    )?;
    if copied == USERS { Ok(()) } else { Err(format!("{copied} users were copied, not {USERS}").into()) }
}

/// The name of a copied user, from 1.
fn username(n: usize) -> String {
    format!("bench_{n}")
}

/// Requests with an access token and signed ones to the same server, in turn.
fn beside_balance(programs: &Programs, effort: &Effort) -> Result<Line, Failure> {
    let (database, key) = with_user(programs, Kind::Sqlite)?;
    let server = programs.serve(&database, None)?;
    let session = Client::new(server.http, 0).log_in(USERNAME)?;
    let me: Bytes = format!(
        "GET /api/v1/auth/me HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\r\n",
        server.http, session.access_token
    )
    .into();
    let mut requests = key.requests(server.http)?;
    let mut rates = Vec::new();
    // The first round of both is the warm-up.
    for _ in 0..=effort.rounds {
        // Signed again each time: a signature lives for five minutes.
        let load = Load::again(requests.balance(None)?, effort.round);
        let signed = generator::run(server.http, CONNECTIONS, load)?;
        let load = Load::again(me.clone(), effort.round);
        rates.push((generator::run(server.http, CONNECTIONS, load)?.rate(), signed.rate()));
    }
    server.child.stop()?;
    Line::compared(
        format!("GET /auth/me with an access token, {CONNECTIONS} connections"),
        "requests/s",
        "signed GET /balance",
        &rates[1..],
        Goal::AtLeast(0.9),
    )
    .ok_or_else(no_rounds)
}
