//! The export of everything: read as it comes, kept nowhere, so that what grows is the server's.

use std::io::BufRead as _;
use std::time::Instant;

use super::lists::List;
use super::{megabytes, no_rounds};
use crate::Failure;
use crate::chunked;
use crate::report::{Goal, Line};
use crate::request::Requests;
use crate::server::Server;
use crate::stat::Stat;

/// The server's memory is looked at whenever so many bytes have come.
const LOOK: usize = 1 << 20;

/// Exports all of so many records.
pub fn measure(
    server: &Server,
    requests: &mut Requests,
    list: List,
    records: usize,
    kind: &str,
) -> Result<Line, Failure> {
    let (before, peak_before) = (server.child.resident()?, server.child.peak()?);
    let started = Instant::now();
    // The signature is looked at once, and the server's time limit is for each page: it may take long.
    let mut body = chunked::body(server.http, &requests.export(list.path)?)?;
    let (mut line, mut last) = (Vec::new(), Vec::new());
    let (mut lines, mut bytes, mut looked) = (0, 0, 0);
    let mut seen = before;
    loop {
        line.clear();
        let read = body.read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        std::mem::swap(&mut line, &mut last);
        lines += 1;
        bytes += read;
        if bytes - looked >= LOOK {
            looked = bytes;
            seen = seen.max(server.child.resident()?);
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let peak = server.child.peak()?;
    let end = format!("{{\"_end\":true,\"count\":{records}}}\n");
    if last != end.as_bytes() || lines != records + 1 {
        let last = String::from_utf8_lossy(&last);
        return Err(format!("an export of {records} records has {lines} lines and ends with {last}").into());
    }

    // What was larger before the export hides how large it was during it, but for the looks.
    let most = if peak > peak_before { peak } else { seen };
    let growth = Stat::of([megabytes(most.saturating_sub(before))]).ok_or_else(no_rounds)?;
    #[expect(clippy::cast_precision_loss, reason = "counts of records and bytes are far below 2^52")]
    let (rate, size) = (records as f64 / seconds, bytes as f64 / 1e6);
    let name = format!("growth of memory while exporting {records} records of /{}, {kind}", list.path);
    Ok(Line::alone(name, "MB", growth, Goal::AtMost(16.0))
        .note(format!("{rate:.0} records/s, {bytes} bytes of NDJSON, {:.1} MB/s", size / seconds))
        .note(format!(
            "resident before {:.1} MB, at most {:.1} MB; the peak of the process grew by {:.1} MB",
            megabytes(before),
            megabytes(most),
            megabytes(peak.saturating_sub(peak_before))
        )))
}
