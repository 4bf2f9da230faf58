//! Usage and quota checks as clients mean them, and the users and prices that they need.

use serde_json::{Value, json};

use super::intent::{Made, Movement, decimal, name};
use crate::Installation;

/// Users of each customer.
pub const USERS: usize = 2;
/// Offered at the prices of [`Usage::cost`].
const MODEL: &str = "priced";
/// The 10,000th part of a unit for each token in, twice that for each token out.
const PRICES: &str = "unit_values: {k: 10000}\npricings:\n\
                      - {price_factors: prompt_tokens, unit_prices: 1, unit: k}\n\
                      - {price_factors: completion_tokens, unit_prices: 2, unit: k}\n";
/// More than any test uses: what is counted is shown for limits only.
const NO_LIMIT: u64 = 1_000_000_000_000;
/// The longest that there is.
const RESERVED_S: u64 = 3600;

/// What one request of a user consumed.
#[derive(Debug, Clone)]
pub struct Usage {
    /// Which of the load's.
    pub customer: usize,
    /// Which of the customer's.
    pub user: usize,
    /// Names it within its customer, and in this load.
    pub request_id: String,
    /// Tokens of the question.
    pub input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// Whether the model has a price.
    pub is_priced: bool,
    /// What was held for it.
    pub hold: Option<Made<Movement>>,
    /// What was reserved for it.
    pub reservation: Option<Made<Check>>,
}

/// The question whether a user may go on.
#[derive(Debug, Clone)]
pub struct Check {
    /// Which of the load's.
    pub customer: usize,
    /// Which of the customer's.
    pub user: usize,
    /// Names it within its user, and in this load.
    pub request_id: String,
    /// How many are reserved.
    pub tokens: u64,
}

impl Usage {
    /// What is sent.
    pub fn body(&self) -> Value {
        json!({
            "request_id": self.request_id,
            "customer_id": name(self.customer),
            "user_id": user(self.customer, self.user),
            "model": self.is_priced.then_some(MODEL),
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "hold": self.hold.as_ref().map(|made| &made.id),
            "reservation": self.reservation.as_ref().map(|made| &made.id),
        })
    }

    /// Tokens in and out.
    pub fn tokens(&self) -> u64 {
        self.input_tokens + self.output_tokens
    }

    /// In the 10,000th part of a unit.
    pub fn cost(&self) -> Option<u64> {
        self.is_priced.then_some(self.input_tokens + 2 * self.output_tokens)
    }

    /// The record that it is charged by: kind and movement.
    pub fn charge(&self) -> Option<(&'static str, Movement)> {
        let amount = self.cost().filter(|_| is_booked(self.customer))?;
        let kind = if self.hold.is_some() { "capture" } else { "charge" };
        Some((
            kind,
            Movement { customer: self.customer, transno: format!("usage:{}", self.request_id), amount },
        ))
    }

    /// What the list must say of it.
    pub fn shown(&self) -> Value {
        let mut shown = self.body();
        let (is_booked, is_charged) = (is_booked(self.customer), self.charge().is_some());
        shown["total_tokens"] = json!(self.tokens());
        shown["cost"] = json!(self.cost().map(decimal));
        shown["billing"] = json!(if is_booked { "book" } else { "log" });
        shown["uncharged"] = json!((is_booked && !is_charged).then_some("no_price"));
        let hold_use = if is_charged { "captured" } else { "released" };
        shown["hold_use"] = json!(self.hold.as_ref().map(|_| hold_use));
        shown["reservation_use"] = json!(self.reservation.as_ref().map(|_| "settled"));
        shown
    }
}

impl Check {
    /// What is sent.
    pub fn body(&self) -> Value {
        json!({
            "request_id": self.request_id,
            "customer_id": name(self.customer),
            "user_id": user(self.customer, self.user),
            "tokens": self.tokens,
            "ttl_s": RESERVED_S,
        })
    }
}

/// The id of a user of a customer.
pub fn user(customer: usize, user: usize) -> String {
    format!("{}_user_{user}", name(customer))
}

/// Whether the usage of a customer is charged, and not only kept.
fn is_booked(customer: usize) -> bool {
    customer.is_multiple_of(2)
}

/// What usage of so many customers needs, for a seed file.
pub fn seed(customers: usize) -> Value {
    let users = |customer| {
        (0..USERS).map(move |number| json!({"id": user(customer, number), "orgid": name(customer)}))
    };
    json!({
        "users": (0..customers).flat_map(users).collect::<Vec<_>>(),
        "groups": [{
            "name": "unlimited", "default": true, "monthly_tokens": NO_LIMIT, "concurrent_requests": NO_LIMIT,
        }],
        "pricing": [{"id": "program", "ppid": "program", "pricing_data": PRICES, "currency": "CNY"}],
        "llmage": [{"id": "offer", "llmid": "llm", "model": MODEL, "ppid": "program", "status": "published"}],
    })
}

/// Has the usage of every other customer charged. No server runs yet.
pub async fn book(installation: &Installation, customers: usize) {
    let booked: Vec<_> = (0..customers)
        .filter(|customer| is_booked(*customer))
        .map(|customer| format!("'{}'", name(customer)))
        .collect();
    let sql = format!(
        "UPDATE customer_balance SET usage_billing = 'book' WHERE customer_id IN ({})",
        booked.join(", ")
    );
    assert_eq!(installation.database.execute(&sql).await, booked.len() as u64);
}
