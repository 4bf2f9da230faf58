//! A request that has been let in, as a handler sees it.

use bytes::Bytes;
use http::HeaderMap;

use crate::domain::auth::Authenticated;
use crate::domain::principal::Principal;
use crate::domain::{Error, FieldError};
use crate::env::ServerEnv;
use crate::model::{CustomerId, Reach, TextId};
use crate::signing::AuthError;
use crate::store::NonceUse;

use super::params::{Params, decode_segment};

/// A request that has been let in: its form is checked, its caller known if the route asks for one.
pub struct Call<'a> {
    /// The server.
    pub env: &'a ServerEnv,
    /// All header fields.
    pub headers: &'a HeaderMap,
    /// The query parameters.
    pub params: Params<'a>,
    /// The body.
    pub body: Bytes,
    /// The segment that the route's pattern leaves open, as sent.
    pub segment: Option<&'a str>,
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

    /// The open segment as an id; what has not the form of one names nothing that exists.
    pub fn id(&self, what: &'static str) -> Result<TextId, Error> {
        let id = self.segment.and_then(decode_segment).and_then(|text| TextId::parse(&text).ok());
        id.ok_or(Error::NotFound(what))
    }

    /// The customer that the request is about: the one named or the key's own.
    pub fn customer(&self, named: Option<&CustomerId>) -> Result<Option<CustomerId>, Error> {
        Ok(self.reach()?.customer_for(named)?)
    }

    /// The same where there must be one.
    pub fn one_customer(&self, named: Option<&CustomerId>) -> Result<CustomerId, Error> {
        self.customer(named)?.ok_or_else(|| {
            let field = FieldError::new("customer_id", "must be given by a key of the platform");
            Error::Invalid(vec![field])
        })
    }
}
