//! Who makes a request, and what it may reach and do.

use std::net::IpAddr;
use std::sync::Arc;

use crate::model::{Actor, ActorKind, Key, Reach, Scope, Scopes, UserId, UserRole};

use super::Error;
use super::sign_in::SignedIn;

/// Who makes a request. What it reaches and what it may do there are two things: neither follows from the other,
/// nor from who it is.
#[derive(Debug, Clone)]
pub struct Principal {
    /// Who it is.
    pub identity: Identity,
    /// Whose data it can reach.
    pub reach: Reach,
    /// The user as which it acts, where it acts as one.
    pub user: Option<UserId>,
    /// What it may do with what it reaches.
    pub scopes: Scopes,
    /// Whether a key proved it by the secret before its last rotation.
    pub by_previous_secret: bool,
}

/// What proved who a principal is.
#[derive(Debug, Clone)]
pub enum Identity {
    /// A key of the REST API.
    Key(Arc<Key>),
    /// An access token of a user who signed in.
    Session(SignedIn),
    /// A command on the server's own host.
    CommandLine,
}

impl Principal {
    /// The principal of an authenticated key.
    pub fn of_key(key: Arc<Key>, by_previous_secret: bool) -> Self {
        let (reach, scopes) = (key.reach.clone(), key.scopes);
        Self { reach, user: None, scopes, identity: Identity::Key(key), by_previous_secret }
    }

    /// The principal of a user who signed in. What it reaches and may do follows from the user's role and owner.
    pub fn of_session(signed_in: SignedIn) -> Self {
        let user = &signed_in.user;
        let (reach, scopes, id) = (user.reach(), user.scopes(), user.id.clone());
        let identity = Identity::Session(signed_in);
        Self { reach, scopes, user: Some(id), identity, by_previous_secret: false }
    }

    /// The user and the session of a token.
    ///
    /// # Errors
    /// [`Error::SessionRequired`] for anyone else.
    pub fn signed_in(&self) -> Result<&SignedIn, Error> {
        match &self.identity {
            Identity::Session(signed_in) => Ok(signed_in),
            Identity::Key(_) | Identity::CommandLine => Err(Error::SessionRequired),
        }
    }

    /// The user whose rows alone it sees; `None` where it sees those of all that it reaches.
    pub fn own_rows_of(&self) -> Option<&UserId> {
        match &self.identity {
            Identity::Session(signed_in) if signed_in.user.role == UserRole::User => Some(&signed_in.user.id),
            Identity::Session(_) | Identity::Key(_) | Identity::CommandLine => None,
        }
    }

    /// The principal of commands.
    pub fn command_line() -> Self {
        let scopes = Scope::ALL.iter().copied().collect();
        let (identity, reach) = (Identity::CommandLine, Reach::Everything);
        Self { identity, reach, user: None, scopes, by_previous_secret: false }
    }

    /// Who makes this request, for the audit log.
    pub fn actor(&self, request_id: &str, address: IpAddr) -> Actor {
        let (kind, id) = match &self.identity {
            Identity::Key(key) => (ActorKind::Key, key.key_id.to_string()),
            Identity::Session(signed_in) => (ActorKind::User, signed_in.user.id.to_string()),
            Identity::CommandLine => return Actor::command_line(),
        };
        Actor { kind, id, request_id: Some(request_id.to_owned()), address: Some(address) }
    }

    /// Checks that it has the scope.
    pub fn require(&self, scope: Scope) -> Result<(), Error> {
        if self.scopes.allow(scope) { Ok(()) } else { Err(Error::ScopeMissing(scope)) }
    }
}
