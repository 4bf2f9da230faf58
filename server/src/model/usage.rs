//! What users consume.

use super::customer::text_enum;
use super::{Currency, CustomerId, GroupId, Money, RecordId, Timestamp, Transno, UsageBilling};

text_enum!(
    /// What became of the hold that a usage record names.
    HoldUse {
        /// The charge settled it.
        Captured = "captured",
        /// It was released: nothing was charged.
        Released = "released",
        /// It was closed, unknown or another customer's: an ordinary charge was booked.
        Unusable = "unusable",
    }
);

text_enum!(
    /// What became of the reservation that a usage record names.
    ReservationUse {
        /// It was settled.
        Settled = "settled",
        /// It was closed, unknown or another subject's: the usage counts without one.
        Unusable = "unusable",
    }
);

text_enum!(
    /// Why a usage record that should be charged was not.
    Uncharged {
        /// It has no price.
        NoPrice = "no_price",
        /// Its price is in another currency than the customer's.
        OtherCurrency = "other_currency",
        /// The price, or the balance that it would lead to, is beyond the range of money.
        OutOfRange = "out_of_range",
    }
);

/// What was used, as the caller tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsageDetails {
    /// The person who used it.
    pub user_id: Option<String>,
    /// The model that was asked for.
    pub model: Option<String>,
    /// The model that answered, if another.
    pub actual_model: Option<String>,
    /// The model's id.
    pub llmid: Option<String>,
    /// The pricing program: the one named, or the one that made the cost.
    pub pricing_id: Option<String>,
    /// Tokens in.
    pub input_tokens: i64,
    /// Tokens out.
    pub output_tokens: i64,
    /// A JSON object of quantities by factor, and of texts that price lists ask for.
    pub usage: Option<String>,
    /// Whether the answer was streamed.
    pub is_streaming: Option<bool>,
    /// Where it was answered.
    pub upstream_url: Option<String>,
    /// The status of the answer.
    pub status_code: Option<i64>,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i64>,
}

/// One request of a user: a row of `usage_logs`. Never rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRecord {
    /// Names the record everywhere; a charge booked for it has the same id.
    pub id: RecordId,
    /// Whose usage.
    pub customer_id: CustomerId,
    /// Rises by one with each record of the customer.
    pub useq: i64,
    /// The caller's name for the request, unique within the customer.
    pub request_id: Transno,
    /// What was used.
    pub details: UsageDetails,
    /// The sum of both kinds of tokens.
    pub total_tokens: i64,
    /// The group whose limits counted for the user at that moment.
    pub group_id: Option<GroupId>,
    /// The node that reported it, if an edge did.
    pub source_node: Option<String>,
    /// What it costs; `None` without a price.
    pub cost: Option<Money>,
    /// Of the cost; the customer's without a price.
    pub currency: Currency,
    /// The version of the price list.
    pub pricing_version: Option<i64>,
    /// The cost before it was rounded.
    pub unrounded: Option<String>,
    /// How the cost was computed, as JSON. A record that was charged has it in the ledger.
    pub arithmetic: Option<String>,
    /// Why it has no price.
    pub unpriced: Option<String>,
    /// What the customer's usage does to its balance.
    pub billing: UsageBilling,
    /// Why it was not charged though it should be.
    pub uncharged: Option<Uncharged>,
    /// The ledger's record of its charge.
    pub record_id: Option<RecordId>,
    /// The hold that the caller named.
    pub hold_id: Option<RecordId>,
    /// What became of that.
    pub hold_use: Option<HoldUse>,
    /// The reservation that the caller named.
    pub reservation_id: Option<RecordId>,
    /// What became of that.
    pub reservation_use: Option<ReservationUse>,
    /// SHA-256 of the request as parsed.
    pub body_hash: [u8; 32],
    /// When it happened.
    pub event_time: Timestamp,
    /// When it was stored, by the database's clock; never falls within a customer.
    pub received_at: Timestamp,
}

impl UsageRecord {
    /// The model that counts: the one that answered, else the one asked for.
    pub fn counted_model(&self) -> Option<&str> {
        self.details.actual_model.as_deref().or(self.details.model.as_deref())
    }

    /// Whether the request failed: a status of 400 or more.
    pub fn is_error(&self) -> bool {
        self.details.status_code.is_some_and(|status| status >= 400)
    }
}

/// Sums over usage records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UsageSums {
    /// How many there are.
    pub requests: i64,
    /// How many of them failed.
    pub errors: i64,
    /// Tokens in.
    pub input_tokens: i64,
    /// Tokens out.
    pub output_tokens: i64,
    /// What they cost, in 10^-9 units.
    pub cost: i64,
    /// How many of them have no price.
    pub unpriced: i64,
}

impl UsageSums {
    /// The sums over one record.
    pub fn of(record: &UsageRecord) -> Self {
        Self {
            requests: 1,
            errors: i64::from(record.is_error()),
            input_tokens: record.details.input_tokens,
            output_tokens: record.details.output_tokens,
            cost: record.cost.map_or(0, Money::nanos),
            unpriced: i64::from(record.cost.is_none()),
        }
    }

    /// Both together; `None` beyond 64 bits.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            requests: self.requests.checked_add(other.requests)?,
            errors: self.errors.checked_add(other.errors)?,
            input_tokens: self.input_tokens.checked_add(other.input_tokens)?,
            output_tokens: self.output_tokens.checked_add(other.output_tokens)?,
            cost: self.cost.checked_add(other.cost)?,
            unpriced: self.unpriced.checked_add(other.unpriced)?,
        })
    }
}

/// The usage of a day by user, group and model: a row of `usage_daily`. Absent parts are empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageDay {
    /// Whose usage.
    pub customer_id: CustomerId,
    /// The day of the events, as `2026-05-28`.
    pub day: String,
    /// The user.
    pub user_id: String,
    /// The user's group at that moment.
    pub group_id: String,
    /// The model that counts.
    pub model: String,
    /// The currency of the cost.
    pub currency: Currency,
    /// The sums.
    pub sums: UsageSums,
}

/// The usage of a customer's day: a row of `usage_totals`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageTotal {
    /// Whose usage.
    pub customer_id: CustomerId,
    /// The day of the events, as `2026-05-28`.
    pub day: String,
    /// The currency of the cost.
    pub currency: Currency,
    /// The sums.
    pub sums: UsageSums,
}
