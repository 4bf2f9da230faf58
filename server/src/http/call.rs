//! A request that has been let in, as a handler sees it.

use std::net::IpAddr;

use bytes::Bytes;
use http::HeaderMap;
use http::header::IF_MATCH;

use crate::domain::auth::Authenticated;
use crate::domain::principal::Principal;
use crate::domain::{Error, FieldError};
use crate::env::ServerEnv;
use crate::model::{Actor, CustomerId, Reach, RecordId, TextId};
use crate::signing::AuthError;
use crate::store::NonceUse;

use super::params::{Params, decode_segment};
use super::pattern::segment;
use super::routes::{IfMatch, Route};

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
    /// The endpoint.
    pub route: &'static Route,
    /// Names the request in answers and logs.
    pub request_id: &'a str,
    /// The path, as sent.
    pub path: &'a str,
    /// The client's address.
    pub address: IpAddr,
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

    /// Who makes the request, for the audit log.
    pub fn actor(&self) -> Result<Actor, Error> {
        Ok(self.principal()?.actor(self.request_id, self.address))
    }

    /// Spends the nonce of a signed write that does not carry it into its transaction. Call it before the change.
    pub async fn spend_nonce(&self) -> Result<(), Error> {
        self.env.auth().spend_nonce(self.nonce()).await
    }

    /// The version that the row must have: the one that If-Match names. `None` where any will do.
    pub fn expected_version(&self) -> Result<Option<i64>, Error> {
        let mut lines = self.headers.get_all(IF_MATCH).iter();
        match (self.route.if_match, lines.next(), lines.next()) {
            (IfMatch::Ignored, _, _) | (IfMatch::Optional, None, _) => Ok(None),
            (IfMatch::Required, None, _) => Err(Error::PreconditionRequired),
            (_, Some(line), None) => tag_version(line.to_str().unwrap_or_default()),
            (_, Some(_), Some(_)) => Err(Error::PreconditionFailed),
        }
    }

    /// The nonce of a signed write, not yet spent.
    pub fn nonce(&self) -> Option<NonceUse> {
        self.authenticated.as_ref()?.nonce
    }

    /// Checks that the caller reaches everything: a scope alone says nothing of whose data it is for.
    pub fn demand_platform(&self) -> Result<(), Error> {
        match self.reach()? {
            Reach::Everything => Ok(()),
            Reach::Customer(_) | Reach::Nothing => Err(Error::CustomerForbidden),
        }
    }

    /// A path parameter that is the id of `what`. Nothing has an id that is malformed.
    pub fn path_id(&self, name: &str, what: &'static str) -> Result<TextId, Error> {
        let undeclared = || Error::Internal(format!("{} has no parameter {name}", self.route.path));
        let segment = segment(self.route.path, self.path, name).ok_or_else(undeclared)?;
        let id = decode_segment(segment).and_then(|text| TextId::parse(&text).ok());
        id.ok_or(Error::NotFound(what))
    }

    /// The same for an id that SageAPI made.
    pub fn path_record_id(&self, name: &str, what: &'static str) -> Result<RecordId, Error> {
        RecordId::parse(self.path_id(name, what)?.as_str()).ok_or(Error::NotFound(what))
    }

    /// The one customer that the request is about.
    pub fn one_customer(&self, named: Option<&CustomerId>) -> Result<CustomerId, Error> {
        match self.reach()?.narrowed_to(named)? {
            Reach::Customer(customer) => Ok(customer),
            Reach::Nothing => Err(Error::CustomerForbidden),
            Reach::Everything => {
                let field = FieldError::new("customer_id", "is required for a key of the platform");
                Err(Error::Invalid(vec![field]))
            }
        }
    }
}

/// The version in an entity tag of ours, weak or strong; `None` for `*`. No row has a tag of another form.
fn tag_version(tag: &str) -> Result<Option<i64>, Error> {
    let tag = tag.trim();
    if tag == "*" {
        return Ok(None);
    }
    let opaque = tag.strip_prefix("W/").unwrap_or(tag);
    let digits = opaque.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let version = digits.and_then(|digits| digits.parse::<i64>().ok().filter(|n| n.to_string() == digits));
    version.map(Some).ok_or(Error::PreconditionFailed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_of_ours_names_a_version_and_a_star_any() {
        assert_eq!(tag_version("W/\"7\"").unwrap(), Some(7));
        assert_eq!(tag_version(" \"7\" ").unwrap(), Some(7));
        assert_eq!(tag_version("*").unwrap(), None);
        let long = "\"99999999999999999999\"";
        for other in [
            "",
            "7",
            "W/7",
            "\"\"",
            "\"",
            "\"07\"",
            "\"+7\"",
            "\" 7\"",
            "w/\"7\"",
            "\"7\", \"8\"",
            "\"a\"",
            long,
        ] {
            assert!(matches!(tag_version(other), Err(Error::PreconditionFailed)), "{other}");
        }
    }
}
