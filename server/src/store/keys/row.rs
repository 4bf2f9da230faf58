//! The row of a key, with its secrets as they are stored.

use ipnet::IpNet;
use serde_json::json;

use super::super::administer::Administered;
use super::super::cache_events::Changed;
use super::super::columns::{Column as _, columns};
use super::super::sql::Arg;
use crate::model::{AuditFields, AuthMode, Key, KeyId, ObjectKind, Owner, Reach, Scope, Scopes, Timestamp};

/// What administrators set of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySettings {
    /// Its name for people; unique.
    pub name: Option<String>,
    /// What it may do.
    pub scopes: Scopes,
    /// Whether it is enabled.
    pub enabled: bool,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// The networks it may be used from; empty means any.
    pub allowed_cidrs: Vec<IpNet>,
}

#[derive(Clone)]
pub struct KeyRow {
    pub key_id: KeyId,
    pub reach: Reach,
    pub auth_mode: AuthMode,
    pub settings: KeySettings,
    pub previous_until: Option<Timestamp>,
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Sealed.
    pub secret: Option<Vec<u8>>,
    /// Sealed.
    pub previous_secret: Option<Vec<u8>>,
    pub token_hash: Option<Vec<u8>>,
    pub previous_token_hash: Option<Vec<u8>>,
}

columns!(KeyRow in "dapi_keys":
    key_id; reach = "customer_id", auth_mode, settings: KeySettings { name, scopes, enabled, expires_at, allowed_cidrs },
    previous_until, version, created_at, updated_at, secret, previous_secret, token_hash, previous_token_hash,
);

impl KeyRow {
    /// The key, with none of its secrets opened.
    pub fn without_secrets(self) -> Key {
        let KeySettings { name, scopes, enabled, expires_at, allowed_cidrs } = self.settings;
        Key {
            key_id: self.key_id,
            name,
            reach: self.reach,
            scopes,
            auth_mode: self.auth_mode,
            secret: None,
            previous_secret: None,
            previous_until: self.previous_until,
            enabled,
            expires_at,
            allowed_cidrs,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

impl Administered for KeyRow {
    const KIND: ObjectKind = ObjectKind::Key;
    const KEY: &'static str = "key_id";
    const CHANGED: &'static [&'static str] = &[
        "name",
        "scopes",
        "enabled",
        "expires_at",
        "allowed_cidrs",
        "secret",
        "previous_secret",
        "previous_until",
        "token_hash",
        "previous_token_hash",
        "version",
        "updated_at",
    ];

    fn key(&self) -> &str {
        self.key_id.as_str()
    }

    fn owner(&self) -> Owner {
        match &self.reach {
            Reach::Customer(id) => Owner::Customer(id.clone()),
            Reach::Everything | Reach::Nothing => Owner::Platform,
        }
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn stamp(&mut self, now: Timestamp) {
        self.version += 1;
        self.updated_at = now;
    }

    fn fields(&self) -> AuditFields {
        let KeySettings { name, scopes, enabled, expires_at, allowed_cidrs } = &self.settings;
        let fields = json!({
            "customer_id": self.reach.customer(),
            "auth_mode": self.auth_mode,
            "name": name,
            "scopes": scopes.iter().map(Scope::as_str).collect::<Vec<_>>(),
            "enabled": enabled,
            "expires_at": expires_at,
            "allowed_cidrs": allowed_cidrs.iter().map(IpNet::to_string).collect::<Vec<_>>(),
            "previous_secret_until": self.previous_until,
        });
        fields.as_object().cloned().unwrap_or_default()
    }

    fn changed(before: Option<&Self>, after: Option<&Self>) -> Changed {
        after.or(before).map_or_else(Changed::default, |row| Changed::key(&row.key_id))
    }

    fn value(&self, column: &str) -> Arg<'_> {
        let settings = &self.settings;
        match column {
            "name" => settings.name.arg(),
            "scopes" => settings.scopes.arg(),
            "enabled" => settings.enabled.arg(),
            "expires_at" => settings.expires_at.arg(),
            "allowed_cidrs" => settings.allowed_cidrs.arg(),
            "secret" => self.secret.arg(),
            "previous_secret" => self.previous_secret.arg(),
            "previous_until" => self.previous_until.arg(),
            "token_hash" => self.token_hash.arg(),
            "previous_token_hash" => self.previous_token_hash.arg(),
            "version" => self.version.arg(),
            "updated_at" => self.updated_at.arg(),
            _ => Arg::Null,
        }
    }
}
