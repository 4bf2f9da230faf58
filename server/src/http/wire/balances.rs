use schemars::JsonSchema;
use serde::Serialize;

use super::schema::{CurrencyText, IdText, MoneyText, TimeText};
use crate::domain::balances::BalanceView;
use crate::model::{Currency, Customer, CustomerId, CustomerStatus, Money, Timestamp};

/// A customer's balance.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Balance")]
pub struct BalanceBody<'a> {
    #[schemars(with = "IdText")]
    customer_id: &'a CustomerId,
    #[schemars(with = "MoneyText")]
    balance: Money,
    /// Sum of the open holds; with `at`: of those that were open then.
    #[schemars(with = "MoneyText")]
    held: Money,
    /// balance + credit_limit - held.
    #[schemars(with = "MoneyText")]
    available: Money,
    /// Today's, with `at` too.
    #[schemars(with = "MoneyText")]
    credit_limit: Money,
    #[schemars(with = "CurrencyText")]
    currency: Currency,
    /// Today's, with `at` too.
    #[schemars(with = "super::schema::StatusText")]
    status: CustomerStatus,
    /// seq of the customer's newest record; with `at`: of the newest one booked until then, 0 if there was none.
    seq: i64,
    /// Rises with every change. Today's, with `at` too.
    version: i64,
    /// When this was true; with `at`: that instant.
    #[schemars(with = "TimeText")]
    as_of: Timestamp,
    /// Where it was read: cache or database; with `at`: ledger.
    source: &'static str,
    /// true when the balance is below zero.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    arrears: bool,
    /// true when the database could not be asked and this is an earlier answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

impl<'a> BalanceBody<'a> {
    /// Of a balance as read.
    pub fn of(view: &'a BalanceView) -> Self {
        Self::of_customer(&view.customer, view)
    }

    /// Of what was there at an instant; `view` is the customer today, and `then` as it was.
    pub fn at(view: &'a BalanceView, then: &'a Customer, at: Timestamp) -> Self {
        Self { as_of: at, source: "ledger", ..Self::of_customer(then, view) }
    }

    fn of_customer(customer: &'a Customer, view: &BalanceView) -> Self {
        Self {
            customer_id: &customer.id,
            balance: customer.balance,
            held: customer.held,
            available: customer.available(),
            credit_limit: customer.credit_limit,
            currency: customer.currency,
            status: customer.status,
            seq: customer.last_seq,
            version: customer.version,
            as_of: view.as_of,
            source: view.source,
            arrears: customer.balance.is_negative(),
            stale: view.stale,
        }
    }
}
