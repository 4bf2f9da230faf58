use schemars::JsonSchema;
use serde::Serialize;

use super::schema::{CurrencyText, IdText, MoneyText, TimeText};
use crate::env::BalanceView;
use crate::model::{Currency, CustomerId, CustomerStatus, Money, Timestamp};

/// A customer's balance.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Balance")]
pub struct BalanceBody<'a> {
    #[schemars(with = "IdText")]
    customer_id: &'a CustomerId,
    #[schemars(with = "MoneyText")]
    balance: Money,
    /// Sum of the open holds.
    #[schemars(with = "MoneyText")]
    held: Money,
    /// balance + credit_limit - held.
    #[schemars(with = "MoneyText")]
    available: Money,
    #[schemars(with = "MoneyText")]
    credit_limit: Money,
    #[schemars(with = "CurrencyText")]
    currency: Currency,
    #[schemars(with = "super::schema::StatusText")]
    status: CustomerStatus,
    /// seq of the customer's newest record.
    seq: i64,
    /// Rises with every change.
    version: i64,
    /// When this was true.
    #[schemars(with = "TimeText")]
    as_of: Timestamp,
    /// Where it was read: cache or database.
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
        let customer = &view.customer;
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
