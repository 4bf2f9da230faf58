//! Who makes a request, and what it may reach and do.

use std::sync::Arc;

use crate::model::{Key, Reach, Scope, Scopes, UserId};

use super::Error;

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
}

/// What proved who a principal is.
#[derive(Debug, Clone)]
pub enum Identity {
    /// A key of the REST API.
    Key(Arc<Key>),
    /// A command on the server's own host.
    CommandLine,
}

impl Principal {
    /// The principal of an authenticated key.
    pub fn of_key(key: Arc<Key>) -> Self {
        Self { reach: key.reach.clone(), user: None, scopes: key.scopes, identity: Identity::Key(key) }
    }

    /// The principal of commands.
    pub fn command_line() -> Self {
        let scopes = Scope::ALL.iter().copied().collect();
        Self { identity: Identity::CommandLine, reach: Reach::Everything, user: None, scopes }
    }

    /// Checks that it has the scope.
    pub fn require(&self, scope: Scope) -> Result<(), Error> {
        if self.scopes.contains(scope) { Ok(()) } else { Err(Error::ScopeMissing(scope)) }
    }
}
