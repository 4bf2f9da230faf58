//! The bodies that make, capture and release holds.

use std::time::Duration;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::json;

use crate::domain::Error;
use crate::domain::booking::{Action, Capture, MAX_HOLD, Request, Reserve};
use crate::http::body::{Object, required};
use crate::http::call::Call;
use crate::http::endpoints::transno::{request_hash, transno};
use crate::http::schema::{self, CurrencyText, IdText, MoneyText};
use crate::model::{Currency, CustomerId, Money, RecordId};

/// How long a hold lasts that does not say so, in seconds.
const DEFAULT_TTL_S: i64 = 600;

/// The schema of the body of POST /holds.
pub fn reserve_schema(g: &mut SchemaGenerator) -> Schema {
    let (id, money, currency) =
        (g.subschema_for::<IdText>(), g.subschema_for::<MoneyText>(), g.subschema_for::<CurrencyText>());
    let schema = json!({
        "type": "object", "additionalProperties": false,
        "description": "Required are transno, here or as the header Idempotency-Key, and amount.",
        "properties": {
            "transno": schema::client_name(), "customer_id": id, "amount": money, "currency": currency,
            "ttl_s": { "type": "integer", "format": "int64", "minimum": 1, "maximum": 86_400, "default": 600 },
            "user_id": id, "note": { "type": "string", "maxLength": 1024 },
        },
    });
    schema::defined(g, "Reserve", schema)
}

/// The schema of the body of POST /holds/{id}/capture.
pub fn capture_schema(g: &mut SchemaGenerator) -> Schema {
    let money = g.subschema_for::<MoneyText>();
    let schema = json!({
        "type": "object", "additionalProperties": false,
        "description": "Without an amount the whole hold is captured; an amount above the hold needs sufficient funds.",
        "properties": { "transno": schema::client_name(), "amount": money },
    });
    schema::defined(g, "Capture", schema)
}

/// The schema of the body of POST /holds/{id}/release.
pub fn release_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "additionalProperties": false })
}

/// Reads the body of POST /holds.
pub fn read_reserve(call: &Call<'_>) -> Result<Request, Error> {
    let mut body = Object::parse(&call.body)?;
    let transno = transno(&mut body, call.headers);
    let customer_id = body.customer("customer_id");
    let amount = body.amount("amount", false);
    if amount.is_none() && !body.has_wrong_amount() {
        body.refuse("amount", "is required");
    }
    let currency = body.currency("currency");
    let most = i64::try_from(MAX_HOLD.as_secs()).unwrap_or(i64::MAX);
    let ttl_s = body.integer("ttl_s", 1, most).unwrap_or(DEFAULT_TTL_S);
    let user_id = body.text_id("user_id");
    let note = body.note();
    body.finish()?;
    let customer_id = call.one_customer(customer_id.as_ref())?;
    let (transno, amount) = (required(transno)?, required(amount)?);
    let mut hash = request_hash("hold", &customer_id);
    hash.text(Some(transno.as_str()));
    hash.number(Some(amount.nanos()));
    hash.text(currency.as_ref().map(Currency::as_str));
    hash.number(Some(ttl_s));
    hash.text(user_id.as_deref());
    hash.text(note.as_deref());
    let ttl = Duration::from_secs(u64::try_from(ttl_s).unwrap_or(0));
    let action = Action::Hold(Reserve { transno, amount, currency, ttl, user_id, note });
    Ok(Request { customer_id, body_hash: hash.finish(), nonce: call.nonce(), action })
}

/// Reads the body of POST /holds/{id}/capture, for a hold of this customer.
pub fn read_capture(call: &Call<'_>, hold: RecordId, customer_id: CustomerId) -> Result<Request, Error> {
    let mut body = Object::parse(&call.body)?;
    let transno = transno(&mut body, call.headers);
    let amount = body.amount("amount", false);
    body.finish()?;
    let transno = required(transno)?;
    let mut hash = request_hash("capture", &customer_id);
    hash.text(Some(transno.as_str()));
    hash.option(Some(hold.as_bytes()));
    hash.number(amount.map(Money::nanos));
    let action = Action::Capture(Capture { transno, hold, amount });
    Ok(Request { customer_id, body_hash: hash.finish(), nonce: call.nonce(), action })
}

/// Reads the body of POST /holds/{id}/release, for a hold of this customer: none, or an empty object.
pub fn read_release(call: &Call<'_>, hold: RecordId, customer_id: CustomerId) -> Result<Request, Error> {
    if !call.body.is_empty() {
        Object::parse(&call.body)?.finish()?;
    }
    Ok(Request { customer_id, body_hash: [0; 32], nonce: call.nonce(), action: Action::Release(hold) })
}
