//! What usage and quotas leave in the tables.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use sageapi_server::model::Customer;

use super::ledger::Account;
use super::usage::{Sums, USERS};
use crate::Db;

/// The tables of usage and quotas hold what the model says of a customer.
pub async fn compare_usage(db: &Db, row: &Customer, account: &Account) -> Result<(), TestCaseError> {
    let (id, consumption) = (&row.id, &account.consumption);
    let select = |columns: &str, table: &str, rest: &str| {
        format!("SELECT {columns} FROM {table} WHERE customer_id = '{id}' {rest}")
    };
    let usage = db.database.texts(&select("HEX(id)", "usage_logs", "ORDER BY useq")).await;
    let expected: Vec<_> = account.usage().iter().map(|id| format!("{:X}", id.0.simple())).collect();
    prop_assert_eq!(row.last_useq, i64::try_from(usage.len()).unwrap());
    prop_assert_eq!(usage, expected);
    let useqs = db.database.ints(&select("useq", "usage_logs", "ORDER BY useq")).await;
    prop_assert!((1..).zip(&useqs).all(|(place, useq)| useq[0] == Some(place)), "{:?}", useqs);
    for (currency, foreign) in [("CNY", false), ("USD", true)] {
        let by_user = consumption.sums(foreign);
        let sums = "requests, input_tokens + output_tokens, cost, unpriced";
        let of_currency = format!("AND currency = '{currency}'");
        let mut found = BTreeMap::new();
        for user in [""].iter().chain(&USERS) {
            let rest = format!("{of_currency} AND user_id = '{user}'");
            let rows = db.database.ints(&select(sums, "usage_daily", &rest)).await;
            if !rows.is_empty() {
                found.insert((*user).to_owned(), total(&rows));
            }
        }
        prop_assert_eq!(&found, &by_user, "usage by day in {}", currency);
        let rows = db.database.ints(&select(sums, "usage_totals", &of_currency)).await;
        let all = by_user.values().fold(Sums::default(), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2, a.3 + b.3));
        prop_assert_eq!(total(&rows), all, "totals in {}", currency);
    }
    for (user, name) in USERS.iter().enumerate() {
        let (used, reserved) = (consumption.used(user), consumption.reserved(user));
        for (kind, expected) in [
            ("day", (used, reserved)),
            ("month", (used, reserved)),
            ("live", (0, consumption.open_count(user))),
        ] {
            let rest = format!("AND user_id = '{name}' AND kind = '{kind}'");
            let rows = db.database.ints(&select("used, reserved", "quota_counters", &rest)).await;
            prop_assert!(rows.len() <= 1, "{} rows of {}", rows.len(), kind);
            let found = rows.first().map_or((0, 0), |row| (row[0].unwrap(), row[1].unwrap()));
            prop_assert_eq!(found, expected, "{} of {}", kind, name);
        }
    }
    let ids = db.database.texts(&select("HEX(id)", "quota_reservations", "ORDER BY id")).await;
    let states = db.database.texts(&select("state", "quota_reservations", "ORDER BY id")).await;
    let expected =
        consumption.states().into_iter().map(|(id, state)| (format!("{:X}", id.0.simple()), state));
    prop_assert_eq!(ids.into_iter().zip(states).collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    Ok(())
}

fn total(rows: &[Vec<Option<i64>>]) -> Sums {
    let sum = |column: usize| rows.iter().filter_map(|row| row[column]).sum::<i64>();
    (usize::try_from(sum(0)).unwrap(), sum(1), sum(2), usize::try_from(sum(3)).unwrap())
}
