//! The resident memory of a server that was just started while it records usage.

use super::client::Client;
use super::{BATCHING, Effort, ITEMS, LIMIT, no_rounds};
use crate::Failure;
use crate::child::Child;
use crate::measures::megabytes;
use crate::report::{Goal, Line};
use crate::stat::Stat;

/// Records signed at a time, at most: a signature lives for five minutes.
const PORTION: usize = 50_000;

/// How much it grows until so many records more are there, and from a quarter of them on.
pub fn measure(
    client: &mut Client,
    server: &Child,
    customers: &[String],
    effort: &Effort,
    kind: &str,
) -> Result<[Line; 2], Failure> {
    let before = server.resident()?;
    let (mut looks, mut sent) = (Vec::new(), 0);
    while sent < effort.usage_records {
        let number = PORTION.min(effort.usage_records.div_ceil(4)).div_ceil(ITEMS);
        let outcome = client.send_usage(customers, BATCHING, number, LIMIT)?;
        if outcome.count != number {
            return Err(format!("{number} batches took longer than {LIMIT:?}").into());
        }
        sent += number * ITEMS;
        looks.push((sent, server.resident()?));
    }
    let quarters = (1..=4).filter_map(|quarter| {
        looks
            .iter()
            .find(|(sent, _)| sent * 4 >= effort.usage_records * quarter)
            .map(|(_, bytes)| megabytes(*bytes))
    });
    let quarters: Vec<_> = quarters.collect();
    let (first, last) = quarters.first().zip(quarters.last()).ok_or_else(no_rounds)?;
    let greatest = looks.iter().map(|(_, bytes)| megabytes(*bytes)).fold(0.0, f64::max);
    let way: Vec<_> = quarters.iter().map(|figure| format!("{figure:.1}")).collect();
    let stat = |figure| Stat::of([figure]).ok_or_else(no_rounds);
    let records = effort.usage_records;
    Ok([
        Line::alone(
            format!("growth of resident memory by {records} usage records in batches, {kind}"),
            "MB",
            stat(greatest - megabytes(before))?,
            Goal::AtMost(80.0),
        )
        .note(format!("{:.1} MB before", megabytes(before)))
        .note(format!("{} MB at a quarter, a half, three quarters and all of them", way.join(", ")))
        .note(format!("the peak of the process: {:.1} MB", megabytes(server.peak()?))),
        Line::alone(
            format!("growth of resident memory from a quarter of {records} usage records to all, {kind}"),
            "MB",
            stat(last - first)?,
            Goal::AtMost(16.0),
        ),
    ])
}
