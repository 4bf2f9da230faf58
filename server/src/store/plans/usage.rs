//! Lists of usage, and sums over it.

use super::super::{SumsBy, SumsFilter, SumsOrder, UsageFilter, UsagePosition, Window};
use super::Bench;
use super::fill::{ROWS, cny, customer, hash, id, time};
use crate::model::{
    GroupId, Money, Transno, UsageBilling, UsageDay, UsageDetails, UsageRecord, UsageSums, UsageTotal,
};

/// Half of the records are the first customer's.
pub(super) fn usage(n: i64) -> UsageRecord {
    let (owner, useq) = if n % 2 == 0 { (0, n / 2 + 1) } else { (1 + n / 2 % 50, n / 100 + 1) };
    UsageRecord {
        id: id(n),
        customer_id: customer(owner),
        useq,
        request_id: Transno::parse(&format!("r{n}")).unwrap(),
        details: UsageDetails {
            user_id: Some(format!("user_{}", n % 200)),
            model: Some(format!("model-{}", n % 40)),
            input_tokens: 1,
            output_tokens: 1,
            status_code: Some(if n % 10 == 4 { 500 } else { 200 }),
            ..UsageDetails::default()
        },
        total_tokens: 2,
        group_id: GroupId::parse(&format!("group_{}", n % 20)).ok(),
        source_node: Some(format!("node-{}", n % 4)),
        cost: Money::parse("1").ok(),
        currency: cny(),
        pricing_version: None,
        unrounded: None,
        arithmetic: None,
        unpriced: None,
        billing: UsageBilling::Log,
        uncharged: None,
        record_id: None,
        hold_id: None,
        hold_use: None,
        reservation_id: None,
        reservation_use: None,
        body_hash: hash(n).try_into().unwrap(),
        event_time: time(n),
        received_at: time(n),
    }
}

/// A day in a month, as text.
fn day(n: i64) -> String {
    format!("2026-{:02}-{:02}", 1 + n / 28 % 12, 1 + n % 28)
}

impl Bench {
    /// Fills what only these cases need.
    async fn fill_usage(&self) {
        let sums = UsageSums { requests: 1, cost: 1, ..UsageSums::default() };
        self.rows((0..ROWS).map(usage)).await;
        self.rows((0..ROWS).map(|n| UsageDay {
            customer_id: customer(n % 2 * (1 + n % 50)),
            day: day(n / 50),
            user_id: format!("user_{n}"),
            group_id: format!("group_{}", n % 20),
            model: format!("model-{}", n % 40),
            currency: cny(),
            sums,
        }))
        .await;
        self.rows((0..ROWS).map(|n| UsageTotal {
            customer_id: customer(n % 50),
            day: day(n / 50),
            currency: cny(),
            sums,
        }))
        .await;
    }
}

/// Lists of usage, in what part of them a page looks, and exports.
pub(super) async fn lists_of_usage(bench: &mut Bench) {
    bench.fill_usage().await;
    let whole = UsageFilter::default;
    let (from, to) = (Some(time(100)), Some(time(4500)));
    let text = |text: &str| Some(text.to_owned());
    let filters = [
        ("", whole()),
        (" by user_id", UsageFilter { user_id: text("user_4"), ..whole() }),
        (" by group_id", UsageFilter { group_id: text("group_4"), ..whole() }),
        (" by model", UsageFilter { model: text("model-4"), ..whole() }),
        (" by status_code", UsageFilter { status_code: Some(500), ..whole() }),
        (" by status", UsageFilter { failed: Some(false), ..whole() }),
        (" by source_node", UsageFilter { source_node: text("node-0"), ..whole() }),
        (" by request_id", UsageFilter { request_id: text("r104"), ..whole() }),
        (" of a time", UsageFilter { from, to, ..whole() }),
        (" of an event time", UsageFilter { event_from: from, event_to: to, ..whole() }),
        (" by user_id and status", UsageFilter { user_id: text("user_4"), failed: Some(true), ..whole() }),
        (" by user_id of a time", UsageFilter { user_id: text("user_4"), from, to, ..whole() }),
    ];
    let store = bench.store.clone();
    for (whose, customer_id) in [("of a customer", Some(customer(0))), ("of all", None)] {
        for (by, filter) in &filters {
            let filter = UsageFilter { customer_id: customer_id.clone(), ..filter.clone() };
            let what = format!("usage {whose}{by}");
            bench.list(&what, filter.clone()).await;
            for ascending in [false, true] {
                let after = match customer_id {
                    Some(_) => UsagePosition::Useq(1000),
                    None => UsagePosition::Received(time(2000), customer(0), 1001),
                };
                for after in [None, Some(after)] {
                    let window = Window { after, ascending, limit: 11 };
                    let looking = store.usage_looked_at(&filter, &window, 100);
                    let end = bench.look(&format!("{what}, looked at"), looking).await;
                    let part = filter.up_to(end, ascending);
                    bench.look(&format!("{what}, in part"), store.list(&part, &window)).await;
                }
            }
        }
        let newest = bench.look("usage, newest", store.newest_usage(customer_id.as_ref())).await;
        assert!(newest.is_some());
    }
}

/// Sums over usage.
pub(super) async fn sums_of_usage(bench: &mut Bench) {
    let store = bench.store.clone();
    let whole = |customer_id| SumsFilter {
        customer_id,
        user_id: None,
        group_id: None,
        model: None,
        from: "2026-02-01".to_owned(),
        to: Some("2026-03-01".to_owned()),
    };
    let by = SumsBy::default;
    let all = SumsBy { customer: true, day: true, user: true, group: true, model: true };
    let (own, text) = (whole(Some(customer(0))), |text: &str| Some(text.to_owned()));
    for (what, filter, by) in [
        ("of a customer", own.clone(), by()),
        ("of a customer by day", own.clone(), SumsBy { day: true, ..by() }),
        ("of a customer by user", own.clone(), SumsBy { user: true, ..by() }),
        ("of a customer by all", own.clone(), all),
        ("of a customer's user", SumsFilter { user_id: text("user_1500"), to: None, ..own.clone() }, by()),
        ("of a customer's group", SumsFilter { group_id: text("group_4"), to: None, ..own.clone() }, by()),
        ("of a customer's model", SumsFilter { model: text("model-4"), to: None, ..own }, by()),
        ("of all", whole(None), by()),
        ("of all by customer", whole(None), SumsBy { customer: true, ..by() }),
        ("of all by day", SumsFilter { to: None, ..whole(None) }, SumsBy { day: true, ..by() }),
    ] {
        for order in [SumsOrder::Keys, SumsOrder::Tokens, SumsOrder::Cost, SumsOrder::Requests] {
            let sums = store.usage_sums(&filter, by, order, 10);
            let rows = bench.look(&format!("usage sums {what}"), sums).await;
            assert!(!rows.is_empty(), "{what}");
        }
    }
}
