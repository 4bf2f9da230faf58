//! The parts that JSON Schemas in `openapi.json` have in common.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Value, json};

use crate::model::{
    ActorKind, AuthMode, CustomerStatus, HoldState, HoldUse, Kind, LimitKind, Mode, ObjectKind,
    OnStoreFailure, ReservationState, ReservationUse, Scope, Uncharged, UsageBilling, UserRole,
};

use super::routes::NDJSON;

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
                    by_hand($schema)
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
    /// A client's name for a booking.
    TransnoText = "Transno", json!({
        "type": "string", "pattern": "^[!-~]{1,160}$",
        "description": "The client's name for a booking, unique within the customer; a client may use 128 characters.",
    });
    /// An id of our own.
    UuidText = "Uuid", json!({ "type": "string", "format": "uuid" });
    /// A currency code.
    CurrencyText = "Currency", json!({ "type": "string", "pattern": "^[A-Z]{3,8}$", "examples": ["CNY"] });
    /// The kind of a record.
    KindText = "Kind", names(Kind::ALL.iter().map(|kind| kind.as_str()));
    /// The state of a hold.
    HoldStateText = "HoldState", names(HoldState::ALL.iter().map(|state| state.as_str()));
    /// Whether a customer may spend.
    StatusText = "CustomerStatus", names(CustomerStatus::ALL.iter().map(|status| status.as_str()));
    /// Whether a charge may take the available balance below zero.
    ModeText = "Mode", names(Mode::ALL.iter().map(|mode| mode.as_str()));
    /// What a usage record does to the balance.
    UsageBillingText = "UsageBilling", names(UsageBilling::ALL.iter().map(|billing| billing.as_str()));
    /// What became of the hold that usage names.
    HoldUseText = "HoldUse", names(HoldUse::ALL.iter().map(|used| used.as_str()));
    /// What became of the reservation that usage names.
    ReservationUseText = "ReservationUse", names(ReservationUse::ALL.iter().map(|used| used.as_str()));
    /// What became of a reservation.
    ReservationStateText = "ReservationState", names(ReservationState::ALL.iter().map(|state| state.as_str()));
    /// What a quota limits.
    LimitKindText = "LimitKind", names(LimitKind::ALL.iter().map(|kind| kind.as_str()));
    /// Why usage was not charged.
    UnchargedText = "Uncharged", names(Uncharged::ALL.iter().map(|why| why.as_str()));
    /// What kind of actor changed something.
    ActorKindText = "ActorKind", names(ActorKind::ALL.iter().map(|kind| kind.as_str()));
    /// What kind of thing was changed.
    ObjectKindText = "ObjectKind", names(ObjectKind::ALL.iter().map(|kind| kind.as_str()));
    /// What a change altered.
    DiffObject = "Diff", json!({
        "type": "object", "properties": { "before": { "type": "object" }, "after": { "type": "object" } },
        "description": "The fields that changed, before and after, without secrets.",
    });
    /// The scope of a key.
    ScopeText = "Scope", names(Scope::ALL.iter().map(|scope| scope.as_str()));
    /// How a key authenticates.
    AuthModeText = "AuthMode", names(AuthMode::ALL.iter().map(|mode| mode.as_str()));
    /// What a user may do.
    UserRoleText = "UserRole", names(UserRole::ALL.iter().map(|role| role.as_str()));
    /// What a quota decides while the database cannot be asked.
    OnStoreFailureText = "OnStoreFailure", names(OnStoreFailure::ALL.iter().map(|choice| choice.as_str()));
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

/// A schema written by hand. Anything but an object is a mistake, and would accept everything.
fn by_hand(value: Value) -> Schema {
    Schema::try_from(value).unwrap_or_default()
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> Value {
    json!({ "type": "string", "enum": names.collect::<Vec<_>>() })
}

/// Adds a schema to the definitions, and refers to it.
pub fn defined(g: &mut SchemaGenerator, name: &str, schema: Value) -> Schema {
    g.definitions_mut().entry(name).or_insert(schema);
    json_schema!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The schema of a type.
pub fn of<T: JsonSchema>(g: &mut SchemaGenerator) -> Schema {
    g.subschema_for::<T>()
}

/// Text of which each line is JSON by a schema.
pub fn lines(line: &Schema, description: &str) -> Schema {
    json_schema!({
        "type": "string", "description": description,
        "contentMediaType": NDJSON, "contentSchema": { "type": "array", "items": line },
    })
}

/// A number of things that a page or batch has.
pub fn count() -> Value {
    json!({ "type": "integer", "format": "int32", "minimum": 0 })
}

/// A status of HTTP.
pub fn status() -> Value {
    json!({ "type": "integer", "format": "int32", "minimum": 100, "maximum": 599 })
}

/// A number of tokens.
pub fn tokens() -> Value {
    json!({ "type": "integer", "format": "int64", "minimum": 0, "maximum": 1_000_000_000_000i64 })
}

/// A name that the client chooses, such as a transno.
pub fn client_name() -> Value {
    json!({ "type": "string", "pattern": "^[!-~]{1,128}$" })
}
/// A secret on its way to its holder, and to no log.
#[derive(Serialize, JsonSchema)]
#[serde(transparent)]
pub struct SecretText<'a>(pub &'a str);

impl std::fmt::Debug for SecretText<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText")
    }
}
