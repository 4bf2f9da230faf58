//! What must hold of usage records and reservations, and what clients hear of them.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::super::{Action, Checked, Kept, Outcome, Request, Used, usage_transno};
use super::Told;
use super::check::is_poisonous;
use super::quota::assert_counted;
use super::rows::Rows;
use crate::model::{
    CustomerId, GroupId, HoldState, HoldUse, LimitKind, QuotaReservation, RecordId, ReservationState,
    ReservationUse, Transno, Uncharged, UsageBilling, UsageRecord, UsageSums,
};

/// A name for what came of a request.
pub fn label(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Booked(_) | Outcome::Reserved(_) | Outcome::Expired => "done",
        Outcome::Used(used) if used.replayed => "usage again",
        Outcome::Used(used) => match used.usage.reservation_use {
            None => "usage",
            Some(ReservationUse::Settled) => "usage with a reservation",
            Some(ReservationUse::Unusable) => "usage with an unusable reservation",
        },
        Outcome::Checked(checked) => match checked.admitted {
            Ok(_) if checked.replayed => "admitted before",
            Ok(_) => "admitted",
            Err(LimitKind::DailyTokens) => "above daily_tokens",
            Err(LimitKind::MonthlyTokens) => "above monthly_tokens",
            Err(LimitKind::RequestsPerMinute) => "above requests_per_minute",
            Err(LimitKind::MaxTokensPerRequest) => "above max_tokens_per_request",
            Err(LimitKind::ConcurrentRequests) => "above concurrent_requests",
        },
        Outcome::Kept(kept) if kept.replayed => "reservation closed before",
        Outcome::Kept(kept) if kept.reservation.state == ReservationState::Open => "reservation extended",
        Outcome::Kept(_) => "reservation released",
    }
}

impl Told {
    /// Usage was recorded under this name.
    pub fn used(&mut self, name: (CustomerId, Transno), used: &Used, rows: &Rows) {
        let before = self.used.insert(name, used.usage.id);
        assert!(before.is_none_or(|id| id == used.usage.id), "another than before: {used:?}");
        if used.usage.reservation_use == Some(ReservationUse::Settled) {
            let id = used.usage.reservation_id.unwrap();
            assert_eq!(rows.quota_reservations[&id].state, ReservationState::Settled, "{used:?}");
        }
    }

    /// A check was decided.
    pub fn checked(&mut self, request: &Request, checked: &Checked, rows: &Rows) {
        let Action::Check(asked) = &request.action else { panic!("nobody asked for {checked:?}") };
        match &checked.admitted {
            Ok(made) => {
                assert_eq!((&made.customer_id, &made.user_id), (&request.customer_id, &asked.user_id));
                assert_eq!(made.request_id, asked.request_id);
                self.admitted.insert(made.id);
                // After a lost COMMIT its time may have run out.
                let earlier = checked.replayed || made.state != ReservationState::Open;
                let within = |kind, comes_to, limit| {
                    earlier || kind == LimitKind::MaxTokensPerRequest || comes_to <= limit
                };
                let limits = &checked.limits;
                assert!(limits.iter().all(|s| within(s.kind, s.used + s.reserved, s.limit)), "{checked:?}");
                as_told(made, rows);
            }
            Err(kind) => {
                let state = checked.limits.iter().find(|state| state.kind == *kind).unwrap();
                let takes = match kind {
                    LimitKind::RequestsPerMinute | LimitKind::ConcurrentRequests => 1,
                    _ => asked.check.declared(),
                };
                assert!(state.used + state.reserved + takes > state.limit, "there was room: {checked:?}");
            }
        }
    }
}

/// A reservation was released or extended.
pub fn kept(request: &Request, kept: &Kept, rows: &Rows) {
    let made = &kept.reservation;
    assert_eq!(made.customer_id, request.customer_id);
    match &request.action {
        Action::ReleaseQuota(id) => assert!(made.id == *id && made.state != ReservationState::Open),
        Action::ExtendQuota(id, _) => assert!(made.id == *id && made.state == ReservationState::Open),
        other => panic!("{other:?} came to {kept:?}"),
    }
    as_told(made, rows);
}

/// What was told of a reservation is so, or has been: what is open may close, and later than was said.
fn as_told(told: &QuotaReservation, rows: &Rows) {
    let is = rows.quota_reservations.get(&told.id).unwrap_or_else(|| panic!("lost: {told:?}"));
    assert!(told.state == ReservationState::Open || told.state == is.state, "told {told:?}, is {is:?}");
    assert!(told.expires_at <= is.expires_at, "told {told:?}, is {is:?}");
}

impl Told {
    /// Usage records recompute: their places, their sums, their charges, and what clients were told of them.
    pub fn check_usage(&mut self, rows: &Rows, digest: &mut Sha256) {
        let (mut days, mut totals) = (BTreeMap::new(), BTreeMap::new());
        for usage in &rows.usage {
            assert_charged(rows, usage);
            let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
            let (customer, currency) = (usage.customer_id.to_string(), usage.currency.to_string());
            // Days of UTC.
            let day = usage.event_time.to_string()[..10].to_owned();
            let user = text(usage.details.user_id.as_deref());
            let group = text(usage.group_id.as_ref().map(GroupId::as_str));
            let of_day =
                [customer.clone(), day.clone(), user, group, text(usage.counted_model()), currency.clone()];
            for sums in
                [days.entry(of_day).or_default(), totals.entry([customer, day, currency]).or_default()]
            {
                *sums = UsageSums::checked_add(*sums, UsageSums::of(usage)).unwrap();
            }
            let label = match (usage.hold_use, usage.uncharged) {
                (Some(HoldUse::Captured), _) => Some("usage with a hold"),
                (Some(HoldUse::Released), _) => Some("usage that released a hold"),
                (Some(HoldUse::Unusable), _) => Some("usage with an unusable hold"),
                (None, Some(Uncharged::NoPrice)) => Some("usage without a price"),
                (None, Some(_)) => Some("usage in another currency"),
                (None, None) => None,
            };
            if let Some(label) = label {
                *self.verdicts.entry(label).or_default() += 1;
            }
        }
        assert_eq!(rows.usage_days, days, "usage by day, user, group and model");
        assert_eq!(rows.usage_totals, totals, "usage by day");
        for customer in rows.customers.values() {
            let mut usage: Vec<_> = rows.usage.iter().filter(|u| u.customer_id == customer.id).collect();
            usage.sort_by_key(|usage| usage.useq);
            let places: Vec<_> = usage.iter().map(|usage| usage.useq).collect();
            assert_eq!(places, (1..=customer.last_useq).collect::<Vec<_>>(), "usage of {}", customer.id);
            assert!(usage.is_sorted_by_key(|usage| usage.received_at), "usage of {}: {usage:?}", customer.id);
            let last = usage.last().map(|usage| usage.received_at).unwrap_or_default();
            assert_eq!(customer.last_usage_at, last, "usage of {}", customer.id);
            for usage in &usage {
                digest.update(usage.id.as_bytes());
            }
        }
        let named = |transno: &Transno| transno.as_str().starts_with("usage:");
        let charges: BTreeSet<_> =
            rows.records.iter().filter(|record| named(&record.transno)).map(|record| record.id).collect();
        assert_eq!(charges, rows.usage.iter().filter_map(|usage| usage.record_id).collect());
        for ((customer, transno), id) in &self.used {
            assert_eq!(recorded(rows, customer, transno), [*id], "{customer} {transno}: acknowledged");
        }
        for name @ (customer, transno) in &self.refused {
            // Others may have recorded something under the same name.
            if !self.used.contains_key(name) {
                assert!(recorded(rows, customer, transno).is_empty(), "{customer} {transno}: refused");
            }
        }
    }

    /// Reservations recompute: each was closed once, those that were settled by one usage record, and the counters of
    /// their users are right.
    pub fn check_quota(&mut self, rows: &Rows, digest: &mut Sha256) {
        for subject in rows.tally.subjects() {
            assert_counted(rows, &subject);
        }
        let of_state = |state| rows.quota_reservations.values().filter(move |made| made.state == state);
        assert_eq!(of_state(ReservationState::Open).count(), 0, "due, and left open");
        let expired = of_state(ReservationState::Expired).count();
        if expired > 0 {
            *self.verdicts.entry("reservation expired").or_default() += u32::try_from(expired).unwrap();
        }
        let mut closings = rows.tally.closings.clone();
        closings.sort_unstable();
        let all: Vec<_> = rows.quota_reservations.keys().copied().collect();
        assert_eq!(closings, all, "each reservation was closed once");
        let settling = rows.usage.iter().filter(|u| u.reservation_use == Some(ReservationUse::Settled));
        let mut settled: Vec<_> = settling.filter_map(|usage| usage.reservation_id).collect();
        settled.sort_unstable();
        let expected: Vec<_> = of_state(ReservationState::Settled).map(|made| made.id).collect();
        assert_eq!(settled, expected, "each reservation that is settled was settled by one usage record");
        assert!(self.admitted.iter().all(|id| rows.quota_reservations.contains_key(id)));
        for made in rows.quota_reservations.values() {
            assert!(!made.request_id.as_ref().is_some_and(is_poisonous), "{made:?}");
            digest.update(made.id.as_bytes());
            digest.update(made.state.as_str());
        }
        digest.update(format!("{:?}", rows.quota_counters));
    }
}

/// The ids of usage that is recorded under the name of its charge.
fn recorded(rows: &Rows, customer: &CustomerId, transno: &Transno) -> Vec<RecordId> {
    let named = |usage: &&UsageRecord| {
        usage.customer_id == *customer && usage_transno(&usage.request_id).is_ok_and(|name| name == *transno)
    };
    rows.usage.iter().filter(named).map(|usage| usage.id).collect()
}

/// What a usage record says of its charge and its hold is so.
fn assert_charged(rows: &Rows, usage: &UsageRecord) {
    assert!(!is_poisonous(&usage.request_id), "{usage:?}");
    assert_eq!(usage.total_tokens, usage.details.input_tokens + usage.details.output_tokens);
    assert_eq!(usage.cost.is_none(), usage.unpriced.is_some(), "{usage:?}");
    let customer = &rows.customers[&usage.customer_id];
    assert_eq!(usage.billing, customer.usage_billing);
    let uncharged = match usage.billing {
        UsageBilling::Log => None,
        UsageBilling::Book if usage.cost.is_none() => Some(Uncharged::NoPrice),
        UsageBilling::Book if usage.currency != customer.currency => Some(Uncharged::OtherCurrency),
        UsageBilling::Book => None,
    };
    assert_eq!(usage.uncharged, uncharged, "{usage:?}");
    let is_charged = usage.billing == UsageBilling::Book && uncharged.is_none();
    assert_eq!(usage.record_id, is_charged.then_some(usage.id), "{usage:?}");
    if is_charged {
        let record = rows.records.iter().find(|record| record.id == usage.id).unwrap();
        assert_eq!(Ok(&record.transno), usage_transno(&usage.request_id).as_ref());
        assert_eq!((Some(record.amount), record.body_hash), (usage.cost, usage.body_hash));
        let captured = usage.hold_id.filter(|_| usage.hold_use == Some(HoldUse::Captured));
        assert_eq!(record.hold_id, captured, "{usage:?}");
    }
    let hold = usage.hold_id.and_then(|id| rows.holds.get(&id));
    let state = hold.filter(|hold| hold.customer_id == usage.customer_id).map(|hold| hold.state);
    match usage.hold_use {
        None => assert!(usage.hold_id.is_none()),
        Some(HoldUse::Captured) => assert_eq!(state, Some(HoldState::Captured), "{usage:?}"),
        Some(HoldUse::Released) => assert_eq!(state, Some(HoldState::Released), "{usage:?}"),
        Some(HoldUse::Unusable) => assert_ne!(state, Some(HoldState::Open), "{usage:?}"),
    }
}
