//! How usage is shown.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::booking::Used;
use crate::http::endpoints::pricing::{PricedBody, raw_json};
use crate::http::schema::{
    CurrencyText, HoldUseText, IdText, MoneyText, QuantitiesObject, ReservationUseText, TimeText,
    TransnoText, UnchargedText, UsageBillingText, UuidText,
};
use crate::model::{
    Currency, CustomerId, GroupId, HoldUse, Money, RecordId, ReservationUse, Timestamp, Transno, Uncharged,
    UsageBilling, UsageRecord,
};

/// A usage record.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Usage")]
pub struct UsageBody<'a> {
    #[schemars(with = "UuidText")]
    id: RecordId,
    /// Rises by one with each record of the customer.
    useq: i64,
    #[schemars(with = "TransnoText")]
    request_id: &'a Transno,
    #[schemars(with = "IdText")]
    customer_id: &'a CustomerId,
    #[schemars(with = "Option<IdText>")]
    user_id: Option<&'a str>,
    /// The group whose limits counted for the user at that moment.
    #[schemars(with = "Option<IdText>")]
    group_id: Option<&'a GroupId>,
    #[schemars(with = "Option<IdText>")]
    model: Option<&'a str>,
    #[schemars(with = "Option<IdText>")]
    actual_model: Option<&'a str>,
    #[schemars(with = "Option<IdText>")]
    llmid: Option<&'a str>,
    input_tokens: i64,
    output_tokens: i64,
    total_tokens: i64,
    #[schemars(with = "Option<QuantitiesObject>")]
    usage: Option<&'a RawValue>,
    is_streaming: Option<bool>,
    upstream_url: Option<&'a str>,
    status_code: Option<i64>,
    duration_ms: Option<i64>,
    /// The edge that reported it.
    #[schemars(with = "Option<IdText>")]
    source_node: Option<&'a str>,
    /// null without a price.
    #[schemars(with = "Option<MoneyText>")]
    cost: Option<Money>,
    #[schemars(with = "CurrencyText")]
    currency: Currency,
    /// How the cost was computed. Of a record that was charged, the ledger's record has it.
    pricing: Option<PricedBody<'a>>,
    /// Why it has no price.
    unpriced: Option<&'a str>,
    #[schemars(with = "UsageBillingText")]
    billing: UsageBilling,
    /// Why it was not charged, though the customer's usage is.
    #[schemars(with = "Option<UnchargedText>")]
    uncharged: Option<Uncharged>,
    /// The record of its charge in the ledger.
    #[schemars(with = "Option<UuidText>")]
    record_id: Option<RecordId>,
    #[schemars(with = "Option<UuidText>")]
    hold: Option<RecordId>,
    #[schemars(with = "Option<HoldUseText>")]
    hold_use: Option<HoldUse>,
    #[schemars(with = "Option<UuidText>")]
    reservation: Option<RecordId>,
    #[schemars(with = "Option<ReservationUseText>")]
    reservation_use: Option<ReservationUse>,
    #[schemars(with = "TimeText")]
    event_time: Timestamp,
    #[schemars(with = "TimeText")]
    received_at: Timestamp,
}

impl<'a> UsageBody<'a> {
    /// Of a record.
    pub fn of(usage: &'a UsageRecord) -> Self {
        let details = &usage.details;
        Self {
            id: usage.id,
            useq: usage.useq,
            request_id: &usage.request_id,
            customer_id: &usage.customer_id,
            user_id: details.user_id.as_deref(),
            group_id: usage.group_id.as_ref(),
            model: details.model.as_deref(),
            actual_model: details.actual_model.as_deref(),
            llmid: details.llmid.as_deref(),
            input_tokens: details.input_tokens,
            output_tokens: details.output_tokens,
            total_tokens: usage.total_tokens,
            usage: details.usage.as_deref().and_then(raw_json),
            is_streaming: details.is_streaming,
            upstream_url: details.upstream_url.as_deref(),
            status_code: details.status_code,
            duration_ms: details.duration_ms,
            source_node: usage.source_node.as_deref(),
            cost: usage.cost,
            currency: usage.currency,
            pricing: PricedBody::of_usage(usage),
            unpriced: usage.unpriced.as_deref(),
            billing: usage.billing,
            uncharged: usage.uncharged,
            record_id: usage.record_id,
            hold: usage.hold_id,
            hold_use: usage.hold_use,
            reservation: usage.reservation_id,
            reservation_use: usage.reservation_use,
            event_time: usage.event_time,
            received_at: usage.received_at,
        }
    }

    /// How the cost was computed, as JSON.
    pub fn pricing_text(&self) -> Option<String> {
        self.pricing.as_ref().and_then(|pricing| serde_json::to_string(pricing).ok())
    }
}

/// The answer to recording usage.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RecordedUsage")]
pub struct UsedBody<'a> {
    #[serde(flatten)]
    usage: UsageBody<'a>,
    /// Whether the request_id was recorded before, and this repeats the first answer.
    replayed: bool,
}

impl<'a> UsedBody<'a> {
    /// Of a record, made now or before.
    pub fn of(used: &'a Used) -> Self {
        Self { usage: UsageBody::of(&used.usage), replayed: used.replayed }
    }
}
