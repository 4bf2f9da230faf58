//! What a client means to happen, in every form that the API takes: single charges, batches, groups that are booked
//! whole or not at all, holds, captures, releases, reversals, usage alone and in batches, quota checks and their releases.

use http::Method;
use serde_json::{Value, json};

use super::usage::{Check, Usage};

/// Of a unit; amounts are whole numbers of these.
pub const SCALE: u64 = 10_000;
/// Longer than any test.
const HOLD_S: u64 = 86_400;

/// An amount that moves, or is reserved, under a name of its own.
#[derive(Debug, Clone)]
pub struct Movement {
    /// Which of the load's.
    pub customer: usize,
    /// Names it within its customer, and in this load.
    pub transno: String,
    /// In the 10,000th part of a unit.
    pub amount: u64,
}

/// Something that the server said is there: a record, a hold or a reservation.
#[derive(Debug, Clone)]
pub struct Made<T> {
    /// The server's name for it.
    pub id: String,
    /// What it was made by.
    pub by: T,
}

/// One request, which is repeated until it is known to have happened.
#[derive(Debug, Clone)]
pub enum Intent {
    /// A single charge.
    Charge(Movement),
    /// Each item for itself.
    Batch(Vec<Movement>),
    /// All items or none.
    Group(Vec<Movement>),
    /// Reserves.
    Hold(Movement),
    /// The hold, and what is taken of it.
    Capture(Made<Movement>, Movement),
    /// Lets a hold go.
    Release(Made<Movement>),
    /// The record, and what of it is taken back.
    Reverse(Made<Movement>, Movement),
    /// Usage of one request.
    Usage(Usage),
    /// Each for itself.
    UsageBatch(Vec<Usage>),
    /// Asks whether a user may go on, and reserves.
    Check(Check),
    /// Lets the reservation of a check go.
    ReleaseQuota(Made<Check>),
}

/// What was answered about one item, under its name; a release's is the id of its hold or reservation.
#[derive(Debug)]
pub struct Verdict {
    /// The item's name.
    pub name: String,
    /// What was said.
    pub answer: Answered,
}

/// There, or not now.
#[derive(Debug)]
pub enum Answered {
    /// There, under this id; a record has a seq too, a usage record a useq. `before`: it had been there already.
    There { id: String, seq: Option<u64>, before: bool },
    /// The server could not; it may have happened all the same.
    Unavailable(String),
}

impl Intent {
    /// Of every request.
    pub const METHOD: Method = Method::POST;

    /// Path and body.
    pub fn request(&self) -> (String, Value) {
        match self {
            Self::Charge(charge) => ("/accounting".to_owned(), charge.body()),
            Self::Batch(items) => ("/accounting/batch".to_owned(), bodies(items)),
            Self::Group(items) => ("/accounting/batch?atomic=true".to_owned(), bodies(items)),
            Self::Hold(hold) => {
                let mut body = hold.body();
                body["ttl_s"] = json!(HOLD_S);
                ("/holds".to_owned(), body)
            }
            Self::Capture(hold, taken) => (format!("/holds/{}/capture", hold.id), taken.part()),
            Self::Release(hold) => (format!("/holds/{}/release", hold.id), json!({})),
            Self::Reverse(record, back) => (format!("/accounting/{}/reverse", record.id), back.part()),
            Self::Usage(usage) => ("/usage".to_owned(), usage.body()),
            Self::UsageBatch(items) => ("/usage/batch".to_owned(), items.iter().map(Usage::body).collect()),
            Self::Check(check) => ("/quota/check".to_owned(), check.body()),
            Self::ReleaseQuota(made) => ("/quota/release".to_owned(), json!({"reservation": made.id})),
        }
    }

    /// Under which names it is known: those of its items; a release's is the id of its hold or reservation.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Batch(items) | Self::Group(items) => items.iter().map(|item| &*item.transno).collect(),
            Self::Release(hold) => vec![&hold.id],
            Self::Charge(one) | Self::Hold(one) | Self::Capture(_, one) | Self::Reverse(_, one) => {
                vec![&one.transno]
            }
            Self::Usage(_) | Self::UsageBatch(_) => {
                self.usage().iter().map(|usage| &*usage.request_id).collect()
            }
            Self::Check(check) => vec![&check.request_id],
            Self::ReleaseQuota(made) => vec![&made.id],
        }
    }

    /// The records that it leads to: kind and movement.
    pub fn records(&self) -> Vec<(&'static str, Movement)> {
        let all = |kind, items: &[Movement]| items.iter().map(|item| (kind, item.clone())).collect();
        match self {
            Self::Charge(one) => vec![("charge", one.clone())],
            Self::Batch(items) | Self::Group(items) => all("charge", items),
            Self::Capture(_, one) => vec![("capture", one.clone())],
            Self::Reverse(_, one) => vec![("reversal", one.clone())],
            Self::Usage(_) | Self::UsageBatch(_) => self.usage().iter().filter_map(Usage::charge).collect(),
            Self::Hold(_) | Self::Release(_) | Self::Check(_) | Self::ReleaseQuota(_) => Vec::new(),
        }
    }

    /// The usage records that it leads to.
    pub fn usage(&self) -> &[Usage] {
        match self {
            Self::Usage(one) => std::slice::from_ref(one),
            Self::UsageBatch(items) => items,
            _ => &[],
        }
    }

    /// Reads the answer; anything but a success or a 503 fails the test.
    pub fn verdicts(&self, status: u16, body: &Value) -> Vec<Verdict> {
        let names = self.names();
        let named = |answer: &dyn Fn() -> Answered| {
            names.iter().map(|name| Verdict { name: (*name).to_owned(), answer: answer() }).collect()
        };
        let data = &body["data"];
        match (self, status) {
            (_, 503) => named(&|| unavailable(body)),
            (Self::Batch(_) | Self::Group(_) | Self::UsageBatch(_), 200) => {
                let rows = data["rows"].as_array().unwrap();
                assert_eq!(rows.len(), names.len(), "{body}");
                let verdict = |(row, name): (&Value, &&str)| {
                    let answer = match row["status"].as_u64() {
                        Some(200 | 201) => there(&row["data"], "id", row["status"] == 200),
                        Some(503) => unavailable(&row["error"]),
                        _ => panic!("{name}: {row}"),
                    };
                    Verdict { name: (*name).to_owned(), answer }
                };
                rows.iter().zip(&names).map(verdict).collect()
            }
            // One that was refused has no reservation.
            (Self::Check(_) | Self::ReleaseQuota(_), 200) => {
                named(&|| there(data, "reservation", data["replayed"] == true))
            }
            // 200 where a commit's answer was lost on the way and the server found its own booking.
            (_, 200 | 201) => named(&|| there(data, "id", status == 200)),
            _ => panic!("{self:?}: {status} {body}"),
        }
    }
}

impl Movement {
    fn body(&self) -> Value {
        let Self { customer, transno, amount } = self;
        json!({"transno": transno, "customer_id": name(*customer), "amount": decimal(*amount)})
    }

    /// Of something that says itself whose it is.
    fn part(&self) -> Value {
        json!({"transno": self.transno, "amount": decimal(self.amount)})
    }
}

fn bodies(items: &[Movement]) -> Value {
    items.iter().map(Movement::body).collect()
}

fn there(data: &Value, id: &str, before: bool) -> Answered {
    let id = data[id].as_str().unwrap_or_else(|| panic!("no {id}: {data}")).to_owned();
    Answered::There { id, seq: data["seq"].as_u64().or(data["useq"].as_u64()), before }
}

fn unavailable(problem: &Value) -> Answered {
    Answered::Unavailable(problem["code"].as_str().unwrap_or_else(|| panic!("no code: {problem}")).to_owned())
}

/// The id of a customer of the load.
pub fn name(customer: usize) -> String {
    format!("org_crash_{customer}")
}

/// An amount in units, as the server writes it.
pub fn decimal(amount: u64) -> String {
    let text = format!("{}.{:04}", amount / SCALE, amount % SCALE);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
