//! What the clients' usage comes to: records, their sums, and what is counted of each user.

use std::collections::BTreeMap;

use http::Method;
use sageapi_server::model::{Clock as _, SystemClock};
use sageapi_test_support::client::Client;
use serde_json::{Value, json};

use super::Log;
use super::intent::{Intent, decimal, name};
use super::usage::{USERS, Usage, user};

/// What usage came to.
#[derive(Default)]
pub struct Counted {
    /// Usage records.
    pub records: u64,
    /// Tokens of all of them.
    pub tokens: u64,
    /// Reservations that usage settled.
    pub settled: u64,
    /// Reservations that were released.
    pub released: u64,
    /// Reservations that nothing was done about.
    pub open: u64,
}

/// Sums over usage.
#[derive(Default)]
struct Sums {
    requests: u64,
    input_tokens: u64,
    output_tokens: u64,
    cost: u64,
    unpriced: u64,
}

/// Of a user: the tokens that its usage counts, and its reservations that are open.
#[derive(Default)]
struct Quota {
    used: i128,
    reserved: i128,
    open: i128,
}

impl Sums {
    fn add(&mut self, usage: &Usage) {
        self.requests += 1;
        self.input_tokens += usage.input_tokens;
        self.output_tokens += usage.output_tokens;
        self.cost += usage.cost().unwrap_or(0);
        self.unpriced += u64::from(!usage.is_priced);
    }

    fn shown(&self) -> Value {
        json!({
            "requests": self.requests, "errors": 0, "input_tokens": self.input_tokens, "output_tokens": self.output_tokens,
            "total_tokens": self.input_tokens + self.output_tokens, "cost": decimal(self.cost), "unpriced": self.unpriced,
        })
    }
}

/// The month of UTC in which it is now.
pub fn month() -> String {
    SystemClock::new().now().to_string()[..7].to_owned()
}

/// Every usage record is what was meant, their sums are those of the intents, and so is what is counted of each user. `rows`
/// are all usage records, by request id.
pub async fn add_up(log: &Log, rows: &BTreeMap<String, Value>, client: &Client) -> Counted {
    let all = || log.intents.iter().flat_map(Intent::usage);
    for usage in all() {
        let row = rows.get(&usage.request_id).unwrap_or_else(|| panic!("not recorded: {usage:?}"));
        includes(row, &usage.shown());
    }
    assert_eq!(rows.len(), all().count(), "as many usage records as intents");
    stats_add_up(log, client).await;
    quotas_add_up(log, client).await
}

async fn stats_add_up(log: &Log, client: &Client) {
    let (mut total, mut customers, mut users) = (Sums::default(), BTreeMap::new(), BTreeMap::new());
    for usage in log.intents.iter().flat_map(Intent::usage) {
        total.add(usage);
        customers.entry(name(usage.customer)).or_insert_with(Sums::default).add(usage);
        users.entry(user(usage.customer, usage.user)).or_insert_with(Sums::default).add(usage);
    }
    let stats = client.get("/usage/stats?group_by=customer").await;
    includes(&stats.data()["totals"][0], &total.shown());
    are(&stats.data()["rows"], "customer_id", &customers);
    let mut by_user = Vec::new();
    for customer in 0..log.customers {
        let stats = client.get(&format!("/usage/stats?customer_id={}&group_by=user", name(customer))).await;
        by_user.extend(stats.data()["rows"].as_array().unwrap().iter().cloned());
    }
    are(&by_user.into(), "user_id", &users);
}

/// The rows of an answer are these sums, by that member.
fn are(rows: &Value, member: &str, expected: &BTreeMap<String, Sums>) {
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), expected.len(), "{rows:?}");
    for row in rows {
        includes(row, &expected[row[member].as_str().unwrap()].shown());
    }
}

async fn quotas_add_up(log: &Log, client: &Client) -> Counted {
    let mut counted = Counted::default();
    let mut quotas: BTreeMap<(usize, usize), Quota> = BTreeMap::new();
    for intent in &log.intents {
        for usage in intent.usage() {
            counted.records += 1;
            counted.tokens += usage.tokens();
            let quota = quotas.entry((usage.customer, usage.user)).or_default();
            quota.used += i128::from(usage.tokens());
            if let Some(made) = &usage.reservation {
                counted.settled += 1;
                quota.reserved -= i128::from(made.by.tokens);
                quota.open -= 1;
            }
        }
        match intent {
            Intent::Check(check) => {
                counted.open += 1;
                let quota = quotas.entry((check.customer, check.user)).or_default();
                quota.reserved += i128::from(check.tokens);
                quota.open += 1;
            }
            Intent::ReleaseQuota(made) => {
                counted.released += 1;
                let quota = quotas.entry((made.by.customer, made.by.user)).or_default();
                quota.reserved -= i128::from(made.by.tokens);
                quota.open -= 1;
            }
            _ => {}
        }
    }
    counted.open -= counted.settled + counted.released;
    for customer in 0..log.customers {
        for number in 0..USERS {
            let expected = quotas.remove(&(customer, number)).unwrap_or_default();
            let path = format!("/quota?customer_id={}&user_id={}", name(customer), user(customer, number));
            let shown = client.call(Method::GET, &path).send().await;
            let limit = |kind: &str| {
                let limits = shown.data()["limits"].as_array().unwrap();
                let limit = limits.iter().find(|limit| limit["kind"] == kind).unwrap();
                ["used", "reserved"].map(|member| i128::from(limit[member].as_i64().unwrap()))
            };
            assert_eq!(limit("concurrent_requests"), [expected.open, 0], "{shown}");
            let month_is_over = month() != log.month;
            assert!(
                month_is_over || limit("monthly_tokens") == [expected.used, expected.reserved],
                "used {}, reserved {}, but {shown}",
                expected.used,
                expected.reserved
            );
        }
    }
    counted
}

fn includes(row: &Value, expected: &Value) {
    for (member, value) in expected.as_object().unwrap() {
        assert_eq!(&row[member], value, "{member} of {row}");
    }
}
