//! JSON Schemas of what travels, for `openapi.json`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::model::{AuthMode, ColumnKind, CustomerStatus, Entity, HoldState, Kind, Scope};

pub use super::bookings::schema as booking;
use super::{
    BalanceBody, BookedBody, HoldBody, KeyBody, NDJSON, PreviewBody, QuoteBody, RecordBody, SummaryBody,
};

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident = $title:literal, $schema:expr;)+) => {
        $(
            $(#[$doc])*
            pub struct $name;

            impl JsonSchema for $name {
                fn schema_name() -> Cow<'static, str> {
                    $title.into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    of($schema)
                }
            }
        )+
    };
}

texts! {
    /// An amount of money.
    MoneyText = "Money", json!({
        "type": "string", "pattern": "^-?(0|[1-9][0-9]{0,9})(\\.[0-9]{1,9})?$", "examples": ["12.5"],
        "description": "An amount as a decimal string: no exponent, no trailing zeros.",
    });
    /// A sum of money.
    SumText = "Sum", json!({
        "type": "string", "pattern": "^-?(0|[1-9][0-9]*)(\\.[0-9]{1,9})?$", "examples": ["12.5"],
        "description": "A sum as a decimal string; it may leave the range of one amount.",
    });
    /// A calendar day.
    DayText = "Day", json!({ "type": "string", "format": "date", "examples": ["2026-05-28"] });
    /// An instant.
    TimeText = "Time", json!({
        "type": "string", "format": "date-time", "examples": ["2026-05-28T20:26:40.000000Z"],
        "description": "RFC 3339; answers are in UTC with six decimals.",
    });
    /// An id of the platform.
    IdText = "Id", json!({ "type": "string", "pattern": "^[!-~]{1,64}$" });
    /// A caller's name for a booking.
    TransnoText = "Transno", json!({
        "type": "string", "pattern": "^[!-~]{1,160}$",
        "description": "The caller's name for a booking, unique within the customer; a caller may use 128 characters.",
    });
    /// An id of our own.
    UuidText = "Uuid", json!({ "type": "string", "format": "uuid" });
    /// A currency code.
    CurrencyText = "Currency", json!({ "type": "string", "pattern": "^[A-Z]{3,8}$", "examples": ["CNY"] });
    /// What a record is.
    KindText = "Kind", names(Kind::ALL.iter().map(|kind| kind.as_str()));
    /// What became of a hold.
    HoldStateText = "HoldState", names(HoldState::ALL.iter().map(|state| state.as_str()));
    /// Whether a customer may spend.
    StatusText = "CustomerStatus", names(CustomerStatus::ALL.iter().map(|status| status.as_str()));
    /// What a key may do.
    ScopeText = "Scope", names(Scope::ALL.iter().map(|scope| scope.as_str()));
    /// How a key proves itself.
    AuthModeText = "AuthMode", names(AuthMode::ALL.iter().map(|mode| mode.as_str()));
    /// Names and quantities.
    QuantitiesObject = "Quantities", json!({
        "type": "object", "maxProperties": 64,
        "additionalProperties": { "oneOf": [
            { "type": "number", "format": "double", "minimum": 0, "maximum": 1_000_000_000_000i64 },
            { "type": "string", "maxLength": 128 },
        ] },
        "description": "Factors and their quantities, each with at most 17 significant digits; and texts that the \
                        filters of price lists ask for, such as a size.",
    });
    /// How an amount was computed.
    ArithmeticObject = "Arithmetic", json!({
        "type": "object",
        "description": "The amount is the sum of the lines, times the discount, rounded half-even at scale decimals; \
                        a line is quantity / unit_value x unit_price. All numbers are exact.",
        "required": ["row", "date", "discount", "scale", "lines"],
        "properties": {
            "row": { "type": "string", "description": "The program's row that was valid." },
            "date": { "type": "string", "format": "date", "description": "The day of the event." },
            "discount": { "type": ["string", "null"] },
            "scale": { "type": "integer", "format": "int32", "minimum": 0, "maximum": 9 },
            "lines": { "type": "array", "items": {
                "type": "object",
                "required": ["rule", "factor", "quantity", "unit_value", "unit_price", "subtotal"],
                "properties": {
                    "rule": { "type": "integer", "format": "int32", "description": "Its place in pricings, from 0." },
                    "factor": { "type": "string" }, "quantity": { "type": "string" },
                    "unit_value": { "type": "string" }, "unit_price": { "type": "string" },
                    "subtotal": { "type": "string" },
                },
            } },
        },
    });
}

/// A schema written by hand; anything but an object is a mistake that makes it accept everything.
fn of(value: Value) -> Schema {
    Schema::try_from(value).unwrap_or_default()
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> Value {
    json!({ "type": "string", "enum": names.collect::<Vec<_>>() })
}

/// A reference to a schema that is put among the definitions under `name`.
pub(super) fn defined(g: &mut SchemaGenerator, name: &str, schema: Value) -> Schema {
    g.definitions_mut().entry(name).or_insert(schema);
    json_schema!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The key that signed.
pub fn key(g: &mut SchemaGenerator) -> Schema {
    g.subschema_for::<KeyBody<'static>>()
}

/// A balance.
pub fn balance(g: &mut SchemaGenerator) -> Schema {
    g.subschema_for::<BalanceBody<'static>>()
}

/// A record.
pub fn record(g: &mut SchemaGenerator) -> Schema {
    g.subschema_for::<RecordBody<'static>>()
}

/// A group of records.
pub fn summary(g: &mut SchemaGenerator) -> Schema {
    g.subschema_for::<SummaryBody<'static>>()
}

/// The answer to a booking.
pub fn booked(g: &mut SchemaGenerator) -> Schema {
    g.subschema_for::<BookedBody<'static>>()
}

/// What a booking would come to.
pub fn preview(g: &mut SchemaGenerator) -> Schema {
    g.subschema_for::<PreviewBody<'static>>()
}

/// The answer to a booking that was made before, or to one that would only be tried: what both have is required.
pub fn booked_or_preview(g: &mut SchemaGenerator) -> Schema {
    let (booked, preview) = (booked(g), preview(g));
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
    defined(g, "BookedOrPreview", schema)
}

/// A mirrored user.
pub fn user(g: &mut SchemaGenerator) -> Schema {
    mirrored(g, "User", Entity::Users)
}

/// A mirrored pricing row.
pub fn pricing(g: &mut SchemaGenerator) -> Schema {
    mirrored(g, "Pricing", Entity::Pricing)
}

/// A mirrored model.
pub fn model(g: &mut SchemaGenerator) -> Schema {
    mirrored(g, "Model", Entity::Llmage)
}

/// A mirrored upstream API.
pub fn uapi(g: &mut SchemaGenerator) -> Schema {
    mirrored(g, "Uapi", Entity::Uapi)
}

fn nullable(schema: &Schema) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

fn mirrored(g: &mut SchemaGenerator, name: &str, entity: Entity) -> Schema {
    let (id, time, money) =
        (g.subschema_for::<IdText>(), g.subschema_for::<TimeText>(), g.subschema_for::<MoneyText>());
    let mut properties = Map::new();
    let mut required = vec!["id"];
    properties.insert("id".into(), json!(id));
    for column in entity.columns() {
        let mut schema = match column.kind {
            ColumnKind::Text(most) => json!({ "type": ["string", "null"], "maxLength": most }),
            ColumnKind::Id => nullable(&id),
            ColumnKind::Money => nullable(&money),
            ColumnKind::Decimal => json!({ "type": ["string", "null"] }),
            ColumnKind::Date => json!({ "type": ["string", "null"], "format": "date" }),
            ColumnKind::PricingData => {
                json!({ "description": "The program's rules; null if it has none that can be read." })
            }
        };
        if column.internal {
            schema["description"] = json!("Shown to keys of the platform only.");
        } else {
            required.push(column.name);
        }
        properties.insert(column.name.into(), schema);
    }
    properties.insert("created_at".into(), nullable(&time));
    properties.insert("cached_at".into(), json!(time));
    for version in ["sync_version", "version"] {
        properties.insert(version.into(), json!({ "type": "integer", "format": "int64" }));
    }
    required.extend(["created_at", "cached_at", "sync_version", "version"]);
    defined(g, name, json!({ "type": "object", "properties": properties, "required": required }))
}

/// The body of POST /pricing/quote.
pub fn pricing_request(g: &mut SchemaGenerator) -> Schema {
    let (id, time) = (g.subschema_for::<IdText>(), g.subschema_for::<TimeText>());
    let quantities = g.subschema_for::<QuantitiesObject>();
    let tokens = tokens();
    let schema = json!({
        "type": "object",
        "additionalProperties": false,
        "description": "Required are pricing_id or llmid, and usage or tokens. Null means absent.",
        "properties": {
            "pricing_id": id, "llmid": id, "model": id, "input_tokens": tokens, "output_tokens": tokens,
            "usage": quantities, "event_time": time,
        },
    });
    defined(g, "PriceRequest", schema)
}

/// A price.
pub fn quote(g: &mut SchemaGenerator) -> Schema {
    g.subschema_for::<QuoteBody<'static>>()
}

/// A hold.
pub fn hold(g: &mut SchemaGenerator) -> Schema {
    g.subschema_for::<HoldBody<'static>>()
}

/// The body of POST /holds.
pub fn reserve(g: &mut SchemaGenerator) -> Schema {
    let (id, money, currency) =
        (g.subschema_for::<IdText>(), g.subschema_for::<MoneyText>(), g.subschema_for::<CurrencyText>());
    let schema = json!({
        "type": "object", "additionalProperties": false,
        "description": "Required are transno, here or as the header Idempotency-Key, and amount.",
        "properties": {
            "transno": client_name(), "customer_id": id, "amount": money, "currency": currency,
            "ttl_s": { "type": "integer", "format": "int64", "minimum": 1, "maximum": 86_400, "default": 600 },
            "user_id": id, "note": { "type": "string", "maxLength": 1024 },
        },
    });
    defined(g, "Reserve", schema)
}

/// The body of POST /holds/{id}/capture.
pub fn capture(g: &mut SchemaGenerator) -> Schema {
    let money = g.subschema_for::<MoneyText>();
    let schema = json!({
        "type": "object", "additionalProperties": false,
        "description": "Without an amount the whole hold is taken; more than the hold passes the funds check.",
        "properties": { "transno": client_name(), "amount": money },
    });
    defined(g, "Capture", schema)
}

/// The body of POST /holds/{id}/release.
pub fn nothing(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "additionalProperties": false })
}

/// The body of POST /accounting/{id}/reverse.
pub fn reverse(g: &mut SchemaGenerator) -> Schema {
    let money = g.subschema_for::<MoneyText>();
    let schema = json!({
        "type": "object", "additionalProperties": false,
        "description": "Without an amount what is left of the record is taken back.",
        "properties": {
            "transno": client_name(), "amount": money, "note": { "type": "string", "maxLength": 1024 },
        },
    });
    defined(g, "Reverse", schema)
}

/// The body of POST /accounting/batch.
pub fn batch(g: &mut SchemaGenerator) -> Schema {
    let item = booking(g);
    json_schema!({
        "type": "array", "items": item, "minItems": 1, "maxItems": 1000,
        "description": "Or the same items as application/x-ndjson, one a line; the answer then has that form too.",
    })
}

/// The items of a batch as lines. A generator that does not know the media type sends the text.
pub fn batch_lines(g: &mut SchemaGenerator) -> Schema {
    let item = booking(g);
    lines(&item, "One booking a line.")
}

/// The answer to a batch that came as lines.
pub fn batched_lines(g: &mut SchemaGenerator) -> Schema {
    let properties = |row: Value| {
        let mut line = row;
        line["_end"] =
            json!({ "type": "boolean", "description": "Only in the last line, which has the counts." });
        line["accepted"] = count();
        line["rejected"] = count();
        line
    };
    let schema = json!({ "type": "object", "properties": properties(batched_row_properties(g)) });
    let line = defined(g, "BatchLine", schema);
    lines(
        &line,
        "A line for each item, in their order, then one with the counts: without it the answer is not complete.",
    )
}

/// Text of which each line is JSON by a schema.
pub fn lines(line: &Schema, description: &str) -> Schema {
    json_schema!({
        "type": "string", "description": description,
        "contentMediaType": NDJSON, "contentSchema": { "type": "array", "items": line },
    })
}

fn batched_row_properties(g: &mut SchemaGenerator) -> Value {
    let booked = booked(g);
    json!({
        "index": count(), "status": status(), "data": booked,
        "error": { "$ref": "#/components/schemas/Problem" },
    })
}

/// The answer to a batch.
pub fn batched(g: &mut SchemaGenerator) -> Schema {
    let properties = batched_row_properties(g);
    let row = json!({ "type": "object", "required": ["index", "status"], "properties": properties });
    let row = defined(g, "BatchRow", row);
    let schema = json!({
        "type": "object", "required": ["rows", "accepted", "rejected"],
        "properties": {
            "rows": { "type": "array", "items": row }, "accepted": count(), "rejected": count(),
        },
    });
    defined(g, "Batch", schema)
}

/// A number of things that a page or batch has.
pub fn count() -> Value {
    json!({ "type": "integer", "format": "int32", "minimum": 0 })
}

/// A status of HTTP.
pub fn status() -> Value {
    json!({ "type": "integer", "format": "int32", "minimum": 100, "maximum": 599 })
}

pub(super) fn tokens() -> Value {
    json!({ "type": "integer", "format": "int64", "minimum": 0, "maximum": 1_000_000_000_000i64 })
}

pub(super) fn client_name() -> Value {
    json!({ "type": "string", "pattern": "^[!-~]{1,128}$" })
}

/// The body of an event.
pub fn event(g: &mut SchemaGenerator) -> Schema {
    let (id, time) = (g.subschema_for::<IdText>(), g.subschema_for::<TimeText>());
    let schema = json!({
        "type": "object",
        "description": "Unknown members and types are tolerated.",
        "properties": {
            "type": { "type": "string", "examples": ["user.updated"] },
            "timestamp": time,
            "data": {
                "type": "object",
                "properties": {
                    "entity": { "type": "string", "examples": ["users"] },
                    "ids": { "type": "array", "items": id, "maxItems": 500 },
                },
            },
        },
    });
    defined(g, "Event", schema)
}

/// The answer to an event.
pub fn accepted(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object", "properties": { "accepted": { "type": "boolean", "const": true } }, "required": ["accepted"],
    })
}

/// How the server is.
pub fn health(g: &mut SchemaGenerator) -> Schema {
    let schema = json!({
        "type": "object",
        "required": ["status", "version", "instance", "uptime_s", "database", "cache", "sync"],
        "properties": {
            "status": { "type": "string", "enum": ["ok", "degraded", "down"] },
            "version": { "type": "string" },
            "instance": { "type": "string" },
            "uptime_s": { "type": "integer", "format": "int64" },
            "database": {
                "type": "object",
                "properties": { "kind": { "type": "string" }, "status": { "type": "string" } },
            },
            "cache": { "type": "object" },
            "sync": {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "properties": {
                        "age_s": { "type": ["number", "null"], "format": "double" },
                        "status": { "type": "string" },
                        "error_class": { "type": ["string", "null"] },
                        "quarantined": {
                            "type": "integer", "format": "int64",
                            "description": "Rows whose newest version cannot be read, counted up to 10,000.",
                        },
                    },
                },
            },
        },
    });
    defined(g, "Health", schema)
}

/// Any JSON object.
pub fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object" })
}
