//! What a client means to happen, in every form that the API takes: single charges, batches, groups that are booked
//! whole or not at all, holds, captures, releases, reversals.

use http::Method;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

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

/// A record or a hold that the server said is there.
#[derive(Debug, Clone)]
pub struct Made {
    /// The server's name for it.
    pub id: String,
    /// What it was made by.
    pub movement: Movement,
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
    Capture(Made, Movement),
    /// Lets a hold go.
    Release(Made),
    /// The record, and what of it is taken back.
    Reverse(Made, Movement),
}

/// What was answered about one movement, under its transno; a release's is the id of its hold.
#[derive(Debug)]
pub struct Verdict {
    /// The movement's name.
    pub transno: String,
    /// What was said.
    pub answer: Answered,
}

/// There, or not now.
#[derive(Debug)]
pub enum Answered {
    /// There, under this id; a record has a seq too. `before`: it had been there already.
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
        }
    }

    /// Under which names it is known: those of its movements; a release's is the id of its hold.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Batch(items) | Self::Group(items) => items.iter().map(|item| &*item.transno).collect(),
            Self::Release(hold) => vec![&hold.id],
            Self::Charge(one) | Self::Hold(one) | Self::Capture(_, one) | Self::Reverse(_, one) => {
                vec![&one.transno]
            }
        }
    }

    /// The records that it leads to: kind and movement.
    pub fn records(&self) -> (&'static str, &[Movement]) {
        match self {
            Self::Charge(one) => ("charge", std::slice::from_ref(one)),
            Self::Batch(items) | Self::Group(items) => ("charge", items),
            Self::Capture(_, one) => ("capture", std::slice::from_ref(one)),
            Self::Reverse(_, one) => ("reversal", std::slice::from_ref(one)),
            Self::Hold(_) | Self::Release(_) => ("", &[]),
        }
    }

    /// Reads the answer; anything but a success or a 503 fails the test.
    pub fn verdicts(&self, status: u16, body: &Value) -> Vec<Verdict> {
        let named = |answer: &dyn Fn() -> Answered| {
            let verdict = |name: &str| Verdict { transno: name.to_owned(), answer: answer() };
            self.names().into_iter().map(verdict).collect()
        };
        match (self, status) {
            (_, 503) => named(&|| unavailable(body)),
            (Self::Batch(items) | Self::Group(items), 200) => {
                let rows = body["data"]["rows"].as_array().unwrap();
                assert_eq!(rows.len(), items.len(), "{body}");
                let verdict = |(row, item): (&Value, &Movement)| {
                    let answer = match row["status"].as_u64() {
                        Some(200 | 201) => there(&row["data"], row["status"] == 200),
                        Some(503) => unavailable(&row["error"]),
                        _ => panic!("{item:?}: {row}"),
                    };
                    Verdict { transno: item.transno.clone(), answer }
                };
                rows.iter().zip(items).map(verdict).collect()
            }
            // 200 where a commit's answer was lost on the way and the server found its own booking.
            (_, 200 | 201) => named(&|| there(&body["data"], status == 200)),
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

fn there(data: &Value, before: bool) -> Answered {
    let id = data["id"].as_str().unwrap_or_else(|| panic!("no id: {data}")).to_owned();
    Answered::There { id, seq: data["seq"].as_u64(), before }
}

fn unavailable(problem: &Value) -> Answered {
    Answered::Unavailable(problem["code"].as_str().unwrap_or_else(|| panic!("no code: {problem}")).to_owned())
}

/// One client's plans: what it knows to be there is settled or reversed by it alone, and once.
pub struct Plans {
    client: usize,
    customers: usize,
    count: u64,
    rng: StdRng,
    holds: Vec<Made>,
    charges: Vec<Made>,
}

impl Plans {
    /// Of the client of this number, for so many customers.
    pub fn new(client: usize, customers: usize, seed: u64) -> Self {
        Self {
            client,
            customers,
            count: 0,
            rng: StdRng::seed_from_u64(seed),
            holds: Vec::new(),
            charges: Vec::new(),
        }
    }

    /// What to do next.
    pub fn next(&mut self) -> Intent {
        match self.rng.random_range(0..100) {
            0..10 => Intent::Hold(self.movement(SCALE)),
            10..25 if !self.holds.is_empty() => {
                let hold = take(&mut self.holds, &mut self.rng);
                if self.rng.random_bool(0.3) {
                    return Intent::Release(hold);
                }
                let taken = self.part_of(&hold);
                Intent::Capture(hold, taken)
            }
            25..35 if !self.charges.is_empty() => {
                let charge = take(&mut self.charges, &mut self.rng);
                let back = self.part_of(&charge);
                Intent::Reverse(charge, back)
            }
            35..45 => Intent::Batch(self.movements()),
            45..50 => Intent::Group(self.movements()),
            _ => Intent::Charge(self.movement(SCALE)),
        }
    }

    /// Remembers what came of it.
    pub fn learn(&mut self, intent: &Intent, verdicts: &[Verdict]) {
        let (kept, movements) = match intent {
            Intent::Hold(hold) => (&mut self.holds, std::slice::from_ref(hold)),
            Intent::Charge(_) | Intent::Batch(_) | Intent::Group(_) => {
                (&mut self.charges, intent.records().1)
            }
            Intent::Capture(..) | Intent::Release(_) | Intent::Reverse(..) => return,
        };
        for (movement, verdict) in movements.iter().zip(verdicts) {
            if let Answered::There { id, .. } = &verdict.answer {
                kept.push(Made { id: id.clone(), movement: movement.clone() });
            }
        }
        // A few of the newest are enough to choose from.
        kept.drain(..kept.len().saturating_sub(32));
    }

    fn movements(&mut self) -> Vec<Movement> {
        let count = self.rng.random_range(1..=20);
        (0..count).map(|_| self.movement(SCALE)).collect()
    }

    fn movement(&mut self, below: u64) -> Movement {
        let customer = self.rng.random_range(0..self.customers);
        self.movement_of(customer, below)
    }

    fn part_of(&mut self, made: &Made) -> Movement {
        self.movement_of(made.movement.customer, made.movement.amount + 1)
    }

    fn movement_of(&mut self, customer: usize, below: u64) -> Movement {
        self.count += 1;
        let transno = format!("c{}-{}", self.client, self.count);
        Movement { customer, transno, amount: self.rng.random_range(1..below) }
    }
}

fn take(from: &mut Vec<Made>, rng: &mut StdRng) -> Made {
    from.swap_remove(rng.random_range(0..from.len()))
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
