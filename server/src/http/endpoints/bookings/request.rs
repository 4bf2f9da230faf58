//! The body of POST /accounting.

use schemars::{Schema, SchemaGenerator};
use serde_json::json;

use crate::domain::Error;
use crate::domain::booking::{Action, Amount, Entry, Request};
use crate::http::body::{Object, required};
use crate::http::call::Call;
use crate::http::endpoints::transno::transno;
use crate::http::schema::{self, CurrencyText, IdText, MoneyText, QuantitiesObject, TimeText};
use crate::model::{BookingDetails, Currency, CustomerId, Kind, LengthPrefixedHasher, Timestamp, Transno};

/// The kinds that a request may book.
const KINDS: [Kind; 3] = [Kind::Charge, Kind::Credit, Kind::Adjustment];

/// The schema of the body of POST /accounting.
pub fn booking_schema(g: &mut SchemaGenerator) -> Schema {
    let id = g.subschema_for::<IdText>();
    let (money, time) = (g.subschema_for::<MoneyText>(), g.subschema_for::<TimeText>());
    let (currency, quantities) = (g.subschema_for::<CurrencyText>(), g.subschema_for::<QuantitiesObject>());
    let (name, tokens) = (schema::client_name(), schema::tokens());
    let schema = json!({
        "type": "object",
        "additionalProperties": false,
        "description": "Required are transno, here or as the header Idempotency-Key, and amount; or, for a charge \
                        that a price list prices, pricing_id or llmid, and usage or tokens. Null means absent.",
        "properties": {
            "transno": name, "customer_id": id,
            "kind": { "type": "string", "enum": ["charge", "credit", "adjustment"], "default": "charge" },
            "amount": money, "currency": currency, "user_id": id, "llmid": id, "model": id, "pricing_id": id,
            "input_tokens": tokens, "output_tokens": tokens, "usage": quantities, "request_id": name,
            "event_time": time,
            "note": { "type": "string", "maxLength": 1024 },
        },
    });
    schema::defined(g, "Booking", schema)
}

/// Reads the body, and checks whether the caller may book for that customer and of that kind.
pub fn read_booking(call: &Call<'_>) -> Result<Request, Error> {
    Ok(Request { nonce: call.nonce(), ..read_one(call, &call.body, call.headers)? })
}

/// Reads one item of a batch. It has no nonce of its own, and no header names its transno.
pub fn read_item(call: &Call<'_>, item: &[u8]) -> Result<Request, Error> {
    read_one(call, item, &http::HeaderMap::new())
}

fn read_one(call: &Call<'_>, body: &[u8], headers: &http::HeaderMap) -> Result<Request, Error> {
    let (customer_id, entry) = parse(body, headers)?;
    let customer_id = call.one_customer(customer_id.as_ref())?;
    if !call.reach()?.may_book(entry.kind) {
        return Err(Error::KindForbidden(entry.kind));
    }
    let body_hash = entry_hash(&entry, &customer_id);
    Ok(Request { customer_id, body_hash, nonce: None, action: Action::Book(entry) })
}

/// What tells a booking's body from another when it is repeated, for some customer.
///
/// # Errors
/// It cannot be read.
pub fn fingerprint(body: &[u8]) -> Result<[u8; 32], Error> {
    let customer = CustomerId::parse("org_1").map_err(|error| Error::Internal(error.to_string()))?;
    let (_, entry) = parse(body, &http::HeaderMap::new())?;
    Ok(entry_hash(&entry, &customer))
}

/// The booking, and the customer that the body names.
fn parse(body: &[u8], headers: &http::HeaderMap) -> Result<(Option<CustomerId>, Entry), Error> {
    let mut body = Object::parse(body)?;
    let transno = transno(&mut body, headers);
    let kind = body.parsed("kind", |text| {
        KINDS.into_iter().find(|kind| kind.as_str() == text).ok_or("must be charge, credit or adjustment")
    });
    let kind = kind.unwrap_or(Kind::Charge);
    let customer_id = body.customer("customer_id");
    let currency = body.currency("currency");
    // In the order in which errors are listed.
    let mut details = BookingDetails {
        user_id: body.text_id("user_id"),
        llmid: body.text_id("llmid"),
        model_name: body.text_id("model"),
        pricing_id: body.text_id("pricing_id"),
        input_tokens: body.tokens("input_tokens"),
        output_tokens: body.tokens("output_tokens"),
        usage: body.usage("usage"),
        request_id: body.parsed("request_id", Transno::parse_client).map(|id| id.as_str().to_owned()),
        note: None,
    };
    let event_time = body.time("event_time");
    details.note = body.note();
    let amount = body.amount("amount", kind == Kind::Adjustment);

    let named = details.pricing_id.is_some() || details.llmid.is_some();
    let counted =
        details.usage.is_some() || details.input_tokens.is_some() || details.output_tokens.is_some();
    let priceable = named && counted && kind == Kind::Charge;
    if amount.is_none() && !body.has_wrong_amount() && !priceable {
        body.refuse(
            "amount",
            "is required; without it, a charge needs pricing_id or llmid, and usage or tokens",
        );
    }
    body.finish()?;
    let amount = amount.map_or(Amount::FromPriceList, Amount::Given);
    Ok((customer_id, Entry { transno: required(transno)?, kind, amount, currency, event_time, details }))
}

/// SHA-256 over the request as parsed: members in a fixed order, each with its length in front, an absent one unlike
/// an empty one. Two spellings of one request hash alike.
pub fn entry_hash(entry: &Entry, customer: &CustomerId) -> [u8; 32] {
    let Entry { transno, kind, amount, currency, event_time, details } = entry;
    // In full: whether a new field is hashed must be decided.
    let BookingDetails {
        user_id,
        llmid,
        model_name,
        pricing_id,
        input_tokens,
        output_tokens,
        usage,
        request_id,
        note,
    } = details;
    let mut hash = LengthPrefixedHasher::default();
    hash.fixed(&[1]);
    for text in [customer.as_str(), transno.as_str(), kind.as_str()] {
        hash.text(Some(text));
    }
    hash.number(match amount {
        Amount::Given(amount) => Some(amount.nanos()),
        _ => None,
    });
    hash.text(currency.as_ref().map(Currency::as_str));
    for text in [user_id, llmid, model_name, pricing_id, usage, request_id, note] {
        hash.text(text.as_deref());
    }
    for number in [*input_tokens, *output_tokens, event_time.map(Timestamp::micros)] {
        hash.number(number);
    }
    hash.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use http::{HeaderMap, HeaderName, HeaderValue};
    use serde_json::Value;

    use super::*;
    use crate::model::Money;
    use crate::signing::IDEMPOTENCY_KEY;

    fn with_key(keys: &[&str]) -> HeaderMap {
        let name = HeaderName::from_static(IDEMPOTENCY_KEY);
        keys.iter().fold(HeaderMap::new(), |mut headers, key| {
            headers.append(name.clone(), HeaderValue::from_str(key).unwrap());
            headers
        })
    }

    fn read(body: &Value, keys: &[&str]) -> Result<Entry, Error> {
        parse(body.to_string().as_bytes(), &with_key(keys)).map(|(_, entry)| entry)
    }

    /// The fields that are refused, or the error's text.
    fn refused(body: &Value, keys: &[&str]) -> String {
        match read(body, keys).map(|_| ()).unwrap_err() {
            Error::Invalid(errors) => errors.iter().map(|e| e.field.as_str()).collect::<Vec<_>>().join(","),
            other => other.to_string(),
        }
    }

    fn full() -> Value {
        json!({
            "transno": "t-1", "customer_id": "c-1", "kind": "charge", "amount": "0.0125", "currency": "CNY",
            "user_id": "u", "llmid": "l", "model": "m", "pricing_id": "p", "input_tokens": 1, "output_tokens": 2,
            "usage": {"tokens": 3}, "request_id": "r", "event_time": "2026-05-28T20:26:40Z", "note": "余额",
        })
    }

    fn hash(body: &Value) -> [u8; 32] {
        super::entry_hash(&read(body, &[]).unwrap(), &CustomerId::parse("c-1").unwrap())
    }

    fn given(entry: &Entry) -> Option<Money> {
        match entry.amount {
            Amount::Given(amount) => Some(amount),
            _ => None,
        }
    }

    #[test]
    fn the_hash_of_a_known_booking_stays_as_it_is() {
        let body = br#"{"transno":"t-1","amount":"1.5","currency":"CNY","note":"n","input_tokens":12}"#;
        let hex: String = fingerprint(body).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "b0cb78a87aee0f7cd05da8fc1e790da4d342d12bb77f4914b3ebfa61ff04805f");
    }

    #[test]
    fn the_least_is_a_transno_and_an_amount() {
        let parsed = read(&json!({"transno": "t", "amount": "1"}), &[]).unwrap();
        assert_eq!((parsed.kind, given(&parsed)), (Kind::Charge, Money::parse("1").ok()));
        assert_eq!(refused(&json!({}), &[]), "transno,amount");
        assert_eq!(refused(&json!({"transno": null, "amount": null}), &[]), "transno,amount");
    }

    #[test]
    fn the_header_names_the_transno_too() {
        let body = |transno: Value| json!({"transno": transno, "amount": "1"});
        assert_eq!(read(&body(Value::Null), &["t"]).unwrap().transno.as_str(), "t");
        assert_eq!(read(&body("t".into()), &["t"]).unwrap().transno.as_str(), "t");
        assert_eq!(refused(&body("t".into()), &["other"]), "transno");
        assert_eq!(refused(&body(Value::Null), &["a b"]), IDEMPOTENCY_KEY);
        assert_eq!(refused(&body("t".into()), &["t", "t"]), IDEMPOTENCY_KEY);
        assert_eq!(refused(&body(7.into()), &["t"]), "transno");
        let by_header = read(&body(Value::Null), &["t"]).unwrap();
        let customer = CustomerId::parse("c-1").unwrap();
        assert_eq!(super::entry_hash(&by_header, &customer), hash(&body("t".into())));
    }

    #[test]
    fn our_own_prefixes_are_refused() {
        for prefix in ["sync:", "usage:", "hold:", "seed:"] {
            assert_eq!(refused(&json!({"transno": format!("{prefix}1"), "amount": "1"}), &[]), "transno");
            assert_eq!(refused(&json!({"amount": "1"}), &[&format!("{prefix}1")]), "transno");
        }
    }

    #[test]
    fn members_out_of_bounds_are_named() {
        for (member, wrong) in [
            ("transno", json!("x".repeat(129))),
            ("transno", json!("")),
            ("customer_id", json!("x".repeat(65))),
            ("customer_id", json!("a b")),
            ("kind", json!("reversal")),
            ("currency", json!("cny")),
            ("user_id", json!("")),
            ("llmid", json!(1)),
            ("model", json!("ü")),
            ("pricing_id", json!([])),
            ("input_tokens", json!(-1)),
            ("input_tokens", json!(1.5)),
            ("input_tokens", json!("1")),
            ("output_tokens", json!(1_000_000_000_001i64)),
            ("usage", json!([1])),
            ("request_id", json!("x".repeat(129))),
            ("event_time", json!("2026-05-28")),
            ("event_time", json!(1_780_000_000)),
            ("note", json!("x".repeat(1025))),
            ("note", json!("a\u{0}")),
        ] {
            let mut body = full();
            body[member] = wrong.clone();
            assert_eq!(refused(&body, &[]), member, "{wrong}");
        }
        let mut body = full();
        body["usage"]["tokens"] = json!(-1);
        assert_eq!(refused(&body, &[]), "usage.tokens");
        body = full();
        body["dry_run"] = json!(true);
        assert_eq!(refused(&body, &[]), Error::UnknownField(vec![]).to_string());
    }

    #[test]
    fn only_an_adjustment_may_be_negative() {
        let body = |kind: &str| json!({"transno": "t", "amount": "-1", "kind": kind});
        assert!(read(&body("adjustment"), &[]).is_ok());
        for kind in ["charge", "credit"] {
            assert!(matches!(read(&body(kind), &[]), Err(Error::AmountInvalid(_))));
        }
    }

    #[test]
    fn a_charge_needs_an_amount_or_something_to_price() {
        for (by, used) in [("llmid", "input_tokens"), ("pricing_id", "output_tokens")] {
            let priced = json!({"transno": "t", by: "l", used: 0});
            assert_eq!(given(&read(&priced, &[]).unwrap()), None);
        }
        let unused = json!({"transno": "t", "llmid": "l", "usage": {}});
        assert_eq!(given(&read(&unused, &[]).unwrap()), None);
        let credit = json!({"transno": "t", "llmid": "l", "input_tokens": 1, "kind": "credit"});
        assert_eq!(refused(&credit, &[]), "amount");
        assert_eq!(refused(&json!({"transno": "t", "llmid": "l"}), &[]), "amount");
        assert_eq!(refused(&json!({"transno": "t", "input_tokens": 1}), &[]), "amount");
        assert!(matches!(read(&json!({"transno": "t", "amount": 1}), &[]), Err(Error::AmountNotString(_))));
    }

    #[test]
    fn one_request_has_one_hash_however_it_is_written() {
        let mut same = full();
        same["amount"] = json!("0.012500");
        same["usage"] = json!({"tokens": 3.0});
        same["event_time"] = json!("2026-05-29T04:26:40.000+08:00");
        same["kind"] = Value::Null;
        assert_eq!(hash(&same), hash(&full()));
        let members: serde_json::Map<_, _> = full().as_object().unwrap().clone().into_iter().rev().collect();
        assert_eq!(hash(&Value::Object(members)), hash(&full()));
    }

    #[test]
    fn every_member_changes_the_hash() {
        let others = [
            ("transno", json!("t-2")),
            ("kind", json!("credit")),
            ("amount", json!("0.0126")),
            ("currency", json!("USD")),
            ("user_id", json!("u2")),
            ("llmid", json!("l2")),
            ("model", json!("m2")),
            ("pricing_id", json!("p2")),
            ("input_tokens", json!(2)),
            ("output_tokens", json!(1)),
            ("usage", json!({"tokens": "3"})),
            ("request_id", json!("r2")),
            ("event_time", json!("2026-05-28T20:26:41Z")),
            ("note", json!("")),
        ];
        let mut hashes = HashSet::from([hash(&full())]);
        for (member, other) in others {
            let mut body = full();
            body[member] = other;
            assert!(hashes.insert(hash(&body)), "{member}");
            if !["transno", "kind"].contains(&member) {
                body[member] = Value::Null;
                assert!(hashes.insert(hash(&body)), "{member} absent");
            }
        }
        let other_customer = CustomerId::parse("c-2").unwrap();
        assert!(hashes.insert(super::entry_hash(&read(&full(), &[]).unwrap(), &other_customer)));
    }
}
