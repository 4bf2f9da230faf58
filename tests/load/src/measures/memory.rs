use std::thread::sleep;
use std::time::Duration;

use super::{CONNECTIONS, Effort, megabytes, no_rounds};
use crate::Failure;
use crate::database::Kind;
use crate::generator::{self, Load};
use crate::report::{Goal, Line};
use crate::server::Programs;
use crate::stat::Stat;

/// Customers that the requests are spread over.
const CUSTOMERS: usize = 1000;
/// Of so many requests one is a booking.
const MIX: usize = 10;
/// Requests signed at a time.
const PORTION: usize = 50_000;
/// How long a portion may take.
const LIMIT: Duration = Duration::from_secs(300);
const SETTLE: Duration = Duration::from_secs(2);

/// What the server keeps in memory before and after a long day.
pub fn measure(programs: &Programs, effort: &Effort) -> Result<Vec<Line>, Failure> {
    let mut lines = Vec::new();
    for kind in Kind::ROOTLESS {
        lines.extend(of_kind(programs, effort, kind)?);
    }
    Ok(lines)
}

fn of_kind(programs: &Programs, effort: &Effort, kind: Kind) -> Result<[Line; 2], Failure> {
    let database = programs.database(kind)?;
    let customers: Vec<_> = (0..CUSTOMERS).map(|n| format!("org_bench_{n:04}")).collect();
    let [_, platform_key] = programs.seed(&database, &customers)?;
    let server = programs.serve(&database, None)?;
    sleep(SETTLE);
    let idle = server.child.resident()?;

    let mut requests = platform_key.requests(server.http)?;
    let mut left = effort.requests;
    while left > 0 {
        let count = left.min(PORTION);
        let load: Result<Vec<_>, _> = (0..count)
            .map(|n| {
                let customer = &customers[n % CUSTOMERS];
                // Counted by tens of requests, so that every customer is charged in its turn.
                if n % MIX == 0 {
                    requests.charge(&customers[n / MIX % CUSTOMERS])
                } else {
                    requests.balance(Some(customer))
                }
            })
            .collect();
        let outcome = generator::run(server.http, CONNECTIONS, Load::once(load?, LIMIT))?;
        if outcome.count != count {
            return Err(format!("{count} requests took longer than {LIMIT:?}").into());
        }
        left -= count;
    }
    sleep(SETTLE);
    let (after, peak) = (server.child.resident()?, server.child.peak()?);
    server.child.stop()?;
    programs.command(&database, None, &["verify"])?;

    let stat = |bytes: u64| Stat::of([megabytes(bytes)]).ok_or_else(no_rounds);
    let kind = kind.name();
    let name = format!("resident memory after {} requests, {kind}", effort.requests);
    Ok([
        Line::alone(format!("resident memory, idle, {kind}"), "MB", stat(idle)?, Goal::AtMost(40.0)),
        Line::alone(name, "MB", stat(after)?, Goal::AtMost(60.0))
            .note(format!("at most {:.1} MB", megabytes(peak)))
            .note(format!(
                "{} % GET /balance and {} % POST /accounting over {CUSTOMERS} customers, signed by a platform key",
                100 - 100 / MIX,
                100 / MIX
            )),
    ])
}
