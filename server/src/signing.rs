//! Request signatures (RFC 9421, `hmac-sha256`), body digests (RFC 9530) and Standard Webhooks: parse, check,
//! make.
//!
//! This module knows bytes, not keys: it reads no clock, no randomness and no store. A verifier calls, in
//! this order, [`ParsedSignature::parse`], [`ParsedSignature::check_nonce_form`],
//! [`ParsedSignature::check_time`], [`ParsedSignature::check_coverage`], [`ParsedSignature::signature_base`]
//! and [`ParsedSignature::verify`], and once the body is there [`check_content_digest`]. A client makes the
//! same headers with a [`Signer`].

mod component;
mod digest;
mod error;
mod fields;
mod hmac_key;
mod input;
mod message;
mod plain;
mod query_param;
mod sign;
pub mod webhook;

#[cfg(test)]
mod tests;

pub use component::is_coverable;
pub use digest::{check_content_digest, content_digest};
pub use error::{AuthError, SignError};
pub use hmac_key::HmacKey;
pub use message::ParsedSignature;
pub use sign::Signer;

/// The value of the `tag` parameter that marks a signature as meant for this service.
pub const TAG: &str = "sageapi";

/// Header that carries the signatures (RFC 9421 section 4.2).
pub const SIGNATURE: &str = "signature";

/// Header that says what each signature covers (RFC 9421 section 4.1).
pub const SIGNATURE_INPUT: &str = "signature-input";

/// Header that carries digests of the body (RFC 9530 section 2).
pub const CONTENT_DIGEST: &str = "content-digest";

/// Header that names a write so that it can be repeated safely; covered whenever it is sent.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What a signature can cover, borrowed from the request as it was received or will be sent.
#[derive(Clone, Copy)]
pub struct SignedRequest<'a> {
    /// The method, compared as written: methods are case-sensitive.
    pub method: &'a http::Method,
    /// `http` or `https`, in any case.
    pub scheme: &'a str,
    /// Host and port as the client wrote them; case and a default port make no difference.
    pub authority: &'a str,
    /// Scheme and authority as the request line has them, if its target is a whole URI (RFC 9112 section 3.2.2).
    pub target_origin: Option<(&'a str, &'a str)>,
    /// The path as sent, percent-encoding untouched.
    pub path: &'a str,
    /// The query as sent without its `?`; `None` when the target has no `?` at all.
    pub query: Option<&'a str>,
    /// All header fields.
    pub headers: &'a http::HeaderMap,
}
