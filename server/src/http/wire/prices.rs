//! Prices: the body that asks for one, and how it is shown.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::Error;
use crate::domain::prices::{PriceRequest, Quote};
use crate::model::{Currency, Money, Record, Timestamp};

use super::super::body::Object;
use super::bookings::MAX_TOKENS;
use super::schema::{ArithmeticObject, CurrencyText, IdText, MoneyText};

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
            arithmetic: raw(record.arithmetic.as_deref()?),
        })
    }
}

/// The JSON text of a column.
pub(super) fn raw(json: &str) -> Option<&RawValue> {
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
            arithmetic: raw(&quote.arithmetic),
        };
        Self { amount: quote.amount, currency: quote.currency, model: quote.model.as_deref(), pricing }
    }
}

/// POST /pricing/quote.
pub fn read_quote(body: &[u8], now: Timestamp, published_only: bool) -> Result<PriceRequest, Error> {
    let mut body = Object::parse(body)?;
    let request = PriceRequest {
        pricing_id: body.text_id("pricing_id"),
        llmid: body.text_id("llmid"),
        model: body.text_id("model"),
        input_tokens: body.integer("input_tokens", 0, MAX_TOKENS),
        output_tokens: body.integer("output_tokens", 0, MAX_TOKENS),
        usage: body.usage("usage"),
        at: body.time("event_time").unwrap_or(now),
        published_only,
    };
    // What is wrong is not missing.
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
