//! How holds are shown.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::booking::Reserved;
use crate::http::schema::{CurrencyText, HoldStateText, IdText, MoneyText, TimeText, TransnoText, UuidText};
use crate::model::{Currency, CustomerId, Hold, HoldState, Money, RecordId, Timestamp, Transno};

/// A hold.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Hold")]
pub struct HoldBody<'a> {
    #[schemars(with = "UuidText")]
    id: RecordId,
    #[schemars(with = "TransnoText")]
    transno: &'a Transno,
    #[schemars(with = "IdText")]
    customer_id: &'a CustomerId,
    user_id: Option<&'a str>,
    #[schemars(with = "MoneyText")]
    amount: Money,
    /// The amount that a capture booked.
    #[schemars(with = "MoneyText")]
    captured: Money,
    #[schemars(with = "CurrencyText")]
    currency: Currency,
    #[schemars(with = "HoldStateText")]
    state: HoldState,
    /// From then on it reserves nothing and cannot be captured.
    #[schemars(with = "TimeText")]
    expires_at: Timestamp,
    #[schemars(with = "TimeText")]
    created_at: Timestamp,
    note: Option<&'a str>,
    /// The balance when it was made; after a release, the current balance.
    #[schemars(with = "MoneyText")]
    balance: Money,
    #[schemars(with = "MoneyText")]
    held: Money,
    #[schemars(with = "MoneyText")]
    available: Money,
    /// Only in answers to POST: whether this was done before.
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed: Option<bool>,
}

impl<'a> HoldBody<'a> {
    /// Of a hold, with the balance that it left when it was made.
    pub fn of(hold: &'a Hold) -> Self {
        Self {
            id: hold.id,
            transno: &hold.transno,
            customer_id: &hold.customer_id,
            user_id: hold.user_id.as_deref(),
            amount: hold.amount,
            captured: hold.captured,
            currency: hold.currency,
            state: hold.state,
            expires_at: hold.expires_at,
            created_at: hold.created_at,
            note: hold.note.as_deref(),
            balance: hold.balance_after,
            held: hold.held_after,
            available: hold.available_after,
            replayed: None,
        }
    }

    /// Of a hold that was just made or released, with its customer's current balance.
    pub fn after(reserved: &'a Reserved) -> Self {
        let body = Self { replayed: Some(reserved.replayed), ..Self::of(&reserved.hold) };
        match &reserved.customer {
            None => body,
            Some(c) => Self { balance: c.balance, held: c.held, available: c.available(), ..body },
        }
    }
}
