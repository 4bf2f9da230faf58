//! The key that signed a request.

use std::future::ready;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::domain::Error;
use crate::domain::principal::Identity;
use crate::http::call::Call;
use crate::http::problem::Code;
use crate::http::respond::Answer;
use crate::http::routes::{Payload, Route, Verb};
use crate::http::schema::{self, AuthModeText, IdText, ScopeText, TimeText};
use crate::http::tag::Tag;
use crate::model::{AuthMode, CustomerId, Key, KeyId, Scopes, Timestamp};

pub const ROUTES: &[Route] = &[Route {
    id: "getWhoAmI",
    path: "/api/v1/whoami",
    tag: Tag::Keys,
    answer: Payload::One(schema::of::<KeyBody<'static>>),
    summary: "The key that signed the request: its customer, scopes and expiry.",
    problems: &[Code::KeyRequired],
    ..Route::new(Verb::Get, |call| Box::pin(ready(get(&call))))
}];

fn get(call: &Call<'_>) -> Result<Answer, Error> {
    match &call.principal()?.identity {
        Identity::Key(key) => Answer::ok(&KeyBody::of(key)),
        Identity::Session(_) | Identity::CommandLine => Err(Error::KeyRequired),
    }
}

/// A key as its holder sees it: never a secret.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Key")]
pub struct KeyBody<'a> {
    #[schemars(with = "IdText")]
    key_id: &'a KeyId,
    name: Option<&'a str>,
    /// null for a key of the platform.
    #[schemars(with = "Option<IdText>")]
    customer_id: Option<&'a CustomerId>,
    #[serde(serialize_with = "scopes")]
    #[schemars(with = "Vec<ScopeText>")]
    scopes: Scopes,
    #[schemars(with = "AuthModeText")]
    auth_mode: AuthMode,
    #[schemars(with = "Option<TimeText>")]
    expires_at: Option<Timestamp>,
    /// Until when the secret before the last rotation is valid.
    #[schemars(with = "Option<TimeText>")]
    previous_secret_until: Option<Timestamp>,
    #[schemars(with = "TimeText")]
    created_at: Timestamp,
    version: i64,
}

impl<'a> KeyBody<'a> {
    /// Of a key.
    pub fn of(key: &'a Key) -> Self {
        Self {
            key_id: &key.key_id,
            name: key.name.as_deref(),
            customer_id: key.reach.customer(),
            scopes: key.scopes,
            auth_mode: key.auth_mode,
            expires_at: key.expires_at,
            previous_secret_until: key.previous_until,
            created_at: key.created_at,
            version: key.version,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn scopes<S: Serializer>(scopes: &Scopes, s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(scopes.iter())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Reach, Scope, Secret};

    #[test]
    fn a_key_shows_its_scopes_and_no_secret() {
        let key = Key {
            key_id: KeyId::parse("ak_1").unwrap(),
            name: None,
            reach: Reach::Everything,
            scopes: [Scope::BalanceRead, Scope::UsersRead].into_iter().collect(),
            auth_mode: AuthMode::Signed,
            secret: Some(Secret::new("hunter2")),
            previous_secret: Some(Secret::new("hunter1")),
            previous_until: None,
            enabled: true,
            expires_at: Some(Timestamp::from_seconds(1)),
            allowed_cidrs: vec![],
            version: 1,
            created_at: Timestamp::from_seconds(0),
            updated_at: Timestamp::from_seconds(0),
        };
        let json = serde_json::to_string(&KeyBody::of(&key)).unwrap();
        assert!(json.contains(r#""scopes":["balance:read","users:read"]"#), "{json}");
        assert!(json.contains(r#""expires_at":"1970-01-01T00:00:01.000000Z""#), "{json}");
        assert!(!json.contains("hunter"), "{json}");
    }
}
