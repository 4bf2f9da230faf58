use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::super::{Action, Amount, Capture, QuotaCheck, Request, Reserve, Reverse, Usage, usage_transno};
use super::database::Database;
use super::quota::{USERS, limits_of, zone_of};
use super::{CUSTOMERS, POISON};
use crate::domain::prices::{NoPrice, Quote};
use crate::domain::quota::Check;
use crate::model::{
    Clock as _, Currency, CustomerId, GroupId, Kind, Money, RecordId, ReservationState, Timestamp, Transno,
    UsageDetails,
};

const DAY: Duration = Duration::from_hours(24);

/// What a client means to do: one request, several of a batch, or a group.
pub struct Intent {
    pub requests: Vec<Request>,
    pub group: bool,
}

/// The name of a request. Others may share it.
struct Name {
    transno: Transno,
    shared: bool,
}

impl Intent {
    pub fn draw(rng: &mut StdRng, database: &Database, client: u64, nth: u32) -> Self {
        let customer_id =
            |rng: &mut StdRng| CustomerId::parse(&format!("c{}", rng.random_range(0..CUSTOMERS))).unwrap();
        let several = rng.random_bool(0.3);
        let group = several && rng.random_bool(0.5);
        let count = if several { 2 + nth % 3 } else { 1 };
        // Poison within a group is the group's; within a bulk it is one item's alone.
        let poisoned = rng.random_bool(if several { 0.2 } else { 0.05 }).then(|| rng.random_range(0..count));
        // A few names are shared, so that requests meet under them.
        let name = |rng: &mut StdRng, item: u32| {
            let prefix = if poisoned == Some(item) { POISON } else { "t" };
            let shared = !several && rng.random_bool(0.1);
            let text = if shared {
                format!("{prefix}-{}", nth % 2)
            } else {
                format!("{prefix}-{client}-{nth}-{item}")
            };
            Name { transno: Transno::parse(&text).unwrap(), shared }
        };
        let requests = (0..count)
            .map(|item| {
                let customer_id = customer_id(rng);
                let name = name(rng, item);
                let what = match (several, group) {
                    (_, true) => 0,
                    (true, false) if rng.random_bool(0.5) => 0,
                    (true, false) => rng.random_range(9..20),
                    (false, _) if rng.random_bool(0.6) => rng.random_range(0..9),
                    (false, _) => rng.random_range(9..20),
                };
                let action = action(rng, database, &customer_id, name, what);
                let body_hash = Sha256::digest(format!("{customer_id} {action:?}")).into();
                Request { customer_id, body_hash, nonce: None, action }
            })
            .collect();
        Self { requests, group }
    }
}

fn action(rng: &mut StdRng, database: &Database, customer: &CustomerId, name: Name, what: u32) -> Action {
    let transno = name.transno.clone();
    let amount = Money::parse(&rng.random_range(1..25).to_string()).unwrap();
    let book = |transno, kind| Request::booking(customer.clone(), transno, kind, amount).action;
    let rows = database.rows();
    let hold = rows.holds.values().filter(|h| h.customer_id == *customer).map(|h| h.id).next_back();
    let record = rows.records.iter().filter(|r| r.customer_id == *customer).map(|r| r.id).next_back();
    drop(rows);
    match (what, hold, record) {
        (4 | 5, _, _) => {
            // The time of some runs out while the clients are still at it.
            Action::Hold(Reserve {
                transno,
                amount,
                currency: None,
                ttl: ttl(rng),
                user_id: None,
                note: None,
            })
        }
        (6, Some(hold), _) => {
            let amount = rng.random_bool(0.5).then_some(amount);
            Action::Capture(Capture { transno, hold, amount })
        }
        (7, Some(hold), _) => Action::Release(hold),
        (8, _, Some(record)) => {
            let amount = rng.random_bool(0.5).then_some(amount);
            Action::Reverse(Reverse { transno, record, amount, of_any_kind: true, note: None })
        }
        (9..13, _, _) => Action::Usage(Box::new(usage(rng, database, customer, name, hold))),
        (13..18, _, _) => Action::Check(Box::new(check(rng, name))),
        (18, _, _) => match reservation(rng, database, customer) {
            Some((id, _)) => Action::ReleaseQuota(id),
            None => book(transno, Kind::Charge),
        },
        (19, _, _) => match reservation(rng, database, customer) {
            Some((id, _)) => Action::ExtendQuota(id, quota_ttl(rng)),
            None => book(transno, Kind::Charge),
        },
        (3, _, _) => book(transno, Kind::Credit),
        _ => book(transno, Kind::Charge),
    }
}

fn ttl(rng: &mut StdRng) -> Duration {
    let most = if rng.random_bool(0.5) { 100 } else { 2000 };
    Duration::from_millis(rng.random_range(1..most))
}

/// Long enough to be settled, or not.
fn quota_ttl(rng: &mut StdRng) -> Duration {
    let most = if rng.random_bool(0.3) { 100 } else { 5000 };
    Duration::from_millis(rng.random_range(1..most))
}

/// A user, and the other now and then.
fn user(rng: &mut StdRng) -> String {
    USERS[rng.random_range(0..USERS.len())].to_owned()
}

/// Usage. What goes by a shared name is the same usage at times.
fn usage(
    rng: &mut StdRng,
    database: &Database,
    customer: &CustomerId,
    name: Name,
    own_hold: Option<RecordId>,
) -> Usage {
    let same = Usage {
        transno: usage_transno(&name.transno).unwrap(),
        request_id: name.transno,
        details: UsageDetails {
            user_id: Some(USERS[0].to_owned()),
            input_tokens: 3,
            ..UsageDetails::default()
        },
        group_id: None,
        source_node: None,
        event_time: None,
        hold: None,
        reservation: None,
        quota_zone: zone_of(USERS[0]),
        price: Amount::Unquoted(NoPrice::OutOfRange),
    };
    if name.shared && rng.random_bool(0.5) {
        return same;
    }
    let reservation = reservation(rng, database, customer).filter(|_| rng.random_bool(0.8));
    let (reservation, holder) = reservation.unzip();
    let holder = holder.flatten().filter(|_| rng.random_bool(0.9));
    let user_id = holder.or_else(|| rng.random_bool(0.9).then(|| user(rng)));
    let hold = match rng.random_range(0..10) {
        0 => Some(unknown()),
        1..3 => own_hold,
        _ => None,
    };
    let now = database.time.clock.now();
    let event_time = match rng.random_range(0..20) {
        0 => Some(now.plus(DAY)),
        1 => Some(Timestamp::from_seconds(1_000_000_000)),
        2 => Some(now.minus(DAY)),
        3..6 => Some(now.minus(Duration::from_millis(rng.random_range(0..3000)))),
        _ => None,
    };
    Usage {
        quota_zone: zone_of(user_id.as_deref().unwrap_or_default()),
        details: UsageDetails {
            user_id,
            model: rng.random_bool(0.5).then(|| "m".to_owned()),
            input_tokens: rng.random_range(0..8),
            output_tokens: rng.random_range(0..8),
            status_code: Some(if rng.random_bool(0.1) { 500 } else { 200 }),
            ..UsageDetails::default()
        },
        group_id: rng.random_bool(0.5).then(|| GroupId::parse("g").unwrap()),
        event_time,
        hold,
        reservation,
        price: price(rng),
        ..same
    }
}

fn price(rng: &mut StdRng) -> Amount {
    let currency = match rng.random_range(0..10) {
        0..3 => return Amount::Unquoted(NoPrice::NotFound("no program".to_owned())),
        3 => "USD",
        _ => "CNY",
    };
    Amount::Quoted(Box::new(Quote {
        amount: Money::parse(&rng.random_range(0..15).to_string()).unwrap(),
        currency: Currency::parse(currency).unwrap(),
        pricing_id: "p".to_owned(),
        version: 1,
        unrounded: "1".to_owned(),
        arithmetic: "{}".to_owned(),
        model: None,
    }))
}

fn check(rng: &mut StdRng, name: Name) -> QuotaCheck {
    let user_id = user(rng);
    let shared = name.transno.as_str().starts_with('t') && rng.random_bool(0.5);
    let request_id = if shared { Transno::parse("q").unwrap() } else { name.transno };
    QuotaCheck {
        request_id: rng.random_bool(0.5).then_some(request_id),
        check: Check {
            tokens: rng.random_bool(0.8).then(|| rng.random_range(0..17)),
            default_reservation: rng.random_bool(0.5).then_some(3),
            ttl: quota_ttl(rng),
        },
        limits: limits_of(&user_id),
        zone: zone_of(&user_id),
        user_id,
    }
}

/// A reservation and whose it is: mostly one of the customer's that is open, at times one that is closed, or another
/// customer's, or none that there is. `None` where such a one is not to be had.
fn reservation(
    rng: &mut StdRng,
    database: &Database,
    customer: &CustomerId,
) -> Option<(RecordId, Option<String>)> {
    if rng.random_bool(0.05) {
        return Some((unknown(), None));
    }
    let rows = database.rows();
    let (open, own) = (rng.random_bool(0.8), rng.random_bool(0.9));
    let fits: Vec<_> = rows
        .quota_reservations
        .values()
        .filter(|made| !open || made.state == ReservationState::Open)
        .filter(|made| !own || made.customer_id == *customer)
        .collect();
    let made = fits.get(rng.random_range(0..fits.len().max(1)))?;
    Some((made.id, Some(made.user_id.clone())))
}

fn unknown() -> RecordId {
    RecordId(Uuid::from_bytes([9; 16]))
}
