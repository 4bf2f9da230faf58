use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{Effort, megabytes, no_rounds};
use crate::Failure;
use crate::child::{get, post};
use crate::database::Kind;
use crate::raw;
use crate::report::{Goal, Line};
use crate::server::Programs;
use crate::stat::Stat;

/// Rows of a page, and of a plain statement.
const ROWS: usize = 500;
/// Rounds take long, and differ little.
const ROUNDS: usize = 3;
/// How long a server may take for everything.
const LIMIT: Duration = Duration::from_secs(300);
/// How long memory is left to settle.
const SETTLE: Duration = Duration::from_secs(2);

/// What `sync --once` says of interest.
#[derive(Deserialize)]
struct Ran {
    upserts: usize,
    seconds: f64,
}

/// All users of a platform: by the mirror, and by plain statements.
pub fn measure(programs: &Programs, effort: &Effort) -> Result<Vec<Line>, Failure> {
    let mut lines = Vec::new();
    for kind in Kind::ROOTLESS {
        lines.push(speed(programs, effort, kind)?);
        lines.push(memory(programs, effort, kind)?);
    }
    Ok(lines)
}

fn speed(programs: &Programs, effort: &Effort, kind: Kind) -> Result<Line, Failure> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS.min(effort.rounds) {
        let (ours, theirs) = (programs.database(kind)?, programs.database(kind)?);
        // A platform computes its rows when they are first asked for, so each round has a new one.
        let platform = programs.platform(effort.users, &ours)?;
        let ran =
            programs.command(&ours, Some(platform.feed), &["sync", "--once", "users", "--output", "json"])?;
        let ran: Vec<Ran> = serde_json::from_str(&ran)?;
        let [Ran { upserts, seconds }] = ran.as_slice() else { return Err("sync ran something else".into()) };
        if *upserts != effort.users {
            return Err(format!("{upserts} users were mirrored of {}", effort.users).into());
        }
        platform.child.stop()?;
        let users = raw::mirror::read(&ours)?;
        let plain = raw::mirror::insert(&theirs, &users, ROWS)?;
        rounds.push((*seconds, plain.as_secs_f64()));
    }
    let name = format!("mirroring {} users, {}", effort.users, kind.name());
    let line =
        Line::compared(name, "s", "multi-row inserts", &rounds, Goal::AtMost(3.0)).ok_or_else(no_rounds)?;
    Ok(line.note(
        "SageAPI's time includes the platform making, signing and sending its pages on the same cores; the inserts \
         start with the rows in memory",
    ))
}

fn memory(programs: &Programs, effort: &Effort, kind: Kind) -> Result<Line, Failure> {
    let database = programs.database(kind)?;
    let platform = programs.platform(effort.users, &database)?;
    let fault = |mode: &str| post(platform.control, "/control/fault", &format!(r#"{{"mode":"{mode}"}}"#));
    // So that the server can be looked at before it starts mirroring.
    fault("down")?;
    let server = programs.serve(&database, Some(platform.feed))?;
    sleep(SETTLE);
    let before = server.child.resident()?;
    fault("none")?;
    let until = Instant::now() + LIMIT;
    let done = r#"sageapi_sync_runs_total{entity="users",result="ok"} "#;
    while !get(server.admin, "/metrics")?.1.lines().any(|line| line.starts_with(done)) {
        if Instant::now() > until {
            return Err("the server did not finish mirroring".into());
        }
        sleep(Duration::from_millis(50));
    }
    let peak = server.child.peak()?;
    sleep(SETTLE);
    let after = server.child.resident()?;
    server.child.stop()?;

    let growth = Stat::of([megabytes(peak) - megabytes(before)]).ok_or_else(no_rounds)?;
    let name = format!("growth of memory while mirroring {} users, {}", effort.users, kind.name());
    Ok(Line::alone(name, "MB", growth, Goal::AtMost(40.0)).note(format!(
        "resident before {:.1} MB, at most {:.1} MB, two seconds after {:.1} MB",
        megabytes(before),
        megabytes(peak),
        megabytes(after)
    )))
}
