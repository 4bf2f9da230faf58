//! A request that has been let in, as a handler sees it.

use bytes::Bytes;
use http::HeaderMap;

use crate::domain::auth::Caller;
use crate::domain::{Error, FieldError};
use crate::env::ServerEnv;
use crate::model::{CustomerId, TextId};
use crate::signing::AuthError;

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
    /// Who asks; `None` on routes that do not want to know.
    pub caller: Option<Caller>,
}

impl Call<'_> {
    /// Who asks. A route that forgot to say who may ask lets nobody in.
    pub fn caller(&self) -> Result<&Caller, Error> {
        self.caller.as_ref().ok_or(Error::Auth(AuthError::Missing))
    }

    /// The open segment as an id; what has not the form of one names nothing that exists.
    pub fn id(&self, what: &'static str) -> Result<TextId, Error> {
        let id = self.segment.and_then(decode_segment).and_then(|text| TextId::parse(&text).ok());
        id.ok_or(Error::NotFound(what))
    }

    /// The customer that the request is about: the one named or the key's own.
    pub fn customer(&self, named: Option<&CustomerId>) -> Result<Option<CustomerId>, Error> {
        self.caller()?.customer_for(named)
    }

    /// The same where there must be one.
    pub fn one_customer(&self, named: Option<&CustomerId>) -> Result<CustomerId, Error> {
        self.customer(named)?.ok_or_else(|| {
            let field = FieldError::new("customer_id", "must be given by a key of the platform");
            Error::Invalid(vec![field])
        })
    }
}
