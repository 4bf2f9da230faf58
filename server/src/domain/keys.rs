//! Keys: making, changing, rotating and revoking them.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::auth::token_hash;
use super::page::{ListPage, PageRequest};
use super::principal::{Identity, Principal};
use super::{Error, FieldError, list};
use crate::config::LiveConfig;
use crate::model::{
    Actor, AuthMode, Clock, Entropy, Key, KeyId, Patch, Reach, Scope, Scopes, Secret, Timestamp,
};
use crate::store::{KeyFilter, KeySettings, NewKey, NotChanged, Store, StoredKey};

/// The longest time for which the secret before a rotation stays valid.
pub const MAX_OVERLAP: Duration = Duration::from_secs(7 * 86_400);
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
    /// Whether it can be used at once.
    pub enabled: bool,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// The networks it may be used from; empty means any.
    pub allowed_cidrs: Vec<IpNet>,
}

impl KeyRequest {
    fn settings(&self) -> KeySettings {
        KeySettings {
            name: self.name.clone(),
            scopes: self.scopes,
            enabled: self.enabled,
            expires_at: self.expires_at,
            allowed_cidrs: self.allowed_cidrs.clone(),
        }
    }
}

/// What is set of a key; what is left out stays.
#[derive(Debug, Clone)]
pub struct KeyChange {
    /// Its name.
    pub name: Patch<String>,
    /// What it may do.
    pub scopes: Option<Scopes>,
    /// Whether it is enabled.
    pub enabled: Option<bool>,
    /// When it expires.
    pub expires_at: Patch<Timestamp>,
    /// The networks it may be used from.
    pub allowed_cidrs: Option<Vec<IpNet>>,
}

impl KeyChange {
    fn apply(&self, settings: &mut KeySettings) {
        self.name.clone().apply(&mut settings.name);
        settings.scopes = self.scopes.unwrap_or(settings.scopes);
        settings.enabled = self.enabled.unwrap_or(settings.enabled);
        self.expires_at.apply(&mut settings.expires_at);
        if let Some(networks) = &self.allowed_cidrs {
            settings.allowed_cidrs.clone_from(networks);
        }
    }
}

/// A key with a secret just made. The secret is shown this once.
#[derive(Debug)]
pub struct MadeKey {
    /// Its public name.
    pub key_id: KeyId,
    /// Its secret.
    pub secret: Secret,
    /// The key.
    pub key: Key,
}

/// Administers keys.
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
        check_settings(&request.reach, &request.settings())?;
        self.stored(request.auth_mode, &Secret::default()).map(drop)
    }

    /// Makes a key.
    pub async fn create(&self, request: KeyRequest, by: &Actor) -> Result<MadeKey, Error> {
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
            enabled: request.enabled,
            secret: stored,
            expires_at: request.expires_at,
            allowed_cidrs: request.allowed_cidrs,
        };
        let key = self.store.create_key(new, by).await;
        let key = key.map_err(|error| Error::not_changed(NotChanged::<Error>::from(error), "key", "name"))?;
        Ok(MadeKey { key_id, secret, key })
    }

    /// Gives a key a new secret; the current one stays valid for `overlap`, at most seven days.
    pub async fn rotate(&self, id: &KeyId, overlap: Duration, by: &Actor) -> Result<MadeKey, Error> {
        self.rotate_if(id, None, overlap, by).await
    }

    /// Gives the calling key a new secret. Only its current secret can do that: whoever has an old one must not be able to
    /// take the key over, and a retry after a lost answer must not end the overlap.
    ///
    /// # Errors
    /// [`Error::Conflict`] where the key was rotated or changed since it was identified.
    pub async fn rotate_own(
        &self,
        principal: &Principal,
        overlap: Duration,
        by: &Actor,
    ) -> Result<MadeKey, Error> {
        let Identity::Key(key) = &principal.identity else { return Err(Error::KeyRequired) };
        if principal.by_previous_secret {
            return Err(Error::Conflict(
                "this secret was rotated already; use the new one, or have an administrator rotate the key",
            ));
        }
        let rotated = self.rotate_if(&key.key_id, Some(key.version), overlap, by).await;
        rotated.map_err(|error| match error {
            Error::PreconditionFailed => Error::Conflict("the key was changed meanwhile; try again"),
            other => other,
        })
    }

    async fn rotate_if(
        &self,
        id: &KeyId,
        expected: Option<i64>,
        overlap: Duration,
        by: &Actor,
    ) -> Result<MadeKey, Error> {
        if overlap > MAX_OVERLAP {
            return Err(Error::Invalid(vec![FieldError::new("overlap", "must not exceed 7 days")]));
        }
        let key = self.get(id).await?;
        let secret = self.secret();
        let stored = self.stored(key.auth_mode, &secret)?;
        let until = self.clock.now().plus(overlap);
        let key = self.store.rotate_key(id, expected, stored, until, by).await;
        let key = key.map_err(|error| Error::not_changed(error.map_refusal(Error::from), "key", "name"))?;
        Ok(MadeKey { key_id: id.clone(), secret, key })
    }

    /// Changes what can be set of a key; `expected` is the version that the change is based on.
    pub async fn change(
        &self,
        id: &KeyId,
        expected: Option<i64>,
        change: KeyChange,
        by: &Actor,
    ) -> Result<Key, Error> {
        // Whose the key is never changes.
        let reach = self.get(id).await?.reach;
        let set = move |settings: &mut KeySettings| {
            change.apply(settings);
            check_settings(&reach, settings)
        };
        let changed = self.store.change_key(id, expected, "update", by, set).await;
        changed.map_err(|error| Error::not_changed(error, "key", "name"))
    }

    /// Disables a key for good, as far as nobody enables it again.
    pub async fn revoke(&self, id: &KeyId, expected: Option<i64>, by: &Actor) -> Result<(), Error> {
        let set = |settings: &mut KeySettings| {
            settings.enabled = false;
            Ok::<_, Error>(())
        };
        let changed = self.store.change_key(id, expected, "revoke", by, set).await;
        changed.map(drop).map_err(|error| Error::not_changed(error, "key", "name"))
    }

    /// A key.
    pub async fn get(&self, id: &KeyId) -> Result<Key, Error> {
        self.store.key(id).await?.ok_or(Error::NotFound("key"))
    }

    /// A page of keys by creation, without their secrets.
    pub async fn query(&self, filter: &KeyFilter, page: &PageRequest) -> Result<ListPage<Key>, Error> {
        list::page(&self.store, filter, page).await
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

/// Whether a key of this reach may have these settings.
fn check_settings(reach: &Reach, settings: &KeySettings) -> Result<(), Error> {
    let invalid = |field: &str, message: &str| Err(Error::Invalid(vec![FieldError::new(field, message)]));
    if settings.scopes == Scopes::default() {
        return invalid("scopes", "must name at least one scope");
    }
    if matches!(reach, Reach::Customer(_)) && settings.scopes.contains(Scope::Admin) {
        return invalid("scopes", "admin is never given to a customer's key");
    }
    if matches!(reach, Reach::Everything) && settings.scopes.contains(Scope::Manage) {
        return invalid("scopes", "manage is for a customer's key; give a key of the platform admin");
    }
    if joined(&settings.allowed_cidrs).len() > 1024 {
        return invalid("allowed_cidrs", "must not exceed 1024 characters together");
    }
    if settings.name.as_ref().is_some_and(|name| name.is_empty() || name.chars().count() > 128) {
        return invalid("name", "must have 1 to 128 characters");
    }
    Ok(())
}

/// Networks as a key's row holds them.
fn joined(networks: &[IpNet]) -> String {
    networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
