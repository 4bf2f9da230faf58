//! How keys are shown to administrators, and what these send.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Value, json};

use crate::domain::keys::MadeKey;
use crate::http::schema::{self, AuthModeText, IdText, ScopeText, SecretText, TimeText};
use crate::model::{AuthMode, CustomerId, Key, KeyId, Scope, Timestamp};

/// A key as administrators see it: never a secret.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AdministeredKey")]
pub struct AdministeredKeyBody<'a> {
    #[schemars(with = "IdText")]
    key_id: &'a KeyId,
    name: Option<&'a str>,
    /// null for a key of the platform.
    #[schemars(with = "Option<IdText>")]
    customer_id: Option<&'a CustomerId>,
    #[schemars(with = "Vec<ScopeText>")]
    scopes: Vec<&'static str>,
    #[schemars(with = "AuthModeText")]
    auth_mode: AuthMode,
    /// The networks it may be used from; empty means any.
    allowed_cidrs: Vec<String>,
    enabled: bool,
    #[schemars(with = "Option<TimeText>")]
    expires_at: Option<Timestamp>,
    /// Until when the secret before the last rotation is valid.
    #[schemars(with = "Option<TimeText>")]
    previous_secret_until: Option<Timestamp>,
    #[schemars(with = "TimeText")]
    created_at: Timestamp,
    #[schemars(with = "TimeText")]
    updated_at: Timestamp,
    version: i64,
}

/// A key with its new secret.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "MadeKey")]
pub struct MadeKeyBody<'a> {
    #[serde(flatten)]
    key: AdministeredKeyBody<'a>,
    /// Shown this once.
    secret: SecretText<'a>,
}

impl<'a> AdministeredKeyBody<'a> {
    /// Of a key.
    pub fn of(key: &'a Key) -> Self {
        Self {
            key_id: &key.key_id,
            name: key.name.as_deref(),
            customer_id: key.reach.customer(),
            scopes: key.scopes.iter().map(Scope::as_str).collect(),
            auth_mode: key.auth_mode,
            allowed_cidrs: key.allowed_cidrs.iter().map(ToString::to_string).collect(),
            enabled: key.enabled,
            expires_at: key.expires_at,
            previous_secret_until: key.previous_until,
            created_at: key.created_at,
            updated_at: key.updated_at,
            version: key.version,
        }
    }
}

impl<'a> MadeKeyBody<'a> {
    /// Of a key just made or rotated.
    pub fn of(made: &'a MadeKey) -> Self {
        Self { key: AdministeredKeyBody::of(&made.key), secret: SecretText(made.secret.expose()) }
    }
}

fn settings(g: &mut SchemaGenerator, nullable: bool) -> Value {
    let scope = g.subschema_for::<ScopeText>();
    let time = if nullable { g.subschema_for::<Option<TimeText>>() } else { g.subschema_for::<TimeText>() };
    let text = if nullable { json!(["string", "null"]) } else { json!("string") };
    json!({
        "name": { "type": text, "minLength": 1, "maxLength": 128, "description": "Unique." },
        "scopes": { "type": "array", "items": scope, "minItems": 1, "uniqueItems": true },
        "enabled": { "type": "boolean" },
        "allowed_cidrs": {
            "type": if nullable { json!(["array", "null"]) } else { json!("array") }, "items": { "type": "string" }, "maxItems": 64, "uniqueItems": true,
            "description": "The networks it may be used from; empty means any.",
        },
        "expires_at": time,
    })
}

pub fn create_schema(g: &mut SchemaGenerator) -> Schema {
    let mut properties = settings(g, false);
    properties["customer_id"] = json!(g.subschema_for::<IdText>());
    properties["platform"] = json!({
        "type": "boolean", "description": "true for a key of the platform, which has no customer_id.",
    });
    properties["enabled"]["default"] = json!(true);
    properties["auth_mode"] = json!({ "type": "string", "enum": ["signed", "bearer"], "default": "signed" });
    let schema = json!({ "type": "object", "required": ["scopes"], "properties": properties });
    schema::defined(g, "NewKey", schema)
}

pub fn change_schema(g: &mut SchemaGenerator) -> Schema {
    let properties = settings(g, true);
    schema::defined(g, "KeyChange", json!({ "type": "object", "properties": properties }))
}

pub fn rotation_schema(g: &mut SchemaGenerator) -> Schema {
    let schema = json!({
        "type": "object",
        "properties": {
            "overlap_s": {
                "type": "integer", "format": "int32", "minimum": 0, "maximum": 604_800, "default": 86_400,
                "description": "For how long the current secret stays valid.",
            },
        },
    });
    schema::defined(g, "Rotation", schema)
}
