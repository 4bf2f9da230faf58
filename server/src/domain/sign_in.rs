//! Signing in: from a name and a password to a session, and from a refresh token to the next.

mod access;
mod metrics;
mod password;
mod rotation;
mod secrets;
mod seen;
#[cfg(test)]
mod simulation;
mod throttle;
mod tokens;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Error, FieldError};
use crate::model::{
    Actor, ActorKind, Clock, Entropy, Owner, RecordId, RevokedReason, Secret, Session, SessionKind,
    Timestamp, User, UserRole, Username, new_uuid,
};
use crate::store::{Bucket, NextGeneration, PasswordChange, Store};

pub use access::{AccessTokens, SignedIn};
pub use metrics::SignInMetrics;
pub use password::{Passwords, Verdict};
pub use tokens::{ACCESS_LIFE, is_jwt};

use rotation::Rotation;
use secrets::Secrets;
use tokens::RefreshToken;

/// A session ends after so long without a refresh.
const IDLE_LIFE: Duration = Duration::from_hours(30 * 24);
/// A session ends at the latest after so long.
const SESSION_LIFE: Duration = Duration::from_hours(90 * 24);
/// How often a refresh is tried again when others were faster.
const MAX_ATTEMPTS: usize = 5;

/// Signs users in.
pub struct SignIn {
    store: Store,
    passwords: Passwords,
    access: Arc<AccessTokens>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    metrics: SignInMetrics,
}

/// What a user sends to sign in.
#[derive(Debug)]
pub struct Credentials {
    /// Whose user.
    pub owner: Owner,
    /// The name, as sent.
    pub username: String,
    /// The password.
    pub password: Secret,
    /// What an earlier sign-in on this device was given.
    pub device_token: Option<Secret>,
    /// What the client calls its device.
    pub device_name: Option<String>,
    /// Where the request comes from.
    pub address: IpAddr,
}

/// What a request without a principal came as, for the audit log.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// Its id.
    pub request_id: &'a str,
    /// Where it comes from.
    pub address: IpAddr,
}

/// What a user who signed in gets.
#[derive(Debug)]
pub struct Tokens {
    /// For requests.
    pub access: Secret,
    /// For the next tokens.
    pub refresh: Secret,
    /// The session ends then, unless refreshed.
    pub refresh_expires_at: Timestamp,
    /// For the next sign-in on this device; a refresh gives none.
    pub device: Option<Secret>,
    /// Who signed in.
    pub user: Arc<User>,
    /// The session.
    pub session: RecordId,
    /// Whether a refresh gave these tokens before.
    pub replayed: bool,
}

impl SignIn {
    /// Over these parts.
    pub fn new(
        store: Store,
        passwords: Passwords,
        access: Arc<AccessTokens>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        metrics: SignInMetrics,
    ) -> Self {
        Self { store, passwords, access, clock, entropy, metrics }
    }

    /// Hashing, for those who set passwords of others.
    pub fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// Checking of access tokens.
    pub fn access(&self) -> &Arc<AccessTokens> {
        &self.access
    }

    /// Whether users can sign in: there is a secret for their tokens.
    pub fn is_on(&self) -> bool {
        self.access.secrets().is_some()
    }

    fn secrets(&self) -> Result<Arc<Secrets>, Error> {
        self.access.secrets().ok_or(Error::NotFound("path"))
    }

    /// Signs a user in.
    ///
    /// # Errors
    /// [`Error::LoginFailed`] for a wrong name and a wrong password alike, [`Error::RateLimited`],
    /// [`Error::UserDisabled`] after a right password alone, [`Error::Overloaded`] where too many sign in at once.
    pub async fn login(&self, credentials: Credentials) -> Result<Tokens, Error> {
        let result = self.check_and_begin(credentials).await;
        self.metrics.login(&result);
        result
    }

    async fn check_and_begin(&self, credentials: Credentials) -> Result<Tokens, Error> {
        let secrets = self.secrets()?;
        let Credentials { owner, username, password, device_token, device_name, address } = credentials;
        if !Passwords::is_possible(&password) {
            return Err(Error::LoginFailed);
        }
        let name = Username::parse(&username).ok();
        let user = match &name {
            Some(name) => self.store.user_by_name(&owner, name).await?,
            None => None,
        };
        let now = self.clock.now();
        let known = user.as_ref().zip(device_token.as_ref());
        let device =
            known.and_then(|(user, token)| tokens::read_device_token(&secrets, token.expose(), user, now));
        let buckets = if let (Some(user), Some(device)) = (&user, device) {
            throttle::known_device(&user.id, device)
        } else {
            let account = name.as_ref().map_or(username.as_str(), Username::as_str);
            throttle::unknown_device(owner.as_str(), account, address)
        };
        self.take(&buckets).await?;
        let stored = user.as_ref().and_then(|user| user.password_hash.clone());
        let verdict = self.verify(password, stored.clone(), &buckets).await?;
        let (Some(user), Verdict::Right { rehashed }) = (user, verdict) else {
            return Err(Error::LoginFailed);
        };
        self.store.give_tokens_back(buckets).await?;
        if !user.is_active {
            return Err(Error::UserDisabled);
        }
        if let Some((old, new)) = stored.zip(rehashed) {
            self.store.rehash_password(&user.id, old, new).await?;
        }
        let device = device.unwrap_or_else(|| new_uuid(now, &*self.entropy));
        let device = tokens::device_token(secrets.current(), &user, device, now);
        let session = self.begin(&secrets, &user, device_name, address).await?;
        let tokens = make(&secrets, Arc::new(user), &session, self.clock.now(), false)?;
        Ok(Tokens { device: Some(Secret::new(device)), ..tokens })
    }

    async fn take(&self, buckets: &[Bucket]) -> Result<(), Error> {
        let taken = self.store.take_tokens(buckets.to_vec()).await?;
        taken.map_err(|wait| Error::RateLimited(wait.as_secs() + 1))
    }

    /// Compares a password with a stored hash. Where too many wait to do so, nothing was tried, and no token is spent.
    async fn verify(
        &self,
        password: Secret,
        stored: Option<Secret>,
        buckets: &[Bucket],
    ) -> Result<Verdict, Error> {
        let verdict = self.passwords.verify(password, stored).await;
        if matches!(verdict, Err(Error::Overloaded)) {
            self.store.untake_tokens(buckets.to_vec()).await?;
        }
        verdict
    }

    async fn begin(
        &self,
        secrets: &Secrets,
        user: &User,
        device_name: Option<String>,
        address: IpAddr,
    ) -> Result<Session, Error> {
        let now = self.store.now().await?;
        let session = Session {
            id: RecordId(new_uuid(now, &*self.entropy)),
            kind: SessionKind::Api,
            user_id: user.id.clone(),
            owner: user.owner.clone(),
            generation: 1,
            generation_seen: 0,
            kid: secrets.current().kid().to_owned(),
            rotated_at: now,
            idle_until: now.plus(IDLE_LIFE),
            expires_at: now.plus(SESSION_LIFE),
            last_seen: Some(now),
            reauthenticated_at: now,
            revoked_at: None,
            revoked_reason: None,
            device_name,
            address: Some(address.to_canonical().to_string()),
            version: 1,
            created_at: now,
        };
        if self.store.create_session(session.clone(), user.security_version).await? {
            Ok(session)
        } else {
            Err(Error::LoginFailed)
        }
    }

    /// The next tokens of a session. A token whose answer was lost gets the same successor again.
    ///
    /// # Errors
    /// [`Error::TokenInvalid`], [`Error::TokenExpired`]; [`Error::TokenReused`] ends the session.
    pub async fn refresh(&self, token: &str, from: &Origin<'_>) -> Result<Tokens, Error> {
        let result = self.check_and_rotate(token, from).await;
        self.metrics.refresh(&result);
        result
    }

    async fn check_and_rotate(&self, token: &str, from: &Origin<'_>) -> Result<Tokens, Error> {
        let secrets = self.secrets()?;
        let token = RefreshToken::parse(token).ok_or(Error::TokenInvalid)?;
        if !token.is_genuine(&secrets) {
            return Err(self.unknown_secret(&secrets, &token).await?.unwrap_or(Error::TokenInvalid));
        }
        for _ in 0..MAX_ATTEMPTS {
            let found = self.store.session_and_now(token.family).await?;
            let (session, now) = found.ok_or(Error::TokenExpired)?;
            match rotation::decide(&session, token.generation, now) {
                Rotation::Rotate => {
                    let user = self.active(&session).await?;
                    let next = next_of(&session, &secrets, now);
                    if !self.store.rotate_session(next.clone()).await? {
                        continue;
                    }
                    let rotated =
                        Session { generation: next.after + 1, kid: next.kid, rotated_at: now, ..session };
                    let idle_until = next.idle_until.min(rotated.expires_at);
                    return make(&secrets, user, &Session { idle_until, ..rotated }, self.clock.now(), false);
                }
                Rotation::Replay => {
                    let user = self.active(&session).await?;
                    // What ends all sessions of a user changes the user too: seen after that, the session has ended.
                    if self.store.session(session.id).await?.is_none_or(|now| now.revoked_at.is_some()) {
                        return Err(Error::TokenExpired);
                    }
                    return make(&secrets, user, &session, self.clock.now(), true);
                }
                Rotation::Reused => {
                    let by = Actor {
                        kind: ActorKind::User,
                        id: session.user_id.to_string(),
                        request_id: Some(from.request_id.to_owned()),
                        address: Some(from.address),
                    };
                    self.store.revoke_session(session.id, RevokedReason::TokenReused, &by).await?;
                    return Err(Error::TokenReused);
                }
                Rotation::Ended => return Err(Error::TokenExpired),
                Rotation::Unknown => return Err(Error::TokenInvalid),
            }
        }
        Err(Error::Overloaded)
    }

    /// A token may be computed with a secret that this instance has not been given yet: that is not the client's fault.
    async fn unknown_secret(&self, secrets: &Secrets, token: &RefreshToken) -> Result<Option<Error>, Error> {
        let session = self.store.session(token.family).await?;
        let unknown = session
            .filter(|session| secrets.named(&session.kid).is_none() && session.is_live(self.clock.now()));
        Ok(unknown.map(|session| {
            Error::StoreUnavailable(format!(
                "the session {} uses the JWT secret {}, which this instance does not have; see auth.previous_jwt_secrets",
                session.id, session.kid
            ))
        }))
    }

    async fn active(&self, session: &Session) -> Result<Arc<User>, Error> {
        let user = self.store.user(&session.user_id).await?.ok_or(Error::TokenExpired)?;
        if user.is_active { Ok(Arc::new(user)) } else { Err(Error::TokenExpired) }
    }

    /// Ends the session of a user who signs out.
    pub async fn logout(&self, who: &SignedIn, by: &Actor) -> Result<(), Error> {
        self.store.revoke_session(who.session.id, RevokedReason::Logout, by).await?;
        Ok(())
    }

    /// Ends a session of the user's own.
    ///
    /// # Errors
    /// [`Error::NotFound`] for any other.
    pub async fn revoke_own(&self, who: &SignedIn, id: RecordId, by: &Actor) -> Result<(), Error> {
        let session = self.store.session(id).await?.filter(|session| session.user_id == who.user.id);
        session.ok_or(Error::NotFound("session"))?;
        self.store.revoke_session(id, RevokedReason::Revoked, by).await?;
        Ok(())
    }

    /// Changes a user's own password: all other sessions end, and this one gets new tokens.
    ///
    /// # Errors
    /// [`Error::LoginFailed`] for a wrong current password; [`Error::Invalid`] for one that may not be set.
    pub async fn change_password(
        &self,
        who: &SignedIn,
        current: Secret,
        new: Secret,
        by: &Actor,
    ) -> Result<Tokens, Error> {
        let secrets = self.secrets()?;
        let user = self.store.user(&who.user.id).await?.ok_or(Error::TokenExpired)?;
        check_new(user.role, &new)?;
        if !Passwords::is_possible(&current) {
            return Err(Error::LoginFailed);
        }
        let buckets = throttle::reauthentication(&user.id);
        self.take(&buckets).await?;
        let verdict = self.verify(current, user.password_hash.clone(), &buckets).await?;
        let Verdict::Right { .. } = verdict else { return Err(Error::LoginFailed) };
        self.store.give_tokens_back(buckets).await?;
        let hash = self.passwords.hash(new).await?;
        let now = self.store.now().await?;
        let change = PasswordChange {
            user: user.id.clone(),
            owner: user.owner.clone(),
            security_version: user.security_version,
            hash,
            session: who.session.id,
            kid: secrets.current().kid().to_owned(),
            idle_until: now.plus(IDLE_LIFE),
        };
        let changed = self.store.change_own_password(change, by).await?;
        let (session, security_version) = changed
            .ok_or(Error::Conflict("the user was changed or signed out meanwhile; sign in and try again"))?;
        let user = Arc::new(User { security_version, ..user });
        let device = tokens::device_token(secrets.current(), &user, new_uuid(now, &*self.entropy), now);
        let tokens = make(&secrets, user, &session, self.clock.now(), false)?;
        Ok(Tokens { device: Some(Secret::new(device)), ..tokens })
    }
}

fn check_new(role: UserRole, new: &Secret) -> Result<(), Error> {
    Passwords::check(role, new).map_err(|error| match error {
        Error::Invalid(fields) => {
            let renamed = fields.into_iter().map(|field| FieldError::new("new", field.message));
            Error::Invalid(renamed.collect())
        }
        other => other,
    })
}

fn next_of(session: &Session, secrets: &Secrets, now: Timestamp) -> NextGeneration {
    NextGeneration {
        session: session.id,
        after: session.generation,
        kid: secrets.current().kid().to_owned(),
        now,
        idle_until: now.plus(IDLE_LIFE),
    }
}

/// The tokens of a session's generation, computed with the secret that its row names.
fn make(
    secrets: &Secrets,
    user: Arc<User>,
    session: &Session,
    now: Timestamp,
    replayed: bool,
) -> Result<Tokens, Error> {
    let secret = secrets.named(&session.kid).ok_or_else(|| {
        Error::StoreUnavailable(format!("the JWT secret {} is not configured on this instance", session.kid))
    })?;
    Ok(Tokens {
        access: Secret::new(tokens::access_token(secret, &user, session, now)),
        refresh: Secret::new(tokens::refresh_token(secret, session.id, session.generation)),
        refresh_expires_at: session.idle_until.min(session.expires_at),
        device: None,
        user,
        session: session.id,
        replayed,
    })
}
