//! The bodies of signing in.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::json;

use crate::domain::principal::Principal;
use crate::domain::sign_in::{ACCESS_LIFE, SignedIn, Tokens};
use crate::http::schema::{self, IdText, ScopeText, SecretText, TimeText};
use crate::model::{Owner, RecordId, Scope, Session, Timestamp, User, UserId, UserRole, Username};

fn password() -> serde_json::Value {
    json!({ "type": "string", "format": "password" })
}

/// The schema of the body of POST /auth/login.
pub fn login_schema(g: &mut SchemaGenerator) -> Schema {
    let id = g.subschema_for::<IdText>();
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["username", "password"],
        "properties": {
            "username": { "type": "string" }, "password": password(),
            "customer_id": { "description": "Absent for users of the platform.", "anyOf": [id, { "type": "null" }] },
            "device_token": { "type": ["string", "null"], "description": "What an earlier sign-in on this device was given." },
            "device_name": { "type": ["string", "null"], "maxLength": 128, "description": "Shown in the list of sessions." },
        },
    });
    schema::defined(g, "Login", schema)
}

/// The schema of the body of POST /auth/refresh.
pub fn refresh_schema(g: &mut SchemaGenerator) -> Schema {
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["refresh_token"],
        "properties": { "refresh_token": { "type": "string" } },
    });
    schema::defined(g, "Refresh", schema)
}

/// The schema of the body of POST /auth/password.
pub fn password_schema(g: &mut SchemaGenerator) -> Schema {
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["current", "new"],
        "properties": { "current": password(), "new": password() },
    });
    schema::defined(g, "PasswordChange", schema)
}

/// The tokens of a session.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Tokens")]
pub struct TokensBody<'a> {
    access_token: SecretText<'a>,
    token_type: &'static str,
    /// Seconds until the access token expires.
    #[schemars(with = "i64")]
    expires_in: u64,
    refresh_token: SecretText<'a>,
    #[schemars(with = "TimeText")]
    refresh_expires_at: Timestamp,
    /// For the next sign-in on this device; null after a refresh.
    device_token: Option<SecretText<'a>>,
    user: UserBody<'a>,
    /// Whether a refresh repeats the answer to an earlier one.
    replayed: bool,
}

impl<'a> TokensBody<'a> {
    /// Of tokens.
    pub fn of(tokens: &'a Tokens) -> Self {
        Self {
            access_token: SecretText(tokens.access.expose()),
            token_type: "Bearer",
            expires_in: ACCESS_LIFE.as_secs(),
            refresh_token: SecretText(tokens.refresh.expose()),
            refresh_expires_at: tokens.refresh_expires_at,
            device_token: tokens.device.as_ref().map(|token| SecretText(token.expose())),
            user: UserBody::of(&tokens.user),
            replayed: tokens.replayed,
        }
    }
}

/// A user as it sees itself.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SignedInUser")]
pub struct UserBody<'a> {
    #[schemars(with = "IdText")]
    id: &'a UserId,
    /// null for a user of the platform.
    #[schemars(with = "Option<IdText>")]
    customer_id: &'a Owner,
    #[schemars(with = "String")]
    username: &'a Username,
    #[schemars(with = "String")]
    role: UserRole,
}

impl<'a> UserBody<'a> {
    fn of(user: &'a User) -> Self {
        Self { id: &user.id, customer_id: &user.owner, username: &user.username, role: user.role }
    }
}

/// The user who signed in, and what it may do.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Me")]
pub struct MeBody<'a> {
    #[serde(flatten)]
    user: UserBody<'a>,
    #[schemars(with = "Vec<ScopeText>")]
    scopes: Vec<Scope>,
    #[schemars(with = "IdText")]
    session_id: RecordId,
    #[schemars(with = "Option<TimeText>")]
    last_login_at: Option<Timestamp>,
}

impl<'a> MeBody<'a> {
    /// Of a principal that is a session.
    pub fn of(principal: &Principal, signed_in: &'a SignedIn) -> Self {
        Self {
            user: UserBody::of(&signed_in.user),
            scopes: principal.scopes.iter().collect(),
            session_id: signed_in.session.id,
            last_login_at: signed_in.user.last_login_at,
        }
    }
}

/// A session.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Session")]
pub struct SessionBody<'a> {
    #[schemars(with = "IdText")]
    id: RecordId,
    #[schemars(with = "String")]
    kind: crate::model::SessionKind,
    #[schemars(with = "IdText")]
    user_id: &'a UserId,
    /// null for a user of the platform.
    #[schemars(with = "Option<IdText>")]
    customer_id: &'a Owner,
    device_name: Option<&'a str>,
    /// Where the user signed in from.
    address: Option<&'a str>,
    #[schemars(with = "TimeText")]
    created_at: Timestamp,
    #[schemars(with = "Option<TimeText>")]
    last_seen: Option<Timestamp>,
    #[schemars(with = "TimeText")]
    expires_at: Timestamp,
    #[schemars(with = "Option<TimeText>")]
    revoked_at: Option<Timestamp>,
    #[schemars(with = "Option<String>")]
    revoked_reason: Option<crate::model::RevokedReason>,
    /// Whether the request was made with it.
    current: bool,
}

impl<'a> SessionBody<'a> {
    /// Of a session, seen from another.
    pub fn of(session: &'a Session, current: Option<RecordId>) -> Self {
        Self {
            id: session.id,
            kind: session.kind,
            user_id: &session.user_id,
            customer_id: &session.owner,
            device_name: session.device_name.as_deref(),
            address: session.address.as_deref(),
            created_at: session.created_at,
            last_seen: session.last_seen,
            expires_at: session.idle_until.min(session.expires_at),
            revoked_at: session.revoked_at,
            revoked_reason: session.revoked_reason,
            current: current == Some(session.id),
        }
    }
}
