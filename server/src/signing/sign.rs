//! Making signatures: what the upstream pull, the commands and the tests send.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use sfv::{Integer, ListSerializer, StringRef, key_ref, string_ref};

use super::component::Component;
use super::digest::content_digest;
use super::error::SignError;
use super::hmac_key::HmacKey;
use super::message::{is_nonce, write_line, write_params_line};
use super::{CONTENT_DIGEST, IDEMPOTENCY_KEY, SIGNATURE, SIGNATURE_INPUT, SignedRequest, TAG};

pub(super) const LABEL: &str = "sig1";

/// A key that signs requests. Debug shows the key id only.
#[derive(Clone, Debug)]
pub struct Signer {
    key_id: String,
    key: HmacKey,
}

impl Signer {
    /// A signer for a key id and its secret.
    pub fn new(key_id: impl Into<String>, secret: &str) -> Self {
        Self { key_id: key_id.into(), key: HmacKey::new(secret) }
    }

    /// The headers to add to `request`, in the order `Content-Digest` (only with a body), `Signature-Input`,
    /// `Signature`.
    ///
    /// Covered are method, authority, path, the query if there is one, the body's digest, `idempotency-key`
    /// if that header is there, and the components of `extra`. `created` is in Unix seconds; a write needs a
    /// nonce. An empty `body` is no body. Replace, do not append, a `Content-Digest` that the request already
    /// has.
    pub fn sign(
        &self,
        request: &SignedRequest<'_>,
        body: &[u8],
        created: i64,
        nonce: Option<&str>,
        extra: &[&str],
    ) -> Result<Vec<(HeaderName, HeaderValue)>, SignError> {
        let mut made = Vec::with_capacity(3);
        let mut headers = Cow::Borrowed(request.headers);
        if !body.is_empty() {
            let digest = header_value(content_digest(body))?;
            headers.to_mut().insert(CONTENT_DIGEST, digest.clone());
            made.push((HeaderName::from_static(CONTENT_DIGEST), digest));
        }
        let request = SignedRequest { headers: &headers, ..*request };

        let covered = covered(&request, !body.is_empty(), extra);
        let params = self.params(&covered, created, nonce)?;
        let mut base = Vec::with_capacity(512);
        for id in covered {
            let quoted = format!("\"{id}\"");
            Component::new(Cow::Borrowed(id), None)
                .and_then(|component| write_line(quoted.as_bytes(), &component, &request, &mut base))
                .map_err(|source| SignError::Component { name: id.to_owned(), source })?;
        }
        write_params_line(&params, &mut base);
        let signature = STANDARD.encode(self.key.tag(&[&base]));

        made.push((HeaderName::from_static(SIGNATURE_INPUT), header_value(format!("{LABEL}={params}"))?));
        made.push((HeaderName::from_static(SIGNATURE), header_value(format!("{LABEL}=:{signature}:"))?));
        Ok(made)
    }

    /// The value of `@signature-params`.
    fn params(&self, covered: &[&str], created: i64, nonce: Option<&str>) -> Result<String, SignError> {
        let mut params = String::with_capacity(256);
        let mut list = ListSerializer::with_buffer(&mut params);
        let mut ids = list.inner_list();
        for id in covered {
            ids.bare_item(printable(id, "component")?);
        }
        let created_at = Integer::try_from(created).map_err(|_| SignError::Created(created))?;
        let mut rest = ids.finish().parameter(key_ref("created"), created_at);
        if let Some(nonce) = nonce {
            if !is_nonce(nonce) {
                return Err(SignError::Nonce);
            }
            rest = rest.parameter(key_ref("nonce"), printable(nonce, "nonce")?);
        }
        // The serializer only hands the buffer back.
        let _ = rest
            .parameter(key_ref("keyid"), printable(&self.key_id, "key id")?)
            .parameter(key_ref("alg"), string_ref("hmac-sha256"))
            .parameter(key_ref("tag"), string_ref(TAG))
            .finish();
        Ok(params)
    }
}

/// The identifiers to cover, each once.
fn covered<'a>(request: &SignedRequest<'_>, has_body: bool, extra: &[&'a str]) -> Vec<&'a str> {
    let mut ids = vec!["@method", "@authority", "@path"];
    if request.query.is_some() {
        ids.push("@query");
    }
    if has_body {
        ids.push(CONTENT_DIGEST);
    }
    if request.headers.contains_key(IDEMPOTENCY_KEY) {
        ids.push(IDEMPOTENCY_KEY);
    }
    for id in extra {
        if !ids.contains(id) {
            ids.push(id);
        }
    }
    ids
}

fn printable<'a>(text: &'a str, what: &'static str) -> Result<&'a StringRef, SignError> {
    StringRef::from_str(text).map_err(|_| SignError::NotPrintable(what))
}

fn header_value(text: String) -> Result<HeaderValue, SignError> {
    HeaderValue::try_from(text).map_err(|_| SignError::NotPrintable("signature headers"))
}
