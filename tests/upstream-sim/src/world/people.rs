//! Customers, their users and their balances. Every name is made of generic words; nobody real is meant.

use serde::Serialize;

use super::World;
use super::ids::{Kind, mix};
use crate::clock::rfc3339;

const NICKS: [&str; 16] = [
    "晨光", "青山", "流云", "星河", "竹影", "清泉", "松风", "远帆", "River", "Maple", "Harbor", "Ember",
    "Willow", "Comet", "Pebble", "Lantern",
];

/// A row of `users`, with the columns of `users_cache`.
#[derive(Debug, Serialize)]
pub struct UserRow {
    id: String,
    username: String,
    nick_name: String,
    email: String,
    mobile: Option<String>,
    orgid: String,
    orgname: String,
    user_status: &'static str,
    sync_from: Option<&'static str>,
    created_at: String,
}

/// A row of `balances`, with the columns of `customer_balance` that the platform knows.
#[derive(Debug, Serialize)]
pub struct BalanceRow {
    id: String,
    customer_id: String,
    balance: String,
    currency: &'static str,
    credit_limit: &'static str,
    status: &'static str,
}

/// 2025-01-01T00:00:00Z; accounts were opened in the year after it.
const FIRST_ACCOUNT_S: i64 = 1_735_689_600;
const YEAR_S: u64 = 365 * 86_400;

pub(super) fn user(world: &World, index: u64, revision: u32) -> UserRow {
    let dice = mix(world.counts.seed ^ mix(index));
    let customer = index % world.counts.customers.max(1);
    let nick = NICKS[(dice % 16) as usize];
    UserRow {
        id: world.id_of(Kind::User, index),
        username: format!("user-{:06}", index + 1),
        nick_name: if revision == 0 {
            format!("{nick}{:03}", index % 1000)
        } else {
            format!("{nick} v{revision}")
        },
        email: format!("user-{:06}@example.com", index + 1),
        // No country has the calling code 999.
        mobile: (dice >> 8).is_multiple_of(3).then(|| format!("+999{:08}", index % 100_000_000)),
        orgid: world.id_of(Kind::Customer, customer),
        orgname: customer_name(customer),
        user_status: if index % 50 == 49 { "1" } else { "0" },
        sync_from: (index % 20 == 13).then_some("app_demo_0001"),
        created_at: rfc3339((FIRST_ACCOUNT_S + ((dice >> 16) % YEAR_S) as i64) * 1_000_000),
    }
}

pub(super) fn balance(world: &World, index: u64, revision: u32) -> BalanceRow {
    let id = world.id_of(Kind::Customer, index);
    let whole = mix(world.counts.seed ^ index) % 100_000;
    BalanceRow {
        customer_id: id.clone(),
        id,
        balance: format!("{}.{:02}", whole + u64::from(revision), index % 100),
        currency: "CNY",
        credit_limit: if index % 4 == 3 { "500" } else { "0" },
        status: if index % 10 == 9 { "suspended" } else { "active" },
    }
}

fn customer_name(customer: u64) -> String {
    if customer.is_multiple_of(2) {
        format!("示例企业 {:04}", customer + 1)
    } else {
        format!("Example Works {:04}", customer + 1)
    }
}
