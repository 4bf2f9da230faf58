//! The body of POST /pricing/quote, and how prices are shown.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::domain::Error;
use crate::domain::prices::{PriceRequest, Quote};
use crate::http::body::Object;
use crate::http::schema::{
    self, ArithmeticObject, CurrencyText, IdText, MoneyText, QuantitiesObject, TimeText,
};
use crate::model::{Currency, Money, Record, Timestamp, UsageRecord};

/// How an amount was computed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Priced")]
pub struct PricedBody<'a> {
    /// The program.
    #[schemars(with = "IdText")]
    pricing_id: &'a str,
    /// The version of its row.
    version: i64,
    /// The amount before rounding.
    unrounded: &'a str,
    #[schemars(with = "ArithmeticObject")]
    arithmetic: Option<&'a RawValue>,
}

impl<'a> PricedBody<'a> {
    /// Of a record, if its amount was computed.
    pub fn of(record: &'a Record) -> Option<Self> {
        Some(Self {
            pricing_id: record.details.pricing_id.as_deref()?,
            version: record.pricing_version?,
            unrounded: record.unrounded.as_deref()?,
            arithmetic: raw_json(record.arithmetic.as_deref()?),
        })
    }
}

impl<'a> PricedBody<'a> {
    /// Of usage that has a price, where its arithmetic is at hand.
    pub fn of_usage(usage: &'a UsageRecord) -> Option<Self> {
        Some(Self {
            pricing_id: usage.details.pricing_id.as_deref()?,
            version: usage.pricing_version?,
            unrounded: usage.unrounded.as_deref()?,
            arithmetic: usage.arithmetic.as_deref().and_then(raw_json),
        })
    }
}

/// A column of JSON text, to be shown as it is.
pub fn raw_json(json: &str) -> Option<&RawValue> {
    serde_json::from_str(json).ok()
}

/// A price.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Quote")]
pub struct QuoteBody<'a> {
    #[schemars(with = "MoneyText")]
    amount: Money,
    /// The program's; accounting.currency if it names none.
    #[schemars(with = "CurrencyText")]
    currency: Currency,
    /// The model's name that the price list was asked with.
    model: Option<&'a str>,
    pricing: PricedBody<'a>,
}

impl<'a> QuoteBody<'a> {
    /// Of a quote.
    pub fn of(quote: &'a Quote) -> Self {
        let pricing = PricedBody {
            pricing_id: &quote.pricing_id,
            version: quote.version,
            unrounded: &quote.unrounded,
            arithmetic: raw_json(&quote.arithmetic),
        };
        Self { amount: quote.amount, currency: quote.currency, model: quote.model.as_deref(), pricing }
    }
}

/// The schema of the body of POST /pricing/quote.
pub fn quote_request_schema(g: &mut SchemaGenerator) -> Schema {
    let (id, time) = (g.subschema_for::<IdText>(), g.subschema_for::<TimeText>());
    let quantities = g.subschema_for::<QuantitiesObject>();
    let tokens = schema::tokens();
    let schema = json!({
        "type": "object",
        "additionalProperties": false,
        "description": "Required are pricing_id or llmid, and usage or tokens. Null means absent.",
        "properties": {
            "pricing_id": id, "llmid": id, "model": id, "input_tokens": tokens, "output_tokens": tokens,
            "usage": quantities, "event_time": time,
        },
    });
    schema::defined(g, "PriceRequest", schema)
}

/// Reads the body of POST /pricing/quote.
pub fn read_quote(body: &[u8], now: Timestamp, published_only: bool) -> Result<PriceRequest, Error> {
    let mut body = Object::parse(body)?;
    let request = PriceRequest {
        offered_as: None,
        pricing_id: body.text_id("pricing_id"),
        llmid: body.text_id("llmid"),
        model: body.text_id("model"),
        input_tokens: body.tokens("input_tokens"),
        output_tokens: body.tokens("output_tokens"),
        usage: body.usage("usage"),
        at: body.time("event_time").unwrap_or(now),
        published_only,
    };
    // An invalid member is not reported as missing too.
    let refused = body.is_refused();
    if request.pricing_id.is_none() && request.llmid.is_none() && !refused {
        body.refuse("llmid", "is required, or pricing_id");
    }
    if !request.is_counted() && !refused {
        body.refuse("usage", "is required, or input_tokens and output_tokens");
    }
    body.finish()?;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(body: &Value) -> Result<PriceRequest, Error> {
        read_quote(body.to_string().as_bytes(), Timestamp::from_seconds(7), true)
    }

    fn refused(body: &Value) -> Vec<String> {
        match read(body).map(|_| ()).unwrap_err() {
            Error::Invalid(errors) => errors.into_iter().map(|e| e.field).collect(),
            other => vec![other.to_string()],
        }
    }

    #[test]
    fn a_quote_names_what_is_priced_and_how_much_of_it() {
        let request = read(&json!({"llmid": "l", "usage": {"images": 2, "size": "720P"}})).unwrap();
        assert_eq!(request.usage.as_deref(), Some(r#"{"images":2,"size":"720P"}"#));
        assert_eq!((request.at, request.published_only), (Timestamp::from_seconds(7), true));
        let at = read(&json!({"pricing_id": "p", "input_tokens": 0, "event_time": "1970-01-01T00:00:09Z"}));
        assert_eq!(at.unwrap().at, Timestamp::from_seconds(9));
        assert_eq!(refused(&json!({})), ["llmid", "usage"]);
        assert_eq!(refused(&json!({"llmid": "l"})), ["usage"]);
        assert_eq!(refused(&json!({"model": "m", "usage": {}})), ["llmid"]);
        assert_eq!(refused(&json!({"llmid": 1, "input_tokens": -1})), ["llmid", "input_tokens"]);
        assert!(matches!(
            read(&json!({"llmid": "l", "usage": {}, "amount": "1"})),
            Err(Error::UnknownField(_))
        ));
    }
}
