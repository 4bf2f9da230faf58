//! Usage and quotas with a million usage records: records, checks, what others notice of them, sums, lists, the export, memory.

mod batches;
mod client;
mod memory;
mod neighbours;
mod singles;
mod sums;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use self::client::Client;
use super::lists::List;
use super::{Effort, durability, export, lists, no_rounds};
use crate::Failure;
use crate::database::{Database, Kind};
use crate::raw::go_writer::GoWriter;
use crate::raw::{self, usage};
use crate::report::Line;
use crate::server::{Key, Programs};

/// Connections of clients that send one at a time.
const CONNECTIONS: usize = 64;
/// Connections of clients that send batches.
const BATCHING: usize = 4;
/// Items of a batch.
const ITEMS: usize = 1000;
/// Customers with usage, and as many without, at most.
const CUSTOMERS: usize = 1000;
/// How long something that is not measured may take.
const LIMIT: Duration = Duration::from_secs(600);
/// What a thousand tokens cost.
const PRICES: &str = "unit_values: {k: 1000}\npricings:\n- {price_factors: prompt_tokens, unit_prices: 1, unit: k}\n\
     - {price_factors: completion_tokens, unit_prices: 4, unit: k}\n";

/// All figures on one kind of database.
pub fn measure(programs: &Programs, effort: &Effort, kind: Kind) -> Result<Vec<Line>, Failure> {
    let count = effort.customers.min(CUSTOMERS);
    let names = |prefix| (0..count).map(|n| format!("{prefix}_{n:05}")).collect::<Vec<_>>();
    let (users, others) = (names("org_usage"), names("org_plain"));
    let (ours, theirs) = (programs.database(kind)?, Database::fresh(kind)?);
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?;
    let mut go =
        GoWriter::filled(&theirs, kind, effort.usage_records, jiff::Timestamp::from_microsecond(now)?)?;
    let durability = durability::note(&theirs, kind)?;
    let key = seed(programs, &ours, &[users.clone(), others.clone()].concat())?;
    usage::fill(&ours, kind, &users, effort.usage_records, now)?;

    let name = kind.name();
    let server = programs.serve(&ours, None)?;
    let mut client = Client::new(server.http, key.requests(server.http)?, effort.usage_records);
    let large = &users[0];
    let list = List { path: "usage", records: effort.usage_records, number: "useq" };
    // First what needs to know how many records there are.
    let mut lines = vec![
        sums::measure(&mut client, &ours, large, effort, kind)?,
        lists::of_all(server.http, &mut client.requests, list, effort, name)?,
        lists::of_one(server.http, &mut client.requests, list, large, effort, name)?,
        export::measure(&server, &mut client.requests, list, client.recorded, name)?,
    ];
    let [beside_bookings, beside_go] = batches::measure(&mut client, &mut go, &users, effort, name)?;
    lines.extend([beside_bookings, beside_go.note(durability)]);
    lines.extend(singles::measure(&mut client, &ours, &users, effort, name)?);
    lines.push(neighbours::of_others(&mut client, &ours, [&others, &users], effort, name)?);
    lines.push(neighbours::of_one(&mut client, large, effort, name)?);
    server.child.stop()?;

    let server = programs.serve(&ours, None)?;
    client.move_to(server.http, key.requests(server.http)?);
    lines.extend(memory::measure(&mut client, &server.child, &users, effort, name)?);
    server.child.stop()?;
    raw::check_usage(&ours, client.recorded, "SageAPI")?;
    // The seed made one record for each customer.
    raw::check_records(&ours, users.len() + others.len() + client.booked, "SageAPI")?;
    raw::check_usage(&theirs, go.records, "the Go writer")?;
    programs.command(&ours, None, &["verify"])?;
    Ok(lines)
}

/// Customers, a key of the platform, priced models, and a group for everybody whose limits refuse nobody.
fn seed(programs: &Programs, database: &Database, customers: &[String]) -> Result<Key, Failure> {
    let offered = (1..=usage::MODELS).map(|n| {
        json!({"id": format!("offer-{n}"), "llmid": format!("llm-{n}"), "model": format!("model-{n}"), "ppid": "prices",
               "status": "published"})
    });
    let more = json!({
        "pricing": [{"id": "prices-1", "ppid": "prices", "pricing_data": PRICES, "currency": "CNY"}],
        "llmage": offered.collect::<Vec<_>>(),
        "groups": [{"name": "everybody", "daily_tokens": 1_000_000_000_000_000_i64,
                    "requests_per_minute": 1_000_000_000, "default": true}],
    });
    let [_, key] = programs.seed_with(database, customers, more)?;
    Ok(key)
}
