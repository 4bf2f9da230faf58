//! The sums over a customer's usage beside a query for the same over its records.

use serde_json::Value;

use super::client::Client;
use super::{Effort, no_rounds};
use crate::Failure;
use crate::child::exchange;
use crate::database::{Database, Kind};
use crate::generator::{self, Load};
use crate::raw::{self, usage};
use crate::report::{Goal, Line};

/// The sums that GET /usage/stats?group_by=user answers with, over the records of the days that have any.
const OVER_RECORDS: &str = "SELECT user_id, currency, COUNT(*), SUM(status_code >= 400), SUM(input_tokens), \
     SUM(output_tokens), SUM(cost), SUM(cost IS NULL) FROM usage_logs WHERE customer_id = 'org_usage_00000' \
     GROUP BY user_id, currency ORDER BY user_id, currency";
const RECORDS: &str = "SELECT COUNT(*) FROM usage_logs WHERE customer_id = 'org_usage_00000'";
const SUMS: &str = "SELECT COUNT(*) FROM usage_daily WHERE customer_id = 'org_usage_00000'";

/// One connection each.
pub fn measure(
    client: &mut Client,
    database: &Database,
    customer: &str,
    effort: &Effort,
    kind: Kind,
) -> Result<Line, Failure> {
    let query = format!("customer_id={customer}&group_by=user");
    let count = |sql| raw::row(database, sql)?.first().copied().ok_or_else(no_rounds);
    let (records, sums) = (count(RECORDS)?, count(SUMS)?);
    let (status, body) = exchange(client.server, &client.requests.stats(&query)?)?;
    if status != 200 {
        return Err(format!("GET /usage/stats?{query} was answered by {status}: {body}").into());
    }
    let answer: Value = serde_json::from_str(&body)?;
    let counted = answer["data"]["totals"][0]["requests"].as_i64();
    if counted != Some(records) {
        return Err(format!("{records} records were counted as {counted:?} requests").into());
    }
    let mut rates = Vec::new();
    for _ in 0..effort.rounds {
        let plain = raw::read_again(database, OVER_RECORDS, effort.round)?;
        // Signed again each time: a signature lives for five minutes.
        let load = Load::again(client.requests.stats(&query)?, effort.round);
        rates.push((generator::run(client.server, 1, load)?.rate(), plain.rate()));
    }
    let line = Line::compared(
        format!(
            "GET /usage/stats?group_by=user over 30 days, {} users, {} models, {}",
            usage::USERS,
            usage::MODELS,
            kind.name()
        ),
        "answers/s",
        "GROUP BY over the customer's records, raw",
        &rates,
        Goal::AtLeast(8.0),
    );
    Ok(line
        .ok_or_else(no_rounds)?
        .note("aim: 50 ×")
        .note(format!("the customer has {records} records, and {sums} sums by day, user and model")))
}
