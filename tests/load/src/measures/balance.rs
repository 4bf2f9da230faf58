use std::time::Duration;

use super::{CONNECTIONS, Effort, no_rounds};
use crate::Failure;
use crate::child::{Child, exchange};
use crate::database::{Database, Kind};
use crate::generator::{self, Load};
use crate::outcome::Outcome;
use crate::report::{Goal, Line};
use crate::request::Requests;
use crate::server::{Programs, Server};
use crate::stat::Stat;

/// How long either server is run before it counts, at most.
const WARM_UP: Duration = Duration::from_secs(1);

/// With nothing but the customer in the database.
pub fn measure(programs: &Programs, effort: &Effort) -> Result<Vec<Line>, Failure> {
    let database = programs.database(Kind::Sqlite)?;
    let [key, _] = programs.seed(&database, &["org_bench".to_owned()])?;
    let server = programs.serve(&database, None)?;
    let mut requests = key.requests(server.http)?;
    let line = beside_bare(&server, &mut requests, None, &database, effort, "")?;
    server.child.stop()?;
    Ok(vec![line])
}

/// The same signed requests, from the same loop, to a running server and to a bare one in turn. A platform's key
/// names a customer; `suffix` says what is in the database.
pub(super) fn beside_bare(
    server: &Server,
    requests: &mut Requests,
    customer: Option<&str>,
    database: &Database,
    effort: &Effort,
    suffix: &str,
) -> Result<Line, Failure> {
    let first = requests.balance(customer)?;
    let (status, body) = exchange(server.http, &first)?;
    if status != 200 {
        return Err(format!("GET /balance was answered by {status}: {body}").into());
    }
    let (bare, bare_address) = Programs::bare(body.len(), database)?;

    let mut round = |address, child: &Child, limit| -> Result<(Outcome, f64), Failure> {
        // Signed again each time: a signature lives for five minutes.
        let load = Load::again(requests.balance(customer)?, limit);
        let before = child.processor_seconds()?;
        let outcome = generator::run(address, CONNECTIONS, load)?;
        let used = child.processor_seconds()? - before;
        #[expect(clippy::cast_precision_loss, reason = "counts of answers are far below 2^52")]
        let micros = used * 1e6 / outcome.count as f64;
        Ok((outcome, micros))
    };
    let warm_up = effort.round.min(WARM_UP);
    round(bare_address, &bare, warm_up)?;
    round(server.http, &server.child, warm_up)?;
    let (mut rates, mut ours_used, mut bare_used, mut times) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let (theirs, used) = round(bare_address, &bare, effort.round)?;
        bare_used.push(used);
        let (ours, used) = round(server.http, &server.child, effort.round)?;
        ours_used.push(used);
        times.push(ours.quantile_ms((99, 100)));
        rates.push((ours.rate(), theirs.rate()));
    }

    let median = |figures: Vec<f64>| Stat::of(figures).map(|stat| stat.median).ok_or_else(no_rounds);
    let (ours_used, bare_used) = (median(ours_used)?, median(bare_used)?);
    let line = Line::compared(
        format!("signed GET /balance, {CONNECTIONS} connections{suffix}"),
        "requests/s",
        "bare hyper server",
        &rates,
        Goal::AtLeast(0.6),
    );
    Ok(line
        .ok_or_else(no_rounds)?
        .note(format!("both get the same signed requests and answer {} bytes of body", body.len()))
        .note(format!(
            "processor time of the server a request: {ours_used:.1} µs, bare {bare_used:.1} µs, by which alone the ratio \
             would be {:.2}",
            bare_used / ours_used
        ))
        .note(format!("99 % of the requests took at most {:.2} ms", median(times)?)))
}
