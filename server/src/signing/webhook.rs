//! Standard Webhooks (<https://www.standardwebhooks.com>): what the upstream platform signs its events with.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use subtle::{Choice, ConstantTimeEq};

use super::error::AuthError;
use super::hmac_key::HmacKey;

/// Header with the id of the event; the same for every attempt to deliver it.
pub const ID: &str = "webhook-id";

/// Header with the time of the attempt, in Unix seconds.
pub const TIMESTAMP: &str = "webhook-timestamp";

/// Header with the signatures: `v1,<base64>`, separated by spaces.
pub const SIGNATURE: &str = "webhook-signature";

/// Bound of the event id, which is stored.
const MAX_ID_BYTES: usize = 128;

/// Bound of signatures looked at; each costs one comparison per secret.
const MAX_SIGNATURES: usize = 16;

/// One secret of the sender. Debug does not show it.
#[derive(Clone, Debug)]
pub struct WebhookSecret(HmacKey);

/// The text is not `whsec_` followed by base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a webhook secret is `whsec_` followed by base64: copy it whole from the sender")]
pub struct WebhookSecretError;

impl WebhookSecret {
    /// Reads `whsec_<base64>`.
    pub fn parse(text: &str) -> Result<Self, WebhookSecretError> {
        let encoded = text.strip_prefix("whsec_").ok_or(WebhookSecretError)?;
        let bytes = zeroize::Zeroizing::new(STANDARD.decode(encoded).map_err(|_| WebhookSecretError)?);
        if bytes.is_empty() {
            return Err(WebhookSecretError);
        }
        Ok(Self(HmacKey::from_bytes(&bytes)))
    }

    fn tag(&self, id: &str, timestamp: &str, body: &[u8]) -> [u8; 32] {
        self.0.tag(&[id.as_bytes(), b".", timestamp.as_bytes(), b".", body])
    }
}

/// Checks an event against all live secrets and gives its id, `[!-~]{1,128}`.
///
/// [`AuthError::Missing`] when one of the three headers is absent, [`AuthError::Expired`] when the timestamp
/// is more than `tolerance_s` seconds away from `now_s` (Unix seconds), [`AuthError::Failed`] for everything
/// else.
pub fn verify<'h>(
    secrets: &[WebhookSecret],
    headers: &'h HeaderMap,
    body: &[u8],
    now_s: i64,
    tolerance_s: i64,
) -> Result<&'h str, AuthError> {
    let id = only(headers, ID)?;
    let timestamp = only(headers, TIMESTAMP)?;
    let signatures = only(headers, SIGNATURE)?;
    if id.is_empty() || id.len() > MAX_ID_BYTES || !id.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(AuthError::Failed);
    }
    if !timestamp.bytes().all(|b| b.is_ascii_digit()) {
        return Err(AuthError::Failed);
    }
    let sent_s: i64 = timestamp.parse().map_err(|_| AuthError::Failed)?;
    if sent_s.abs_diff(now_s) > tolerance_s.unsigned_abs() {
        return Err(AuthError::Expired);
    }

    let given: Vec<Vec<u8>> = signatures
        .split(' ')
        .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok())
        .take(MAX_SIGNATURES)
        .collect();
    let mut verified = Choice::from(0);
    for secret in secrets {
        let tag = secret.tag(id, timestamp, body);
        for signature in &given {
            verified |= tag.as_slice().ct_eq(signature);
        }
    }
    if verified.into() { Ok(id) } else { Err(AuthError::Failed) }
}

/// The value of `webhook-signature` for an event sent at `timestamp_s` (Unix seconds).
pub fn sign(secret: &WebhookSecret, id: &str, timestamp_s: i64, body: &[u8]) -> String {
    format!("v1,{}", STANDARD.encode(secret.tag(id, &timestamp_s.to_string(), body)))
}

/// The value of a header that must be there once.
fn only<'h>(headers: &'h HeaderMap, name: &str) -> Result<&'h str, AuthError> {
    let mut lines = headers.get_all(name).into_iter();
    match (lines.next(), lines.next()) {
        (None, _) => Err(AuthError::Missing),
        (Some(value), None) => value.to_str().map_err(|_| AuthError::Failed),
        (Some(_), Some(_)) => Err(AuthError::Failed),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use serde_json::Value;

    use super::*;

    #[test]
    fn both_webhook_vectors_hold_in_both_directions() {
        let vectors: Value = serde_json::from_str(include_str!("../../tests/vectors/signing.json")).unwrap();
        let vectors = vectors["standard_webhooks"].as_array().unwrap();
        assert_eq!(vectors.len(), 2);
        for vector in vectors {
            let text = |member: &str| vector[member].as_str().unwrap();
            let secret = WebhookSecret::parse(text("secret")).unwrap();
            let (id, body) = (text("id"), text("body").as_bytes());
            let sent = vector["timestamp"].as_i64().unwrap();
            assert_eq!(sign(&secret, id, sent, body), text("signature"));

            let signature = format!("v1a,AAAA v1,AAAA v1,??? {}", text("signature"));
            let event = event(id, &sent.to_string(), &signature);
            let other = WebhookSecret::parse("whsec_AAAA").unwrap();
            let secrets = [other.clone(), secret];
            let check = |body: &[u8], now: i64| verify(&secrets, &event, body, now, 300).map(str::to_owned);
            assert_eq!(check(body, sent), Ok(id.to_owned()));
            assert_eq!(check(body, sent + 300), Ok(id.to_owned()));
            assert_eq!(check(body, sent - 300), Ok(id.to_owned()));
            assert_eq!(check(body, sent + 301), Err(AuthError::Expired));
            assert_eq!(check(body, sent - 301), Err(AuthError::Expired));
            assert_eq!(check(&body[1..], sent), Err(AuthError::Failed));
            assert_eq!(verify(&[other], &event, body, sent, 300), Err(AuthError::Failed));
            assert_eq!(verify(&[], &event, body, sent, 300), Err(AuthError::Failed));
        }
    }

    fn event(id: &str, timestamp: &str, signature: &str) -> HeaderMap {
        [(ID, id), (TIMESTAMP, timestamp), (SIGNATURE, signature)]
            .into_iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn events_with_absent_doubled_or_odd_headers_are_refused() {
        let secret = WebhookSecret::parse("whsec_AAAA").unwrap();
        let signature = sign(&secret, "evt_1", 1000, b"{}");
        let check = |headers: &HeaderMap| {
            verify(std::slice::from_ref(&secret), headers, b"{}", 1000, 300).map(str::to_owned)
        };
        let good = event("evt_1", "1000", &signature);
        assert_eq!(check(&good), Ok("evt_1".to_owned()));
        for name in [ID, TIMESTAMP, SIGNATURE] {
            let mut headers = good.clone();
            headers.remove(name);
            assert_eq!(check(&headers), Err(AuthError::Missing), "{name}");
            let mut headers = good.clone();
            headers.append(name, good[name].clone());
            assert_eq!(check(&headers), Err(AuthError::Failed), "{name}");
        }
        for timestamp in ["", "+1000", "-1000", "1000.0", "1e3", " 1000", "99999999999999999999"] {
            assert_eq!(check(&event("evt_1", timestamp, &signature)), Err(AuthError::Failed), "{timestamp}");
        }
        for id in ["", "evt 1", &"e".repeat(129)] {
            let signature = sign(&secret, id, 1000, b"{}");
            assert_eq!(check(&event(id, "1000", &signature)), Err(AuthError::Failed), "{id}");
        }
    }

    #[test]
    fn a_webhook_secret_needs_its_prefix_and_base64() {
        for text in ["", "whsec_", "AAAA", "whsec_!", "WHSEC_AAAA", "whsec_AAAAA"] {
            assert!(WebhookSecret::parse(text).is_err(), "{text}");
        }
        let secret = WebhookSecret::parse("whsec_AAECAwQFBgcICQoL").unwrap();
        assert_eq!(format!("{secret:?}"), "WebhookSecret(HmacKey(redacted))");
    }
}
