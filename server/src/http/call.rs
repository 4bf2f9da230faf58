//! A request that has been let in, as a handler sees it.

use bytes::Bytes;
use http::HeaderMap;

use crate::domain::auth::Authenticated;
use crate::domain::principal::Principal;
use crate::domain::{Error, FieldError};
use crate::env::ServerEnv;
use crate::model::{CustomerId, Reach, RecordId, TextId};
use crate::signing::AuthError;
use crate::store::NonceUse;

use super::params::{Params, decode_segment};
use super::pattern::segment;

/// A request that has been let in: its form is checked, and its caller is known if the route needs one.
pub struct Call<'a> {
    /// The server.
    pub env: &'a ServerEnv,
    /// All header fields.
    pub headers: &'a HeaderMap,
    /// The query parameters.
    pub params: Params<'a>,
    /// The body.
    pub body: Bytes,
    /// The pattern of its path.
    pub pattern: &'static str,
    /// Names the request in answers and logs.
    pub request_id: &'a str,
    /// The path, as sent.
    pub path: &'a str,
    /// Who makes it, on routes that need a key.
    pub authenticated: Option<Authenticated>,
}

impl Call<'_> {
    /// Who makes the request. A route that is open to anyone has no principal, so this fails there.
    pub fn principal(&self) -> Result<&Principal, Error> {
        let authenticated = self.authenticated.as_ref().ok_or(Error::Auth(AuthError::Missing))?;
        Ok(&authenticated.principal)
    }

    /// Whose data the request can reach.
    pub fn reach(&self) -> Result<&Reach, Error> {
        Ok(&self.principal()?.reach)
    }

    /// The nonce of a signed write, not yet spent.
    pub fn nonce(&self) -> Option<NonceUse> {
        self.authenticated.as_ref()?.nonce
    }

    /// A path parameter that is the id of `what`. Nothing has an id that is malformed.
    pub fn path_id(&self, name: &str, what: &'static str) -> Result<TextId, Error> {
        let undeclared = || Error::Internal(format!("{} has no parameter {name}", self.pattern));
        let segment = segment(self.pattern, self.path, name).ok_or_else(undeclared)?;
        let id = decode_segment(segment).and_then(|text| TextId::parse(&text).ok());
        id.ok_or(Error::NotFound(what))
    }

    /// The same for an id that SageAPI made.
    pub fn path_record_id(&self, name: &str, what: &'static str) -> Result<RecordId, Error> {
        RecordId::parse(self.path_id(name, what)?.as_str()).ok_or(Error::NotFound(what))
    }

    /// The customer to filter by: the one named or the caller's own; `None` is no filter.
    pub fn customer(&self, named: Option<&CustomerId>) -> Result<Option<CustomerId>, Error> {
        Ok(self.reach()?.customer_for(named)?)
    }

    /// The one customer that the request is about.
    pub fn one_customer(&self, named: Option<&CustomerId>) -> Result<CustomerId, Error> {
        self.customer(named)?.ok_or_else(|| {
            let field = FieldError::new("customer_id", "is required for a key of the platform");
            Error::Invalid(vec![field])
        })
    }
}
