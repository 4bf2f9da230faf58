//! Authentication and authorization of requests. The order of the checks is part of the contract.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::Sha256;

use super::Error;
use super::caches::{CacheSpec, Caches, Entry, Invalidated, Versioned};
use super::nonces::SpentNonces;
use super::principal::Principal;
use super::sign_in::{AccessTokens, SignedIn, is_jwt};
use crate::config::LiveConfig;
use crate::model::{AuthMode, Clock, Key, KeyId, Scope, Secret, Timestamp, UserId, is_within};
use crate::signing::{self, AuthError, HmacKey, ParsedSignature, SignedRequest};
use crate::store::{NonceUse, ReplayTable, Store};

/// The header that carries a bearer key without a scheme.
const API_KEY: &str = "x-api-key";

/// What the secrets of keys begin with.
const KEY_SECRET_PREFIX: &str = "sk_";
/// How long a cached key works while the database is away; short, because a revoked key must not work on for long.
const STALE_KEY_LIMIT: Duration = Duration::from_secs(60);
/// What a cached key takes, in bytes, rounded up.
const KEY_WEIGHT: usize = 1200;

/// A key with its secrets prepared for checking signatures.
pub struct KnownKey {
    key: Arc<Key>,
    current: Option<HmacKey>,
    previous: Option<(HmacKey, Timestamp)>,
    /// Of a bearer key: whether it was found by the token before its last rotation.
    by_previous_token: bool,
}

impl KnownKey {
    fn versioned(key: Key) -> (Self, i64) {
        let version = key.version;
        (Self::new(key), version)
    }

    fn by_token((key, by_previous_token): (Key, bool)) -> (Self, i64) {
        let (known, version) = Self::versioned(key);
        (Self { by_previous_token, ..known }, version)
    }

    fn new(key: Key) -> Self {
        let hmac = |secret: &Secret| HmacKey::new(secret.expose());
        let previous = match (&key.previous_secret, key.previous_until) {
            (Some(secret), Some(until)) => Some((hmac(secret), until)),
            _ => None,
        };
        let current = key.secret.as_ref().map(hmac);
        Self { current, previous, by_previous_token: false, key: Arc::new(key) }
    }
}

/// Authentication by dapi keys.
pub struct Auth {
    store: Store,
    /// By `id:` and key id, or `token:` and the token's hash in hex.
    known: Arc<Versioned<String, KnownKey>>,
    nonces: Arc<SpentNonces>,
    tokens: Arc<AccessTokens>,
    clock: Arc<dyn Clock>,
    config: LiveConfig,
}

/// A request whose credential is valid; its body, and what the key may do, are still unchecked.
pub enum Identified {
    /// By a key.
    Key {
        /// The key.
        key: Arc<Key>,
        /// Whether the request is signed; else it carries the key's secret.
        signed: bool,
        /// Whether it was by the secret before the last rotation.
        by_previous_secret: bool,
        /// The nonce of a signed write.
        nonce: Option<NonceUse>,
    },
    /// By the access token of a user whose access has not ended.
    Session(SignedIn),
}

impl Identified {
    /// The key that signed it, or whose secret it carries.
    pub fn key_id(&self) -> Option<&KeyId> {
        match self {
            Self::Key { key, .. } => Some(&key.key_id),
            Self::Session(_) => None,
        }
    }

    /// The user whose token it carries.
    pub fn user_id(&self) -> Option<&UserId> {
        match self {
            Self::Key { .. } => None,
            Self::Session(signed_in) => Some(&signed_in.user.id),
        }
    }
}

/// The key that a request claims to be signed by, for the log. Anything that does not look like one of our key ids
/// is left out: it might be a secret in the wrong place.
pub fn claimed_key(headers: &HeaderMap) -> Option<KeyId> {
    let parsed = ParsedSignature::parse(headers).ok()??;
    KeyId::parse(parsed.key_id()).ok().filter(KeyId::is_ours)
}

/// A request that may do what it asks for.
#[derive(Debug, Clone)]
pub struct Authenticated {
    /// Who makes it.
    pub principal: Principal,
    /// The nonce of a signed write, not yet spent.
    pub nonce: Option<NonceUse>,
}

impl Auth {
    /// Goes by the `auth` section of the configuration.
    pub fn new(
        store: Store,
        caches: &Caches,
        nonces: Arc<SpentNonces>,
        tokens: Arc<AccessTokens>,
        clock: Arc<dyn Clock>,
        config: LiveConfig,
    ) -> Self {
        let known = caches.make(&CacheSpec {
            name: "keys",
            share: 2,
            stale_limit: STALE_KEY_LIMIT,
            weigh: |_| KEY_WEIGHT,
            // A bearer key is cached under its token's hash, which a change does not name; keys change so seldom that
            // all of them may go.
            invalidated: |changed| {
                if changed.keys.is_empty() { Invalidated::Nothing } else { Invalidated::All }
            },
        });
        Self { store, known, nonces, tokens, clock, config }
    }

    /// How long a nonce stays spent: twice the clock skew and a minute.
    pub fn nonce_life(skew: Duration) -> Duration {
        skew * 2 + Duration::from_secs(60)
    }

    /// Establishes whose request it is, before its body is read: form, time, key, coverage,
    /// signature, in this order.
    pub async fn identify(&self, request: &SignedRequest<'_>, has_body: bool) -> Result<Identified, Error> {
        let parsed = ParsedSignature::parse(request.headers);
        let token = bearer_token(request.headers)?;
        match (parsed, token) {
            (Ok(None), None) => Err(AuthError::Missing.into()),
            (Ok(None), Some(token)) => match token {
                Bearer::Authorization(token) if is_jwt(token) && !token.starts_with(KEY_SECRET_PREFIX) => {
                    let claims = self.tokens.read(token)?;
                    self.tokens.resolve(&claims).await.map(Identified::Session)
                }
                Bearer::Authorization(token) | Bearer::ApiKey(token) => self.identify_bearer(token).await,
            },
            (Err(error), None) => Err(error.into()),
            (Ok(Some(parsed)), None) => self.identify_signed(request, has_body, &parsed).await,
            (Ok(Some(_)) | Err(_), Some(_)) => {
                Err(AuthError::Malformed("two credentials in one request".into()).into())
            }
        }
    }

    async fn identify_signed(
        &self,
        request: &SignedRequest<'_>,
        has_body: bool,
        parsed: &ParsedSignature<'_>,
    ) -> Result<Identified, Error> {
        let write = !request.method.is_safe();
        parsed.check_nonce_form(write)?;
        let now = self.clock.now();
        let config = &self.config.current().auth;
        let skew = i64::try_from(config.clock_skew.as_secs()).unwrap_or(i64::MAX);
        parsed.check_time(now.seconds(), skew)?;
        let entry = self.known_key(parsed.key_id()).await?;
        parsed.check_coverage(request, has_body, &config.required_components)?;
        let mut base = Vec::with_capacity(512);
        parsed.signature_base(request, &mut base)?;
        let known = entry.value.as_deref().filter(|k| k.key.auth_mode == AuthMode::Signed);
        let current = known.and_then(|k| k.current.as_ref());
        let previous =
            known.and_then(|k| k.previous.as_ref()).filter(|(_, until)| now < *until).map(|(k, _)| k);
        let genuine = parsed.verify(&base, current, previous);
        let Some(known) = known.filter(|_| genuine) else { return Err(AuthError::Failed.into()) };
        let expires = now.plus(Self::nonce_life(config.clock_skew));
        let nonce =
            parsed.nonce().filter(|_| write).map(|n| NonceUse::new(known.key.key_id.as_str(), n, expires));
        let by_previous_secret = previous.is_some() && !parsed.verify(&base, current, None);
        Ok(Identified::Key { key: known.key.clone(), signed: true, by_previous_secret, nonce })
    }

    async fn identify_bearer(&self, token: &str) -> Result<Identified, Error> {
        let Some(hash) = self.token_hash(token) else { return Err(AuthError::Failed.into()) };
        let name = hash.iter().fold(String::from("token:"), |name, b| name + &format!("{b:02x}"));
        let load = || async { Ok(self.store.key_by_token(&hash).await?.map(KnownKey::by_token)) };
        let entry = self.known.get(&name, load).await?;
        let overlaps = |known: &KnownKey| {
            !known.by_previous_token || known.key.previous_until.is_some_and(|until| self.clock.now() < until)
        };
        let known = entry.value.filter(|known| known.key.auth_mode == AuthMode::Bearer && overlaps(known));
        let known = known.ok_or(AuthError::Failed)?;
        let by_previous_secret = known.by_previous_token;
        Ok(Identified::Key { key: known.key.clone(), signed: false, by_previous_secret, nonce: None })
    }

    async fn known_key(&self, key_id: &str) -> Result<Entry<KnownKey>, Error> {
        let load = || async {
            // A malformed keyid is an unknown one.
            let Ok(id) = KeyId::parse(key_id) else { return Ok(None) };
            Ok(self.store.key(&id).await?.map(KnownKey::versioned))
        };
        // Limits the size of cache keys.
        if key_id.len() > 64 {
            return Ok(Entry::none(self.clock.now()));
        }
        self.known.get(&["id:", key_id].concat(), load).await
    }

    /// HMAC of a bearer token under the pepper; `None` without a pepper.
    pub fn token_hash(&self, token: &str) -> Option<[u8; 32]> {
        token_hash(self.config.current().auth.token_pepper.as_ref()?, token)
    }

    /// Checks the body against its digest, then whether the key works, from this address, for this
    /// scope, and that its nonce was not spent here.
    pub fn authorize(
        &self,
        identified: Identified,
        headers: &HeaderMap,
        body: &[u8],
        peer: IpAddr,
        scope: Option<Scope>,
    ) -> Result<Authenticated, Error> {
        let (key, signed, by_previous_secret, nonce) = match identified {
            Identified::Key { key, signed, by_previous_secret, nonce } => {
                (key, signed, by_previous_secret, nonce)
            }
            Identified::Session(signed_in) => {
                let principal = Principal::of_session(signed_in);
                scope.map_or(Ok(()), |scope| principal.require(scope))?;
                return Ok(Authenticated { principal, nonce: None });
            }
        };
        if signed {
            signing::check_content_digest(headers, body)?;
        }
        let now = self.clock.now();
        if !key.enabled || key.expires_at.is_some_and(|at| at <= now) {
            return Err(Error::KeyDisabled);
        }
        if !key.allowed_cidrs.is_empty() && !is_within(peer, &key.allowed_cidrs) {
            return Err(Error::AddressDenied(peer.to_canonical()));
        }
        let principal = Principal::of_key(key, by_previous_secret);
        if let Some(scope) = scope {
            principal.require(scope)?;
        }
        if nonce.is_some_and(|nonce| self.nonces.contains(&nonce, now)) {
            return Err(AuthError::Replay.into());
        }
        Ok(Authenticated { principal, nonce })
    }

    /// Spends a request's nonce, for writes that do not carry it into their transaction.
    pub async fn spend_nonce(&self, nonce: Option<NonceUse>) -> Result<(), Error> {
        let Some(nonce) = nonce else { return Ok(()) };
        let first = self.store.first_use(ReplayTable::Nonces, nonce).await?;
        self.nonces.insert(nonce);
        if first { Ok(()) } else { Err(AuthError::Replay.into()) }
    }
}

/// HMAC of a bearer token under the pepper.
pub fn token_hash(pepper: &Secret, token: &str) -> Option<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(pepper.expose().as_bytes()).ok()?;
    mac.update(token.as_bytes());
    Some(mac.finalize().into_bytes().into())
}

/// A bearer credential, by the header that it came in.
#[derive(Debug, Clone, Copy)]
enum Bearer<'a> {
    /// A key's secret or an access token.
    Authorization(&'a str),
    /// A key's secret.
    ApiKey(&'a str),
}

/// The bearer credential of a request, in either header.
fn bearer_token(headers: &HeaderMap) -> Result<Option<Bearer<'_>>, Error> {
    let mut found = None;
    for (name, scheme) in [(AUTHORIZATION.as_str(), Some("bearer")), (API_KEY, None)] {
        for value in headers.get_all(name) {
            if found.is_some() {
                return Err(AuthError::Malformed("two credentials in one request".into()).into());
            }
            let text = value.to_str().map_err(|_| AuthError::Failed)?;
            let token = match scheme {
                None => Bearer::ApiKey(text),
                Some(scheme) => match text.split_once(' ') {
                    Some((given, token)) if given.eq_ignore_ascii_case(scheme) => {
                        Bearer::Authorization(token.trim())
                    }
                    // No key uses another scheme.
                    _ => return Err(AuthError::Failed.into()),
                },
            };
            found = Some(token);
        }
    }
    Ok(found)
}
