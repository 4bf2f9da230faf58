//! The model. It follows the contract and nothing else: what was made under each name is kept, and every balance is
//! added up from it.

use std::collections::BTreeMap;

use sageapi_server::domain::Error;
use sageapi_server::domain::booking::Outcome;
use sageapi_server::model::{Currency, HoldState, Kind, Money, RecordId, ReservationState};

use super::usage::{CheckAnswer, Consumption, Use, UseAnswer};

/// What somebody asks of a customer's account.
#[derive(Debug, Clone)]
pub struct Asked {
    pub name: String,
    pub body: u8,
    pub what: What,
}

impl Asked {
    pub fn expire() -> Self {
        Self { name: String::new(), body: 0, what: What::Expire }
    }
}

/// Amounts are in 10^-9 units.
#[derive(Debug, Clone)]
pub enum What {
    Book { kind: Kind, amount: i64, foreign: bool },
    Hold { amount: i64, brief: bool },
    Capture { hold: RecordId, amount: Option<i64> },
    Release { hold: RecordId },
    Reverse { record: RecordId, amount: Option<i64> },
    Expire,
    Use(Use),
    Check { user: usize, tokens: i64, named: bool, brief: bool },
    ReleaseQuota { reservation: RecordId },
    ExtendQuota { reservation: RecordId },
}

/// What is said to that, by the engine or by the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A record: its place, what it is, its amount, what it moved, and what there was then.
    Booked {
        seq: usize,
        kind: Kind,
        amount: i128,
        delta: i128,
        left: Left,
        replayed: bool,
    },
    /// A hold: what became of it, its amount, and what there was then.
    Held {
        state: HoldState,
        amount: i128,
        left: Left,
        replayed: bool,
    },
    Expired,
    Used(UseAnswer),
    Checked(CheckAnswer),
    /// A reservation: what became of it.
    Kept {
        state: ReservationState,
        replayed: bool,
    },
    Refused(String),
}

/// Balance, held and available.
pub type Left = (i128, i128, i128);

pub const MOST: i128 = Money::MAX.nanos() as i128;

pub fn refused(why: impl Into<String>) -> Verdict {
    Verdict::Refused(why.into())
}

fn insufficient(available: i128, required: i128) -> String {
    format!("{} is available, {required} is required", available.clamp(-MOST, MOST))
}

impl Verdict {
    pub fn of(got: &Result<Outcome, Error>) -> Self {
        match got {
            Ok(Outcome::Booked(booked)) => {
                let r = &booked.record;
                assert_eq!(r.currency, Currency::parse("CNY").unwrap());
                Self::Booked {
                    seq: usize::try_from(r.seq).unwrap(),
                    kind: r.kind,
                    amount: r.amount.wide(),
                    delta: r.delta.wide(),
                    left: (r.balance_after.wide(), r.held_after.wide(), r.available_after.wide()),
                    replayed: booked.replayed,
                }
            }
            Ok(Outcome::Reserved(reserved)) => {
                let hold = &reserved.hold;
                let left = match &reserved.customer {
                    Some(c) => (c.balance.wide(), c.held.wide(), c.available().wide()),
                    None => (hold.balance_after.wide(), hold.held_after.wide(), hold.available_after.wide()),
                };
                Self::Held {
                    state: hold.state,
                    amount: hold.amount.wide(),
                    left,
                    replayed: reserved.replayed,
                }
            }
            Ok(Outcome::Expired) => Self::Expired,
            Ok(Outcome::Used(used)) => {
                let usage = &used.usage;
                Self::Used(UseAnswer {
                    useq: usize::try_from(usage.useq).unwrap(),
                    cost: usage.cost.map(Money::nanos),
                    charged: usage.record_id.is_some(),
                    uncharged: usage.uncharged,
                    hold: usage.hold_use,
                    reservation: usage.reservation_use,
                    replayed: used.replayed,
                })
            }
            Ok(Outcome::Checked(checked)) => Self::Checked(CheckAnswer {
                refused_by: checked.admitted.as_ref().err().copied(),
                limits: checked.limits.iter().map(|state| (state.kind, state.used, state.reserved)).collect(),
                replayed: checked.replayed,
            }),
            Ok(Outcome::Kept(kept)) => Self::Kept { state: kept.reservation.state, replayed: kept.replayed },
            Err(Error::InsufficientBalance { available, required }) => {
                refused(insufficient(available.wide(), required.wide()))
            }
            Err(Error::NotFound(_)) => refused("not found"),
            Err(Error::TransnoConflict) => refused("conflict"),
            Err(Error::CustomerSuspended) => refused("suspended"),
            Err(Error::CurrencyMismatch { .. }) => refused("currency"),
            Err(Error::AmountOutOfRange) => refused("range"),
            Err(Error::HoldClosed(state)) => refused(format!("hold {state}")),
            Err(Error::ReversalExceeds(_)) => refused("exceeds"),
            Err(Error::RequestConflict) => refused("request conflict"),
            Err(Error::EventInFuture) => refused("in the future"),
            Err(Error::EventTooOld(_)) => refused("too old"),
            Err(Error::ReservationClosed(state)) => refused(format!("reservation {state}")),
            Err(other) => refused(format!("unexpected: {other:?}")),
        }
    }
}

/// What was made under a name.
#[derive(Debug, Clone)]
struct Made {
    id: RecordId,
    body: u8,
    answer: Verdict,
    thing: Thing,
}

#[derive(Debug, Clone)]
enum Thing {
    Entry { seq: usize, kind: Kind, delta: i128, reverses: Option<RecordId> },
    Hold { amount: i128, brief: bool, state: HoldState, captured: i128 },
}

/// A customer.
#[derive(Debug, Clone, Default)]
pub struct Account {
    pub limit: i128,
    pub suspended: bool,
    pub negative: bool,
    /// Whether usage is charged.
    pub books: bool,
    pub consumption: Consumption,
    made: BTreeMap<String, Made>,
}

impl Account {
    fn entries(&self) -> impl Iterator<Item = (&String, usize, i128)> {
        self.made.iter().filter_map(|(name, made)| match made.thing {
            Thing::Entry { seq, delta, .. } => Some((name, seq, delta)),
            Thing::Hold { .. } => None,
        })
    }

    pub fn balance(&self) -> i128 {
        self.entries().map(|(_, _, delta)| delta).sum()
    }

    pub fn held(&self) -> i128 {
        let open = self.made.values().map(|made| match made.thing {
            Thing::Hold { amount, state: HoldState::Open, .. } => amount,
            _ => 0,
        });
        open.sum()
    }

    fn available(&self) -> i128 {
        self.balance() + self.limit - self.held()
    }

    fn left(&self) -> Left {
        (self.balance(), self.held(), self.available().clamp(-MOST, MOST))
    }

    /// Names and what they moved, in order.
    pub fn movements(&self) -> Vec<(String, i128)> {
        let mut all: Vec<_> = self.entries().map(|(name, seq, delta)| (seq, name.clone(), delta)).collect();
        all.sort();
        all.into_iter().map(|(_, name, delta)| (name, delta)).collect()
    }

    /// Names, states and what was captured, by name.
    pub fn holds(&self) -> Vec<(String, HoldState, i128)> {
        let holds = self.made.iter().filter_map(|(name, made)| match made.thing {
            Thing::Hold { state, captured, .. } => Some((name.clone(), state, captured)),
            Thing::Entry { .. } => None,
        });
        holds.collect()
    }

    /// Why the balance may not move by `delta` where so much is available.
    fn forbids(&self, delta: i128, available: i128) -> Option<Verdict> {
        if (self.balance() + delta).abs() > MOST {
            return Some(refused("range"));
        }
        let short = !self.negative && delta <= 0 && available + delta < 0;
        short.then(|| refused(insufficient(available, -delta)))
    }

    fn of_id(&mut self, id: RecordId) -> Option<&mut Made> {
        self.made.values_mut().find(|made| made.id == id)
    }

    /// Closes the holds whose time is over; every request comes after a while.
    fn expire(&mut self) {
        for made in self.made.values_mut() {
            if let Thing::Hold { brief: true, state, .. } = &mut made.thing
                && *state == HoldState::Open
            {
                *state = HoldState::Expired;
            }
        }
    }

    pub fn has_open_hold(&mut self, id: RecordId) -> bool {
        let thing = self.of_id(id).map(|made| &made.thing);
        matches!(thing, Some(Thing::Hold { state: HoldState::Open, .. }))
    }

    pub fn close_hold(&mut self, id: RecordId, to: HoldState, amount: i128) {
        if let Some(Made { thing: Thing::Hold { state, captured, .. }, .. }) = self.of_id(id) {
            (*state, *captured) = (to, amount);
        }
    }

    pub fn enter(
        &mut self,
        asked: &Asked,
        made: Option<RecordId>,
        kind: Kind,
        amount: i128,
        delta: i128,
    ) -> Verdict {
        let reverses = match asked.what {
            What::Reverse { record, .. } => Some(record),
            _ => None,
        };
        let seq = self.entries().count() + 1;
        let thing = Thing::Entry { seq, kind, delta, reverses };
        self.keep(asked, made, thing, |left| Verdict::Booked {
            seq,
            kind,
            amount,
            delta,
            left,
            replayed: false,
        })
    }

    fn keep(
        &mut self,
        asked: &Asked,
        made: Option<RecordId>,
        thing: Thing,
        answer: impl FnOnce(Left) -> Verdict,
    ) -> Verdict {
        let id = made.unwrap_or(RecordId(uuid::Uuid::nil()));
        let kept = Made { id, body: asked.body, answer: Verdict::Expired, thing };
        self.made.insert(asked.name.clone(), kept);
        let answer = answer(self.left());
        if let Some(kept) = self.made.get_mut(&asked.name) {
            kept.answer = answer.clone();
        }
        answer
    }

    fn repeated(&self, asked: &Asked) -> Option<Verdict> {
        if matches!(asked.what, What::Release { .. } | What::Expire) {
            return None;
        }
        let made = self.made.get(&asked.name)?;
        if made.body != asked.body {
            return Some(refused("conflict"));
        }
        let mut answer = made.answer.clone();
        if let Verdict::Booked { replayed, .. } | Verdict::Held { replayed, .. } = &mut answer {
            *replayed = true;
        }
        Some(answer)
    }

    fn decide(&mut self, asked: &Asked, made: Option<RecordId>) -> Verdict {
        if let Some(answer) = self.consume(asked, made).or_else(|| self.repeated(asked)) {
            return answer;
        }
        match asked.what {
            What::Book { foreign: true, .. } => refused("currency"),
            What::Book { kind: Kind::Charge, .. } | What::Hold { .. } if self.suspended => {
                refused("suspended")
            }
            What::Book { kind, amount, .. } => {
                let amount = i128::from(amount);
                let delta = if kind == Kind::Charge { -amount } else { amount };
                match self.forbids(delta, self.available()) {
                    Some(refusal) => refusal,
                    None => self.enter(asked, made, kind, amount, delta),
                }
            }
            What::Hold { amount, brief } => {
                let amount = i128::from(amount);
                if let Some(refusal) = self.forbids(-amount, self.available()) {
                    return refusal;
                }
                if self.held() + amount > MOST {
                    return refused("range");
                }
                let state = HoldState::Open;
                let thing = Thing::Hold { amount, brief, state, captured: 0 };
                self.keep(asked, made, thing, |left| Verdict::Held { state, amount, left, replayed: false })
            }
            What::Capture { hold, amount } => self.capture(asked, made, hold, amount),
            What::Release { hold } => self.release(hold),
            What::Reverse { record, amount } => self.reverse(asked, made, record, amount),
            What::Expire => Verdict::Expired,
            What::Use(_) | What::Check { .. } | What::ReleaseQuota { .. } | What::ExtendQuota { .. } => {
                refused("it is no booking")
            }
        }
    }

    fn capture(
        &mut self,
        asked: &Asked,
        made: Option<RecordId>,
        hold: RecordId,
        amount: Option<i64>,
    ) -> Verdict {
        let (reserved, state) = match self.of_id(hold).map(|made| &made.thing) {
            Some(Thing::Hold { amount, state, .. }) => (*amount, *state),
            _ => return refused("not found"),
        };
        if state != HoldState::Open {
            return refused(format!("hold {state}"));
        }
        let amount = amount.map_or(reserved, i128::from);
        if amount > reserved && self.suspended {
            return refused("suspended");
        }
        // Within the hold the money is there by right, if the balance can be written down.
        let available = if amount > reserved { self.available() + reserved } else { amount };
        if let Some(refusal) = self.forbids(-amount, available) {
            return refusal;
        }
        self.close_hold(hold, HoldState::Captured, amount);
        self.enter(asked, made, Kind::Capture, amount, -amount)
    }

    fn release(&mut self, hold: RecordId) -> Verdict {
        let Some(Made { thing: Thing::Hold { amount, state, .. }, .. }) = self.of_id(hold) else {
            return refused("not found");
        };
        if *state == HoldState::Captured {
            return refused("hold captured");
        }
        let replayed = *state != HoldState::Open;
        if !replayed {
            *state = HoldState::Released;
        }
        let (state, amount) = (*state, *amount);
        Verdict::Held { state, amount, left: self.left(), replayed }
    }

    fn reverse(
        &mut self,
        asked: &Asked,
        made: Option<RecordId>,
        record: RecordId,
        amount: Option<i64>,
    ) -> Verdict {
        let delta = match self.of_id(record).map(|made| &made.thing) {
            Some(Thing::Entry { kind: Kind::Reversal, .. }) => return refused("exceeds"),
            Some(Thing::Entry { delta, .. }) => *delta,
            _ => return refused("not found"),
        };
        let taken: i128 = self
            .made
            .values()
            .map(|made| match made.thing {
                Thing::Entry { delta, reverses: Some(original), .. } if original == record => delta.abs(),
                _ => 0,
            })
            .sum();
        let rest = delta.abs() - taken;
        let amount = amount.map_or(rest, i128::from);
        if amount == 0 || amount > rest {
            return refused("exceeds");
        }
        let back = if delta < 0 { amount } else { -amount };
        match self.forbids(back, self.available()) {
            Some(refusal) => refusal,
            None => self.enter(asked, made, Kind::Reversal, amount, back),
        }
    }
}

/// All customers, by number.
#[derive(Debug, Clone)]
pub struct Model {
    accounts: BTreeMap<usize, Account>,
    holds: Vec<(usize, RecordId)>,
    records: Vec<(usize, RecordId)>,
    reservations: Vec<(usize, RecordId)>,
}

impl Model {
    pub fn new(customers: usize) -> Self {
        let accounts = (0..customers).map(|n| (n, Account::default())).collect();
        Self { accounts, holds: Vec::new(), records: Vec::new(), reservations: Vec::new() }
    }

    pub fn account(&mut self, customer: usize) -> &mut Account {
        self.accounts.get_mut(&customer).unwrap()
    }

    /// The holds of all customers with their owners, as they were made.
    pub fn holds(&self) -> &[(usize, RecordId)] {
        &self.holds
    }

    /// The records of all customers with their owners, as they were booked.
    pub fn records(&self) -> &[(usize, RecordId)] {
        &self.records
    }

    /// The reservations of all customers with their owners, as they were made.
    pub fn reservations(&self) -> &[(usize, RecordId)] {
        &self.reservations
    }

    /// Decides; `made` is the id that the engine gave to what it made, if it made something.
    pub fn one(&mut self, customer: usize, asked: &Asked, made: Option<RecordId>) -> Verdict {
        let Some(account) = self.accounts.get_mut(&customer) else { return refused("not found") };
        account.expire();
        account.consumption.expire();
        let verdict = account.decide(asked, made);
        match &verdict {
            Verdict::Booked { replayed: false, .. } => self.records.extend(made.map(|id| (customer, id))),
            Verdict::Held { replayed: false, state: HoldState::Open, .. } => {
                self.holds.extend(made.map(|id| (customer, id)));
            }
            Verdict::Used(UseAnswer { charged: true, replayed: false, .. }) => {
                self.records.extend(made.map(|id| (customer, id)));
            }
            Verdict::Checked(CheckAnswer { refused_by: None, replayed: false, .. }) => {
                self.reservations.extend(made.map(|id| (customer, id)));
            }
            _ => {}
        }
        verdict
    }
}
