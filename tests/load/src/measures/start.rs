use std::time::{Duration, Instant};

use super::{CONNECTIONS, Effort, no_rounds};
use crate::Failure;
use crate::database::Kind;
use crate::generator::{self, Load};
use crate::report::{Goal, Line};
use crate::server::Programs;
use crate::stat::Stat;

const CUSTOMER: &str = "org_bench";
/// Records that the file holds.
const RECORDS: usize = 20_000;
const LIMIT: Duration = Duration::from_secs(120);

/// From the start of the process until its readiness probe says yes.
pub fn measure(programs: &Programs, effort: &Effort) -> Result<Vec<Line>, Failure> {
    let database = programs.database(Kind::Sqlite)?;
    let [key, _] = programs.seed(&database, &[CUSTOMER.to_owned()])?;
    let server = programs.serve(&database, None)?;
    let mut requests = key.requests(server.http)?;
    let load = (0..RECORDS).map(|_| requests.charge(CUSTOMER)).collect::<Result<_, _>>()?;
    generator::run(server.http, CONNECTIONS, Load::once(load, LIMIT))?;
    server.child.stop()?;

    let mut times = Vec::with_capacity(effort.starts);
    for _ in 0..effort.starts {
        let started = Instant::now();
        let server = programs.serve(&database, None)?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
        server.child.stop()?;
    }
    let times = Stat::of(times).ok_or_else(no_rounds)?;
    let line = Line::alone("start to ready on an existing SQLite file", "ms", times, Goal::AtMost(300.0));
    Ok(vec![line.note(format!("{} starts; the file holds {RECORDS} records", effort.starts))])
}
