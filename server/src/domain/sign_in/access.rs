//! Access by tokens: from a token to the user and the session that it stands for, by cached rows.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::secrets::Secrets;
use super::seen::SeenGenerations;
use super::tokens::{BadToken, Claims, read_access_token};
use crate::config::LiveConfig;
use crate::domain::Error;
use crate::domain::caches::{CacheSpec, Caches, Invalidated, Versioned};
use crate::model::{Clock, RecordId, Secret, Session, User, UserId};
use crate::store::Store;

/// How long cached rows give access while the database is away; short, as for keys.
const STALE_LIMIT: Duration = Duration::from_secs(60);
/// What a cached row takes, in bytes, rounded up.
const USER_WEIGHT: usize = 700;
const SESSION_WEIGHT: usize = 500;

/// The user and the session behind an access token.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The user.
    pub user: Arc<User>,
    /// The session.
    pub session: Arc<Session>,
}

/// Checks access tokens.
pub struct AccessTokens {
    store: Store,
    users: Arc<Versioned<String, User>>,
    sessions: Arc<Versioned<RecordId, Session>>,
    seen: SeenGenerations,
    clock: Arc<dyn Clock>,
    config: LiveConfig,
    /// For a configuration without a secret, where there is one beside the database.
    own_secret: Option<Secret>,
    prepared: ArcSwapOption<Prepared>,
}

/// Secrets made ready, and what they were made from.
struct Prepared {
    current: Secret,
    previous: Vec<Secret>,
    secrets: Arc<Secrets>,
}

impl AccessTokens {
    /// Makes the caches `signed_in_users` and `sessions`. `own_secret` is used where the configuration has none.
    pub fn new(
        store: Store,
        caches: &Caches,
        clock: Arc<dyn Clock>,
        config: LiveConfig,
        own_secret: Option<Secret>,
    ) -> Self {
        let users = caches.make(&CacheSpec {
            name: "signed_in_users",
            share: 1,
            stale_limit: STALE_LIMIT,
            weigh: |_| USER_WEIGHT,
            invalidated: |changed| match changed.users.as_slice() {
                [] => Invalidated::Nothing,
                ids => Invalidated::Keys(ids.to_vec()),
            },
        });
        let sessions = caches.make(&CacheSpec {
            name: "sessions",
            share: 1,
            stale_limit: STALE_LIMIT,
            weigh: |_| SESSION_WEIGHT,
            invalidated: |changed| match changed.sessions.as_slice() {
                [] => Invalidated::Nothing,
                ids => Invalidated::Keys(ids.iter().filter_map(|id| RecordId::parse(id)).collect()),
            },
        });
        let seen = SeenGenerations::new();
        Self { store, users, sessions, seen, clock, config, own_secret, prepared: ArcSwapOption::empty() }
    }

    /// The secrets in force; `None` where signing in is off.
    pub fn secrets(&self) -> Option<Arc<Secrets>> {
        self.config.read(|config| {
            let current = config.auth.jwt_secret.as_ref().or(self.own_secret.as_ref())?;
            let previous = &config.auth.previous_jwt_secrets;
            if let Some(prepared) = &*self.prepared.load()
                && prepared.current == *current
                && prepared.previous == *previous
            {
                return Some(prepared.secrets.clone());
            }
            let secrets = Arc::new(Secrets::new(current, previous));
            let (current, previous) = (current.clone(), previous.clone());
            self.prepared.store(Some(Arc::new(Prepared { current, previous, secrets: secrets.clone() })));
            Some(secrets)
        })
    }

    /// Checks a token's signature and time, without asking anyone.
    ///
    /// # Errors
    /// [`Error::TokenInvalid`], [`Error::TokenExpired`].
    pub fn read(&self, token: &str) -> Result<Claims, Error> {
        let secrets = self.secrets().ok_or(Error::TokenInvalid)?;
        read_access_token(&secrets, token, self.clock.now()).map_err(|bad| match bad {
            BadToken::Invalid => Error::TokenInvalid,
            BadToken::Expired => Error::TokenExpired,
        })
    }

    /// The user and the session that the claims of a genuine token stand for, as long as both give access.
    ///
    /// # Errors
    /// [`Error::TokenExpired`] where access has ended.
    pub async fn resolve(&self, claims: &Claims) -> Result<SignedIn, Error> {
        let (Ok(user_id), Some(family)) = (UserId::parse(&claims.sub), RecordId::parse(&claims.family))
        else {
            return Err(Error::TokenInvalid);
        };
        let load_user = || async {
            let user = self.store.user(&user_id).await?;
            Ok(user.map(|user| {
                let version = user.version;
                (user, version)
            }))
        };
        let load_session = || async {
            let session = self.store.session(family).await?;
            Ok(session.map(|session| {
                let version = session.version;
                (session, version)
            }))
        };
        let entry = self.users.get(&claims.sub, load_user).await?;
        let made_later = claims.iat >= entry.loaded.seconds();
        let mut user = entry.value.ok_or(Error::TokenExpired)?;
        let mut session = self.sessions.get(&family, load_session).await?.value.ok_or(Error::TokenExpired)?;
        // A token that is newer than a cached row was made by an instance that knows more.
        if user.security_version < claims.security_version || (!user.is_active && made_later) {
            user = self.users.reload(&claims.sub, load_user).await?.value.ok_or(Error::TokenExpired)?;
        }
        if session.generation < claims.generation {
            session = match self.sessions.reload(&family, load_session).await {
                // A cached row that is older by some refreshes serves as well.
                Err(Error::StoreUnavailable(_)) => session,
                Ok(entry) => {
                    let known = entry.value.filter(|session| session.generation >= claims.generation);
                    known.ok_or(Error::TokenExpired)?
                }
                Err(error) => return Err(error),
            };
        }
        let current = user.is_active && user.security_version == claims.security_version;
        // The row may be older than the token, and so may its time of idling.
        let live = session.revoked_at.is_none() && self.clock.now() < session.expires_at;
        let theirs = session.user_id == user.id && claims.customer == user.owner.as_str();
        if !current || !live || !theirs {
            return Err(Error::TokenExpired);
        }
        if session.generation_seen < claims.generation && !self.config.read(|config| config.server.read_only)
        {
            self.seen.note(family, claims.generation);
        }
        Ok(SignedIn { user, session })
    }

    /// What notes the generations that were seen, to be run beside requests.
    pub fn seen(&self) -> &SeenGenerations {
        &self.seen
    }
}
