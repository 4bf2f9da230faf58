//! Why a signature is refused, and why one cannot be made.

use std::borrow::Cow;

/// Why a request's credentials are refused. No variant holds a secret or an expected signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The request carries no credentials.
    #[error(
        "no credentials: sign the request (RFC 9421, hmac-sha256) or send the ones your key was made for"
    )]
    Missing,
    /// The signature headers break the RFC or this service's profile of it.
    #[error("malformed signature: {0}")]
    Malformed(Cow<'static, str>),
    /// The signature leaves out something that must be signed; the text says what to add.
    #[error("the signature must cover {0}: add it to the covered components")]
    Uncovered(String),
    /// `created` is too far from the server's clock, or `expires` has passed.
    #[error("the signature is outside its time: check the clock of the client and sign again")]
    Expired,
    /// Unknown key, wrong signature or wrong digest; deliberately indistinguishable.
    #[error(
        "the signature does not verify: check the key id, the secret and that nothing changed after signing"
    )]
    Failed,
    /// The nonce was used before. Made by those who remember nonces, never in this module.
    #[error("this nonce was used before: sign each write with a new one")]
    Replay,
}

impl AuthError {
    pub(super) fn malformed(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Malformed(reason.into())
    }
}

/// Why a request cannot be signed: always a mistake of the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// A text that goes into a header holds a character that headers cannot carry.
    #[error("the {0} must be printable ASCII: correct it and sign again")]
    NotPrintable(&'static str),
    /// The nonce is not 16 to 64 printable characters.
    #[error("the nonce must be 16 to 64 characters of [!-~]")]
    Nonce,
    /// `created` does not fit a structured field integer (15 digits).
    #[error("created = {0} is not a time in Unix seconds")]
    Created(i64),
    /// A component to cover is unknown, or the request does not have it.
    #[error("`{name}` cannot be covered")]
    Component {
        /// The component as the caller named it.
        name: String,
        /// What is wrong with it.
        source: AuthError,
    },
}
