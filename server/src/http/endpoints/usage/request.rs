//! The body of POST /usage.

use schemars::{Schema, SchemaGenerator};
use serde_json::json;

use crate::domain::Error;
use crate::domain::booking::{Request, Usage};
use crate::http::body::{Object, required};
use crate::http::call::Call;
use crate::http::schema::{self, IdText, QuantitiesObject, TimeText, UuidText};
use crate::model::{CustomerId, RecordId, Transno, UsageDetails};

/// The longest address of an upstream, in characters.
const MAX_URL: usize = 1024;
/// A day, in milliseconds.
const MAX_DURATION_MS: i64 = 86_400_000;

/// The schema of the body of POST /usage.
pub fn usage_schema(g: &mut SchemaGenerator) -> Schema {
    let (id, uuid) = (g.subschema_for::<IdText>(), g.subschema_for::<UuidText>());
    let (time, quantities) = (g.subschema_for::<TimeText>(), g.subschema_for::<QuantitiesObject>());
    let tokens = schema::tokens();
    let schema = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["request_id"],
        "description": "It is priced by pricing_id or llmid, else by actual_model, else by model, on the day of event_time. \
                        Usage without a price is recorded too. Null means absent.",
        "properties": {
            "request_id": schema::client_name(), "customer_id": id, "user_id": id, "model": id, "actual_model": id,
            "llmid": id, "pricing_id": id, "input_tokens": tokens, "output_tokens": tokens, "usage": quantities,
            "is_streaming": { "type": "boolean" },
            "upstream_url": { "type": "string", "maxLength": MAX_URL },
            "status_code": schema::status(),
            "duration_ms": { "type": "integer", "format": "int64", "minimum": 0, "maximum": MAX_DURATION_MS },
            "event_time": time,
            "hold": uuid, "reservation": uuid,
        },
    });
    schema::defined(g, "NewUsage", schema)
}

/// Reads the body, and checks whether the caller may record usage of that customer.
pub fn read_usage(call: &Call<'_>) -> Result<Request, Error> {
    Ok(Request { nonce: call.nonce(), ..read_usage_item(call, &call.body)? })
}

/// Reads one item of a batch. It has no nonce of its own.
pub fn read_usage_item(call: &Call<'_>, item: &[u8]) -> Result<Request, Error> {
    let (customer_id, usage) = parse(item)?;
    let customer_id = call.one_customer(customer_id.as_ref())?;
    Ok(Request::usage(customer_id, usage))
}

/// The usage, and the customer that the body names.
fn parse(body: &[u8]) -> Result<(Option<CustomerId>, Usage), Error> {
    let mut body = Object::parse(body)?;
    let request_id = body.parsed("request_id", Transno::parse_client);
    body.require("request_id", request_id.as_ref());
    let customer_id = body.customer("customer_id");
    let id = |body: &mut Object<'_>, name: &str| {
        body.parsed(name, |text| RecordId::parse(text).ok_or("must be a UUID"))
    };
    let details = UsageDetails {
        user_id: body.text_id("user_id"),
        model: body.text_id("model"),
        actual_model: body.text_id("actual_model"),
        llmid: body.text_id("llmid"),
        pricing_id: body.text_id("pricing_id"),
        input_tokens: body.tokens("input_tokens").unwrap_or(0),
        output_tokens: body.tokens("output_tokens").unwrap_or(0),
        usage: body.usage("usage"),
        is_streaming: body.boolean("is_streaming"),
        upstream_url: body.text("upstream_url", MAX_URL),
        status_code: body.integer("status_code", 100, 599),
        duration_ms: body.integer("duration_ms", 0, MAX_DURATION_MS),
    };
    let event_time = body.time("event_time");
    let (hold, reservation) = (id(&mut body, "hold"), id(&mut body, "reservation"));
    body.finish()?;
    let usage = Usage::new(required(request_id)?, details)?;
    let usage = Usage { event_time, hold, reservation, ..usage };
    Ok((customer_id, usage))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;

    use super::*;

    fn full() -> Value {
        json!({
            "request_id": "r-1", "customer_id": "c-1", "user_id": "u", "model": "m", "actual_model": "a", "llmid": "l",
            "pricing_id": "p", "input_tokens": 1, "output_tokens": 2, "usage": {"images": 3}, "is_streaming": true,
            "upstream_url": "https://upstream.example/v1", "status_code": 200, "duration_ms": 1500,
            "event_time": "2026-05-28T20:26:40Z", "hold": "01890a5d-ac96-774b-bcce-b302099a8057",
            "reservation": "01890a5d-ac96-774b-bcce-b302099a8058",
        })
    }

    fn read(body: &Value) -> Result<Usage, Error> {
        parse(body.to_string().as_bytes()).map(|(_, usage)| usage)
    }

    fn hashed(body: &Value) -> [u8; 32] {
        Request::usage(CustomerId::parse("c-1").unwrap(), read(body).unwrap()).body_hash
    }

    #[test]
    fn the_least_is_a_request_id() {
        let usage = read(&json!({"request_id": "r"})).unwrap();
        assert_eq!((usage.details.input_tokens, usage.details.output_tokens), (0, 0));
        assert_eq!(usage.transno.as_str(), "usage:r");
        assert!(read(&json!({})).is_err());
    }

    #[test]
    fn members_out_of_bounds_are_named() {
        for (member, wrong) in [
            ("request_id", json!("x".repeat(129))),
            ("request_id", json!("")),
            ("request_id", json!("a b")),
            ("user_id", json!("")),
            ("model", json!("ü")),
            ("input_tokens", json!(-1)),
            ("input_tokens", json!(1.5)),
            ("output_tokens", json!(1_000_000_000_001i64)),
            ("output_tokens", json!("1")),
            ("usage", json!([1])),
            ("is_streaming", json!(1)),
            ("upstream_url", json!("x".repeat(1025))),
            ("status_code", json!(99)),
            ("status_code", json!(600)),
            ("duration_ms", json!(-1)),
            ("event_time", json!("yesterday")),
            ("hold", json!("x")),
            ("reservation", json!(7)),
        ] {
            let mut body = full();
            body[member] = wrong.clone();
            let Err(Error::Invalid(errors)) = read(&body) else { panic!("{member}: {wrong}") };
            assert_eq!(errors.iter().map(|e| e.field.as_str()).collect::<Vec<_>>(), [member], "{wrong}");
        }
        let mut body = full();
        body["cost"] = json!("1");
        assert!(matches!(read(&body), Err(Error::UnknownField(_))));
    }

    #[test]
    fn every_member_changes_the_hash_and_its_spelling_does_not() {
        let mut hashes = HashSet::from([hashed(&full())]);
        let members: Vec<_> = full().as_object().unwrap().keys().cloned().collect();
        for member in members.iter().filter(|name| !["request_id", "customer_id"].contains(&name.as_str())) {
            let mut body = full();
            body[member] = Value::Null;
            assert!(hashes.insert(hashed(&body)), "{member}");
        }
        let mut same = full();
        same["event_time"] = json!("2026-05-29T04:26:40.000+08:00");
        same["usage"] = json!({"images": 3.0});
        assert!(!hashes.insert(hashed(&same)));
        let customer = CustomerId::parse("c-2").unwrap();
        assert!(hashes.insert(Request::usage(customer, read(&full()).unwrap()).body_hash));
    }
}
