//! The model of usage and quotas: what was recorded under each name, and the reservations of each user.

use std::collections::BTreeMap;

use sageapi_server::model::{
    GroupLimits, HoldState, HoldUse, Kind, LimitKind, RecordId, ReservationState, ReservationUse, Uncharged,
};

use super::ledger::{Account, Asked, MOST, Verdict, What, refused};

/// The users of each customer.
pub const USERS: [&str; 2] = ["alice", "bob"];

/// What a user may use, other than in a minute: how many of its requests a minute sees is not known here.
pub fn limits_of(user: usize) -> GroupLimits {
    if user == 0 {
        GroupLimits {
            daily_tokens: Some(200),
            max_tokens_per_request: Some(40),
            concurrent_requests: Some(3),
            ..GroupLimits::default()
        }
    } else {
        GroupLimits { monthly_tokens: Some(150), ..GroupLimits::default() }
    }
}

/// When usage happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Now,
    /// In a day and month that have ended.
    LongAgo,
    /// Before what is kept.
    TooLongAgo,
    Later,
}

/// What a user consumed. The cost is in 10^-9 units; `None` without a price.
#[derive(Debug, Clone)]
pub struct Use {
    pub user: Option<usize>,
    pub tokens: i64,
    pub cost: Option<i64>,
    pub foreign: bool,
    pub when: When,
    pub hold: Option<RecordId>,
    pub reservation: Option<RecordId>,
}

/// What is said of usage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UseAnswer {
    pub useq: usize,
    pub cost: Option<i64>,
    pub charged: bool,
    pub uncharged: Option<Uncharged>,
    pub hold: Option<HoldUse>,
    pub reservation: Option<ReservationUse>,
    pub replayed: bool,
}

/// What is said to a check: what refuses it, and of each limit what is used and reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckAnswer {
    pub refused_by: Option<LimitKind>,
    pub limits: Vec<(LimitKind, i64, i64)>,
    pub replayed: bool,
}

#[derive(Debug, Clone)]
struct Recorded {
    id: RecordId,
    body: u8,
    asked: Use,
    answer: UseAnswer,
}

#[derive(Debug, Clone)]
struct Reservation {
    id: RecordId,
    user: usize,
    declared: i64,
    name: Option<String>,
    brief: bool,
    state: ReservationState,
}

/// Usage and quotas of a customer.
#[derive(Debug, Clone, Default)]
pub struct Consumption {
    recorded: BTreeMap<String, Recorded>,
    reservations: Vec<Reservation>,
}

/// Usage as it is counted: how many, tokens, cost, and how many without a price.
pub type Sums = (usize, i64, i64, usize);

impl Consumption {
    /// What was recorded in one currency, by user.
    pub fn sums(&self, foreign: bool) -> BTreeMap<String, Sums> {
        let mut sums: BTreeMap<_, Sums> = BTreeMap::new();
        for Recorded { asked, .. } in self.recorded.values() {
            if (asked.foreign && asked.cost.is_some()) == foreign {
                let user = asked.user.map_or("", |user| USERS[user]).to_owned();
                let (count, tokens, cost, unpriced) = sums.entry(user).or_default();
                (*count, *tokens) = (*count + 1, *tokens + asked.tokens);
                (*cost, *unpriced) =
                    (*cost + asked.cost.unwrap_or(0), *unpriced + usize::from(asked.cost.is_none()));
            }
        }
        sums
    }

    /// Tokens that count now of a user: of what was settled, whenever it happened, and of what happened now.
    pub fn used(&self, user: usize) -> i64 {
        let counts = |recorded: &&Recorded| {
            let settled = recorded.answer.reservation == Some(ReservationUse::Settled);
            let reserved = recorded.asked.reservation.filter(|_| settled);
            let reserved = reserved.and_then(|id| self.reservations.iter().find(|made| made.id == id));
            let whose = recorded.asked.user.or(reserved.map(|made| made.user));
            whose == Some(user) && (settled || recorded.asked.when == When::Now)
        };
        self.recorded.values().filter(counts).map(|recorded| recorded.asked.tokens).sum()
    }

    /// Tokens reserved of a user.
    pub fn reserved(&self, user: usize) -> i64 {
        self.open(user).map(|made| made.declared).sum()
    }

    /// Open reservations of a user.
    pub fn open_count(&self, user: usize) -> i64 {
        i64::try_from(self.open(user).count()).unwrap()
    }

    /// Reservations by what became of them.
    pub fn states(&self) -> Vec<(RecordId, String)> {
        let mut states: Vec<_> =
            self.reservations.iter().map(|made| (made.id, made.state.to_string())).collect();
        states.sort();
        states
    }

    fn open(&self, user: usize) -> impl Iterator<Item = &Reservation> {
        self.reservations.iter().filter(move |m| m.user == user && m.state == ReservationState::Open)
    }

    fn of_id(&mut self, id: RecordId) -> Option<&mut Reservation> {
        self.reservations.iter_mut().find(|made| made.id == id)
    }

    /// Closes the reservations whose time is over; every request comes after a while.
    pub fn expire(&mut self) {
        for made in &mut self.reservations {
            if made.brief && made.state == ReservationState::Open {
                made.state = ReservationState::Expired;
            }
        }
    }

    fn limits(&self, user: usize) -> Vec<(LimitKind, i64, i64)> {
        let limits = limits_of(user);
        let set = LimitKind::ALL.iter().filter(|kind| limits.of(**kind).is_some());
        let state = |kind: &LimitKind| match kind {
            LimitKind::DailyTokens | LimitKind::MonthlyTokens => {
                (*kind, self.used(user), self.reserved(user))
            }
            LimitKind::ConcurrentRequests => (*kind, self.open_count(user), 0),
            LimitKind::MaxTokensPerRequest | LimitKind::RequestsPerMinute => (*kind, 0, 0),
        };
        set.map(state).collect()
    }

    fn check(&mut self, name: &str, made: Option<RecordId>, asked: &What) -> Verdict {
        let What::Check { user, tokens, named, brief } = *asked else { return refused("no check") };
        let name = named.then(|| name.to_owned());
        if name.is_some() && self.open(user).any(|made| made.name == name) {
            let limits = self.limits(user);
            return Verdict::Checked(CheckAnswer { refused_by: None, limits, replayed: true });
        }
        let (declared, limits) = (tokens.max(1), limits_of(user));
        let above = |comes_to: i64, limit: Option<i64>| limit.is_some_and(|limit| comes_to > limit);
        let counted = self.used(user) + self.reserved(user) + declared;
        let refused_by = if above(declared, limits.max_tokens_per_request) {
            Some(LimitKind::MaxTokensPerRequest)
        } else if above(self.open_count(user) + 1, limits.concurrent_requests) {
            Some(LimitKind::ConcurrentRequests)
        } else if above(counted, limits.daily_tokens) {
            Some(LimitKind::DailyTokens)
        } else if above(counted, limits.monthly_tokens) {
            Some(LimitKind::MonthlyTokens)
        } else {
            None
        };
        if refused_by.is_none() {
            let (id, state) = (made.unwrap_or(RecordId(uuid::Uuid::nil())), ReservationState::Open);
            self.reservations.push(Reservation { id, user, declared, name, brief, state });
        }
        Verdict::Checked(CheckAnswer { refused_by, limits: self.limits(user), replayed: false })
    }

    fn keep(&mut self, asked: &What) -> Verdict {
        let (What::ReleaseQuota { reservation } | What::ExtendQuota { reservation }) = asked else {
            return refused("no reservation");
        };
        let Some(made) = self.of_id(*reservation) else { return refused("not found") };
        let is_open = made.state == ReservationState::Open;
        match asked {
            What::ExtendQuota { .. } if !is_open => return refused(format!("reservation {}", made.state)),
            What::ReleaseQuota { .. } if is_open => made.state = ReservationState::Released,
            _ => {}
        }
        Verdict::Kept { state: made.state, replayed: !is_open }
    }

    /// Settles the reservation that usage names.
    fn settle(&mut self, asked: &Use) -> Option<ReservationUse> {
        let id = asked.reservation?;
        let usable = self
            .of_id(id)
            .filter(|made| asked.user.is_none_or(|user| made.user == user))
            .filter(|made| made.state == ReservationState::Open);
        let Some(made) = usable else { return Some(ReservationUse::Unusable) };
        made.state = ReservationState::Settled;
        Some(ReservationUse::Settled)
    }
}

impl Account {
    /// Decides what is about usage or quotas; `None` for anything else.
    pub fn consume(&mut self, asked: &Asked, made: Option<RecordId>) -> Option<Verdict> {
        match &asked.what {
            What::Use(usage) => Some(self.record(asked, usage, made)),
            What::Check { .. } => Some(self.consumption.check(&asked.name, made, &asked.what)),
            What::ReleaseQuota { .. } | What::ExtendQuota { .. } => Some(self.consumption.keep(&asked.what)),
            _ => None,
        }
    }

    fn record(&mut self, asked: &Asked, usage: &Use, made: Option<RecordId>) -> Verdict {
        if let Some(earlier) = self.consumption.recorded.get(&asked.name) {
            if earlier.body != asked.body {
                return refused("request conflict");
            }
            return Verdict::Used(UseAnswer { replayed: true, ..earlier.answer.clone() });
        }
        match usage.when {
            When::Later => return refused("in the future"),
            When::TooLongAgo => return refused("too old"),
            When::Now | When::LongAgo => {}
        }
        let uncharged = match usage.cost {
            _ if !self.books => None,
            None => Some(Uncharged::NoPrice),
            Some(_) if usage.foreign => Some(Uncharged::OtherCurrency),
            Some(cost) if self.balance() - i128::from(cost) < -MOST => Some(Uncharged::OutOfRange),
            Some(_) => None,
        };
        let charged = usage.cost.filter(|_| self.books && uncharged.is_none());
        let usable = usage.hold.is_some_and(|hold| self.has_open_hold(hold));
        let hold = match (usage.hold, usable, charged) {
            (None, ..) => None,
            (Some(_), false, _) => Some(HoldUse::Unusable),
            (Some(_), true, Some(_)) => Some(HoldUse::Captured),
            (Some(_), true, None) => Some(HoldUse::Released),
        };
        match (usage.hold, hold) {
            (Some(id), Some(HoldUse::Captured)) => {
                self.close_hold(id, HoldState::Captured, i128::from(charged.unwrap_or(0)));
            }
            (Some(id), Some(HoldUse::Released)) => self.close_hold(id, HoldState::Released, 0),
            _ => {}
        }
        if let Some(cost) = charged.map(i128::from) {
            let kind = if usable { Kind::Capture } else { Kind::Charge };
            let charge = Asked { name: format!("usage:{}", asked.name), ..asked.clone() };
            self.enter(&charge, made, kind, cost, -cost);
        }
        let answer = UseAnswer {
            useq: self.consumption.recorded.len() + 1,
            cost: usage.cost,
            charged: charged.is_some(),
            uncharged,
            hold,
            reservation: self.consumption.settle(usage),
            replayed: false,
        };
        let id = made.unwrap_or(RecordId(uuid::Uuid::nil()));
        let recorded = Recorded { id, body: asked.body, asked: usage.clone(), answer: answer.clone() };
        self.consumption.recorded.insert(asked.name.clone(), recorded);
        Verdict::Used(answer)
    }

    /// The ids of usage that is recorded, in order.
    pub fn usage(&self) -> Vec<RecordId> {
        let mut all: Vec<_> =
            self.consumption.recorded.values().map(|made| (made.answer.useq, made.id)).collect();
        all.sort();
        all.into_iter().map(|(_, id)| id).collect()
    }
}
