//! Making and rotating keys.

use std::sync::Arc;

use ipnet::IpNet;

use super::Error;
use super::FieldError;
use super::auth::token_hash;
use crate::config::LiveConfig;
use crate::model::{AuthMode, Clock, Entropy, Key, KeyId, Reach, Scope, Scopes, Secret, Timestamp};
use crate::store::{self, NewKey, Store, StoredKey};

/// The longest time for which the secret before a rotation stays valid.
pub const MAX_OVERLAP: std::time::Duration = std::time::Duration::from_secs(7 * 86_400);
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A key to be made.
#[derive(Debug, Clone)]
pub struct KeyRequest {
    /// Its name for people; unique.
    pub name: Option<String>,
    /// Whose data it can reach.
    pub reach: Reach,
    /// What it may do.
    pub scopes: Scopes,
    /// How it authenticates.
    pub auth_mode: AuthMode,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// The networks it may be used from; empty means any.
    pub allowed_cidrs: Vec<IpNet>,
}

/// A key as made. The secret is shown this once.
#[derive(Debug)]
pub struct MadeKey {
    /// Its public name.
    pub key_id: KeyId,
    /// Its secret.
    pub secret: Secret,
}

/// Makes and rotates keys.
#[derive(Clone)]
pub struct Keys {
    store: Store,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    config: LiveConfig,
}

impl Keys {
    /// Keys of this store; bearer keys need `auth.token_pepper`.
    pub fn new(store: Store, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>, config: LiveConfig) -> Self {
        Self { store, clock, entropy, config }
    }

    /// Whether such a key may be made; [`Error::Invalid`] says what is wrong with it.
    pub fn check(&self, request: &KeyRequest) -> Result<(), Error> {
        let invalid = |field: &str, message: &str| Error::Invalid(vec![FieldError::new(field, message)]);
        if request.scopes == Scopes::default() {
            return Err(invalid("scopes", "must name at least one scope"));
        }
        if matches!(request.reach, Reach::Customer(_)) && request.scopes.contains(Scope::Admin) {
            return Err(invalid("scopes", "admin is never given to a customer's key"));
        }
        if joined(&request.allowed_cidrs).len() > 1024 {
            return Err(invalid("allowed_cidrs", "must not exceed 1024 characters together"));
        }
        if request.name.as_ref().is_some_and(|name| name.is_empty() || name.chars().count() > 128) {
            return Err(invalid("name", "must have 1 to 128 characters"));
        }
        self.stored(request.auth_mode, &Secret::default()).map(drop)
    }

    /// Makes a key.
    pub async fn create(&self, request: KeyRequest) -> Result<MadeKey, Error> {
        self.check(&request)?;
        let key_id = format!("ak_{}", self.base62(16));
        let key_id = KeyId::parse(&key_id).map_err(|e| Error::Internal(e.to_string()))?;
        let secret = self.secret();
        let stored = self.stored(request.auth_mode, &secret)?;
        let new = NewKey {
            key_id: key_id.clone(),
            name: request.name,
            reach: request.reach,
            scopes: request.scopes,
            auth_mode: request.auth_mode,
            secret: stored,
            expires_at: request.expires_at,
            allowed_cidrs: request.allowed_cidrs,
        };
        match self.store.create_key(new).await {
            Ok(()) => Ok(MadeKey { key_id, secret }),
            Err(store::Error::Duplicate(_)) => Err(Error::Conflict("the key already exists")),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a key a new secret; the current one stays valid for `overlap`, at most seven days.
    pub async fn rotate(&self, id: &KeyId, overlap: std::time::Duration) -> Result<MadeKey, Error> {
        if overlap > MAX_OVERLAP {
            return Err(Error::Invalid(vec![FieldError::new("overlap", "must not exceed 7 days")]));
        }
        let key = self.store.key(id).await?.ok_or(Error::NotFound("key"))?;
        let secret = self.secret();
        let stored = self.stored(key.auth_mode, &secret)?;
        let until = self.clock.now().plus(overlap);
        if self.store.rotate_key(id, stored, until).await? {
            Ok(MadeKey { key_id: id.clone(), secret })
        } else {
            Err(Error::Conflict("the key was changed meanwhile; try again"))
        }
    }

    /// Every key, in the order of their ids.
    pub async fn list(&self) -> Result<Vec<Key>, Error> {
        let mut keys: Vec<Key> = Vec::new();
        loop {
            let after = keys.last().map_or(String::new(), |k| k.key_id.to_string());
            let page = self.store.keys(&after, 500).await?;
            if page.is_empty() {
                return Ok(keys);
            }
            keys.extend(page);
        }
    }

    /// Seals every secret under the current encryption key; how many keys. `progress` hears how many keys are done, of
    /// how many.
    pub async fn reencrypt(&self, progress: impl Fn(u64, u64)) -> Result<usize, Error> {
        let mut count = 0;
        let keys = self.list().await?;
        let total = keys.len() as u64;
        for (done, key) in (0..).zip(keys) {
            progress(done, total);
            if key.secret.is_none() && key.previous_secret.is_none() {
                continue;
            }
            if !self.store.reseal_key(&key).await? {
                return Err(Error::Conflict("a key was changed meanwhile; run the command again"));
            }
            count += 1;
        }
        self.store.adopt_encryption_key().await?;
        Ok(count)
    }

    fn stored(&self, mode: AuthMode, secret: &Secret) -> Result<StoredKey, Error> {
        let unavailable = |message: &str| Error::Invalid(vec![FieldError::new("auth_mode", message)]);
        match mode {
            AuthMode::Signed => Ok(StoredKey::Secret(secret.clone())),
            AuthMode::Bearer => {
                let config = self.config.current();
                let pepper = config.auth.token_pepper.as_ref();
                let pepper = pepper
                    .ok_or_else(|| unavailable("bearer keys need auth.token_pepper to be configured"))?;
                let hash = token_hash(pepper, secret.expose());
                hash.map(StoredKey::TokenHash).ok_or_else(|| unavailable("auth.token_pepper cannot be used"))
            }
            AuthMode::Deerer => Err(unavailable("deerer is not available yet; use signed or bearer")),
        }
    }

    fn secret(&self) -> Secret {
        Secret::new(format!("sk_{}", self.base62(43)))
    }

    /// Random base62 text. Bytes beyond a multiple of 62 are drawn again, so that every character is
    /// as likely as any other.
    fn base62(&self, length: usize) -> String {
        let mut text = String::with_capacity(length);
        while text.len() < length {
            let mut byte = [0];
            self.entropy.fill(&mut byte);
            if byte[0] < 248 {
                text.push(char::from(BASE62[usize::from(byte[0] % 62)]));
            }
        }
        text
    }
}

/// Networks as a key's row holds them.
fn joined(networks: &[IpNet]) -> String {
    networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
