//! The answers to bookings.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Value, json};

use crate::domain::Error;
use crate::domain::booking::Booked;
use crate::http::endpoints::pricing::PricedBody;
use crate::http::respond::Answer;
use crate::http::schema::{self, CurrencyText, IdText, KindText, MoneyText, TimeText, TransnoText, UuidText};
use crate::model::{Currency, CustomerId, Kind, Money, Record, RecordId, Timestamp, Transno};

/// The status of a record that was just booked.
const ACCOUNTED: &str = "accounted";

/// The answer to a booking.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Booked")]
pub struct BookedBody<'a> {
    #[schemars(with = "UuidText")]
    id: RecordId,
    seq: i64,
    #[schemars(with = "TransnoText")]
    transno: &'a Transno,
    #[schemars(with = "IdText")]
    customer_id: &'a CustomerId,
    #[schemars(with = "KindText")]
    kind: Kind,
    #[schemars(with = "MoneyText")]
    amount: Money,
    #[schemars(with = "CurrencyText")]
    currency: Currency,
    /// The balance right after this booking.
    #[schemars(with = "MoneyText")]
    balance: Money,
    #[schemars(with = "MoneyText")]
    held: Money,
    #[schemars(with = "MoneyText")]
    available: Money,
    status: &'static str,
    /// Whether the transno was booked before, and this repeats the first answer.
    replayed: bool,
    #[schemars(with = "TimeText")]
    created_at: Timestamp,
    /// How the amount was computed, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pricing: Option<PricedBody<'a>>,
}

impl<'a> BookedBody<'a> {
    /// The answer to a booking of one record: 201, or 200 for a repetition.
    pub fn created(booked: &'a Booked) -> Result<Answer, Error> {
        let location = format!("/api/v1/accounting/{}", booked.record.id);
        Answer::created(&Self::of(&booked.record, booked.replayed), location, booked.replayed)
    }

    /// Of a record that was booked, now or before.
    pub fn of(record: &'a Record, replayed: bool) -> Self {
        Self {
            id: record.id,
            seq: record.seq,
            transno: &record.transno,
            customer_id: &record.customer_id,
            kind: record.kind,
            amount: record.amount,
            currency: record.currency,
            balance: record.balance_after,
            held: record.held_after,
            available: record.available_after,
            status: ACCOUNTED,
            replayed,
            created_at: record.created_at,
            pricing: PricedBody::of(record),
        }
    }
}

/// The outcome that a booking would have.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Preview")]
pub struct PreviewBody<'a> {
    /// Always true: nothing was booked.
    dry_run: bool,
    #[schemars(with = "TransnoText")]
    transno: &'a Transno,
    #[schemars(with = "IdText")]
    customer_id: &'a CustomerId,
    #[schemars(with = "KindText")]
    kind: Kind,
    #[schemars(with = "MoneyText")]
    amount: Money,
    #[schemars(with = "CurrencyText")]
    currency: Currency,
    /// The balance that would remain.
    #[schemars(with = "MoneyText")]
    balance: Money,
    #[schemars(with = "MoneyText")]
    held: Money,
    #[schemars(with = "MoneyText")]
    available: Money,
    /// Whether the transno was booked before, so that booking would repeat that answer.
    replayed: bool,
    /// How the amount was computed, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pricing: Option<PricedBody<'a>>,
}

impl<'a> PreviewBody<'a> {
    /// Of a booking that was decided and not made.
    pub fn of(booked: &'a Booked) -> Self {
        let record = &booked.record;
        Self {
            dry_run: true,
            transno: &record.transno,
            customer_id: &record.customer_id,
            kind: record.kind,
            amount: record.amount,
            currency: record.currency,
            balance: record.balance_after,
            held: record.held_after,
            available: record.available_after,
            replayed: booked.replayed,
            pricing: PricedBody::of(record),
        }
    }
}

/// The schema of the answer to a booking that was made before or only previewed: what both have is required.
pub fn booked_or_preview_schema(g: &mut SchemaGenerator) -> Schema {
    let (booked, preview) = (g.subschema_for::<BookedBody<'_>>(), g.subschema_for::<PreviewBody<'_>>());
    let of = |schema: &Schema| {
        let name = schema.get("$ref").and_then(Value::as_str).unwrap_or_default();
        let name = name.trim_start_matches("#/components/schemas/");
        let schema = g.definitions().get(name).cloned().unwrap_or_default();
        let properties = schema["properties"].as_object().cloned().unwrap_or_default();
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        (properties, required)
    };
    let ((mut properties, required), (others, also_required)) = (of(&booked), of(&preview));
    g.definitions_mut().remove("Preview");
    let required: Vec<_> = required.into_iter().filter(|name| also_required.contains(name)).collect();
    for (name, schema) in others {
        properties.entry(name).or_insert(schema);
    }
    let schema = json!({
        "type": "object", "properties": properties, "required": required,
        "description": "A Booked, or with dry_run a Preview, which has dry_run and no id.",
    });
    schema::defined(g, "BookedOrPreview", schema)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::endpoints::accounting::test_record as record;

    #[test]
    fn a_booking_answers_with_the_balance_after_it() {
        let json = serde_json::to_value(BookedBody::of(&record(), true)).unwrap();
        assert_eq!(
            json,
            json!({
                "id": "00000000-0000-0000-0000-000000000007", "seq": 3, "transno": "t-1", "customer_id": "c-1",
                "kind": "charge", "amount": "1.5", "currency": "CNY", "balance": "8.5", "held": "0",
                "available": "8.5", "status": "accounted", "replayed": true,
                "created_at": "1970-01-01T00:00:02.000000Z",
            })
        );
    }

    #[test]
    fn a_computed_amount_shows_its_arithmetic() {
        let mut record = Record {
            pricing_version: Some(4),
            unrounded: Some("1.5000001".into()),
            arithmetic: Some(r#"{"scale":6,"lines":[{"unit_price":"1.50"}]}"#.into()),
            ..record()
        };
        record.details.pricing_id = Some("p".into());
        let pricing = serde_json::to_value(BookedBody::of(&record, false)).unwrap()["pricing"].clone();
        assert_eq!(
            pricing,
            json!({
                "pricing_id": "p", "version": 4, "unrounded": "1.5000001",
                "arithmetic": {"scale": 6, "lines": [{"unit_price": "1.50"}]},
            })
        );
        let named = Record { arithmetic: None, ..record };
        assert!(serde_json::to_value(BookedBody::of(&named, false)).unwrap().get("pricing").is_none());
    }
}
