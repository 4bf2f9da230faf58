//! The signature of a received request, and the steps of checking it.

use std::borrow::Cow;

use http::HeaderMap;
use subtle::{Choice, ConstantTimeEq};

use super::component::Component;
use super::error::AuthError;
use super::hmac_key::HmacKey;
use super::input::{self, Announced, Covered};
use super::{CONTENT_DIGEST, IDEMPOTENCY_KEY, SIGNATURE, SIGNATURE_INPUT, SignedRequest, fields, plain};

/// The one signature of a request that counts, parsed but not yet believed.
#[derive(Debug)]
pub struct ParsedSignature<'a> {
    key_id: Cow<'a, str>,
    created: i64,
    expires: Option<i64>,
    nonce: Option<Cow<'a, str>>,
    covered: Vec<Covered<'a>>,
    params: Cow<'a, str>,
    signature: Vec<u8>,
}

impl<'a> ParsedSignature<'a> {
    /// Reads `Signature-Input` and `Signature`; `None` when the request has neither.
    ///
    /// Of several signatures the one tagged `sageapi` counts; a lone one may do without a tag.
    /// [`AuthError::Malformed`] for everything that RFC 9421 or this service's profile forbids, covered
    /// headers that are absent included.
    pub fn parse(headers: &'a HeaderMap) -> Result<Option<Self>, AuthError> {
        match (headers.contains_key(SIGNATURE_INPUT), headers.contains_key(SIGNATURE)) {
            (false, false) => return Ok(None),
            (true, true) => {}
            _ => return Err(AuthError::malformed("signature and signature-input must be sent together")),
        }
        let announced = plain::announced(headers).map_or_else(|| input::choose(headers), Ok)?;
        let Announced { label, covered, params, created, expires, nonce, key_id, .. } = announced;
        let signature = match plain::signature(headers, label) {
            Some(signature) => Some(signature),
            None => fields::byte_sequences(headers, SIGNATURE, [label])?.into_iter().flatten().next(),
        };
        let missing = |what: &str| AuthError::malformed(format!("{what} is missing"));
        let parsed = Self {
            key_id: key_id.ok_or_else(|| missing("keyid"))?,
            created: created.ok_or_else(|| missing("created"))?,
            expires,
            nonce,
            covered,
            params,
            signature: signature.ok_or_else(|| missing("the signature that signature-input announces"))?,
        };
        for covered in &parsed.covered {
            if let Component::Field(name) = &covered.component
                && !headers.contains_key(&**name)
            {
                return Err(missing(&format!("the covered header `{name}`")));
            }
        }
        Ok(Some(parsed))
    }

    /// The key that is claimed to have signed. Any text; not yet verified.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The nonce, if there is one.
    pub fn nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }

    /// When the signature was made, in Unix seconds.
    pub fn created(&self) -> i64 {
        self.created
    }

    /// From when on the signature no longer counts, in Unix seconds.
    pub fn expires(&self) -> Option<i64> {
        self.expires
    }

    /// The value of `@signature-params`: the received list of components, serialized strictly.
    pub fn params(&self) -> &str {
        &self.params
    }

    /// Whether the component of this identifier is covered.
    pub fn covers(&self, id: &str) -> bool {
        self.covered.iter().any(|covered| covered.component.id() == id)
    }

    /// A write needs a nonce, and a nonce is always 16 to 64 characters of `[!-~]`. Whether it is new is not
    /// known here.
    pub fn check_nonce_form(&self, is_write: bool) -> Result<(), AuthError> {
        match self.nonce() {
            Some(nonce) if !is_nonce(nonce) => {
                Err(AuthError::malformed("the nonce must be 16 to 64 characters of [!-~]"))
            }
            None if is_write => Err(AuthError::malformed("the nonce is missing: a write needs one")),
            _ => Ok(()),
        }
    }

    /// `created` within `skew_s` seconds of `now_unix_s` on either side, and `expires` still ahead.
    pub fn check_time(&self, now_unix_s: i64, skew_s: i64) -> Result<(), AuthError> {
        let too_far = self.created.abs_diff(now_unix_s) > skew_s.unsigned_abs();
        if too_far || self.expires.is_some_and(|expires| expires <= now_unix_s) {
            return Err(AuthError::Expired);
        }
        Ok(())
    }

    /// Everything that must be signed is: method, path, query if any, body digest if `has_body`,
    /// `idempotency-key` if sent, and the identifiers in `required_components`. [`AuthError::Uncovered`]
    /// names the first that is not.
    pub fn check_coverage(
        &self,
        request: &SignedRequest<'_>,
        has_body: bool,
        required_components: &[String],
    ) -> Result<(), AuthError> {
        let whole_target = self.covers("@target-uri") || self.covers("@request-target");
        let uncovered = if !self.covers("@method") {
            "@method"
        } else if !whole_target && !self.covers("@path") {
            "@path (or @target-uri, or @request-target)"
        } else if !whole_target && request.query.is_some() && !self.covers("@query") {
            "@query (or @target-uri, or @request-target)"
        } else if has_body && !self.covers(CONTENT_DIGEST) {
            CONTENT_DIGEST
        } else if request.headers.contains_key(IDEMPOTENCY_KEY) && !self.covers(IDEMPOTENCY_KEY) {
            IDEMPOTENCY_KEY
        } else if let Some(required) = required_components.iter().find(|id| !self.covers(id)) {
            required
        } else {
            return Ok(());
        };
        Err(AuthError::Uncovered(uncovered.to_owned()))
    }

    /// Appends the signature base (RFC 9421 section 2.5) of `request` to `out`.
    pub fn signature_base(&self, request: &SignedRequest<'_>, out: &mut Vec<u8>) -> Result<(), AuthError> {
        for Covered { component, id } in &self.covered {
            write_line(&self.params.as_bytes()[id.clone()], component, request, out)?;
        }
        write_params_line(&self.params, out);
        Ok(())
    }

    /// Whether one of the two live secrets of the key made this signature over `base`.
    ///
    /// Two HMACs are computed whatever is given, and compared in constant time, so that neither an unknown
    /// key nor the number of its secrets shows in the time this takes.
    pub fn verify(&self, base: &[u8], first: Option<&HmacKey>, second: Option<&HmacKey>) -> bool {
        (self.made_by(first, base) | self.made_by(second, base)).into()
    }

    fn made_by(&self, key: Option<&HmacKey>, base: &[u8]) -> Choice {
        let tag = key.unwrap_or_else(|| HmacKey::dummy()).tag(&[base]);
        tag.as_slice().ct_eq(&self.signature) & Choice::from(u8::from(key.is_some()))
    }
}

/// One line of a signature base: the identifier as serialized, then the value.
pub(super) fn write_line(
    id: &[u8],
    component: &Component<'_>,
    request: &SignedRequest<'_>,
    out: &mut Vec<u8>,
) -> Result<(), AuthError> {
    out.extend_from_slice(id);
    out.extend_from_slice(b": ");
    component.write_value(request, out)?;
    out.push(b'\n');
    Ok(())
}

/// The last line of a signature base, which no newline ends.
pub(super) fn write_params_line(params: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"@signature-params\": ");
    out.extend_from_slice(params.as_bytes());
}

/// 16 to 64 printable characters without spaces.
pub(super) fn is_nonce(nonce: &str) -> bool {
    (16..=64).contains(&nonce.len()) && nonce.bytes().all(|b| b.is_ascii_graphic())
}
