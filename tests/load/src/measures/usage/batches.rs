//! Batches of usage beside batches of charges, and beside the inserts of a gateway written in Go.

use super::client::{Client, enough};
use super::{BATCHING, Effort, ITEMS, no_rounds};
use crate::Failure;
use crate::raw::go_writer::{BUFFER, GoWriter};
use crate::report::{Goal, Line};

/// All three in turn.
pub fn measure(
    client: &mut Client,
    go: &mut GoWriter<'_>,
    customers: &[String],
    effort: &Effort,
    kind: &str,
) -> Result<[Line; 2], Failure> {
    #[expect(clippy::cast_precision_loss, reason = "counts of items are far below 2^52")]
    let (items, buffer) = (ITEMS as f64, BUFFER as f64);
    let (mut beside_bookings, mut beside_go) = (Vec::new(), Vec::new());
    let (mut charging, mut using) = (BATCHING * 2, BATCHING * 2);
    for _ in 0..effort.rounds {
        let plain = go.run(effort.round)?.rate() * buffer;
        let charges = client.send_charges(customers, charging, effort.round)?.rate();
        let usage = client.send_usage(customers, BATCHING, using, effort.round)?.rate();
        charging = enough(charges, effort.round, BATCHING);
        using = enough(usage, effort.round, BATCHING);
        beside_bookings.push((usage * items, charges * items));
        beside_go.push((usage * items, plain));
    }
    let among = format!("{} customers, {} records, {kind}", customers.len(), effort.usage_records);
    let name = format!("POST /usage/batch of {ITEMS} over {among}");
    let bookings = Line::compared(
        name.clone(),
        "records/s",
        &format!("POST /accounting/batch of {ITEMS}"),
        &beside_bookings,
        Goal::AtLeast(0.7),
    );
    let go = Line::compared(
        format!("{name}, beside a Go writer"),
        "records/s",
        "its inserts, raw",
        &beside_go,
        Goal::AtLeast(2.0),
    );
    Ok([
        bookings
            .ok_or_else(no_rounds)?
            .note("aim: 1 ×")
            .note("usage is priced by a price list, charges name their amount; no customer's usage is charged"),
        go.ok_or_else(no_rounds)?.note("aim: 4 ×").note(format!(
            "it writes {BUFFER} rows a transaction over one connection, a hundred a statement, to its table with six indexes and \
             as many rows; statements are prepared, and commits flushed, which it does not do"
        )),
    ])
}
