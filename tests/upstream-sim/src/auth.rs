//! Who may pull, and how events are signed: the one file that knows the server's signing code.

use http::request::Parts;
use http::{HeaderMap, header};
use sageapi_server::signing::webhook::{self, WebhookSecret};
use sageapi_server::signing::{AuthError, HmacKey, ParsedSignature, SignedRequest};

/// How far `created` may be from this clock, as in the server.
const SKEW_S: i64 = 300;

/// The one client that the platform knows.
pub(crate) struct Gate {
    key_id: String,
    key: HmacKey,
    apikey: Option<String>,
}

/// The code that a refusal answers with, one of the server's own.
pub(crate) type Refusal = &'static str;

impl Gate {
    pub(crate) fn new(key_id: String, secret: &str, apikey: Option<String>) -> Self {
        Self { key_id, key: HmacKey::new(secret), apikey }
    }

    /// Accepts a request signed with the key, or one that carries the apikey in clear where there is one.
    pub(crate) fn check(&self, request: &Parts, now_s: i64) -> Result<(), Refusal> {
        let signature = match ParsedSignature::parse(&request.headers) {
            Ok(Some(signature)) => signature,
            Ok(None) => return self.check_apikey(&request.headers),
            Err(error) => return Err(code(&error)),
        };
        self.check_signature(&signature, request, now_s).map_err(|error| code(&error))
    }

    fn check_signature(
        &self,
        signature: &ParsedSignature<'_>,
        request: &Parts,
        now_s: i64,
    ) -> Result<(), AuthError> {
        let host = request.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let signed = SignedRequest {
            method: &request.method,
            scheme: "http",
            authority: host.unwrap_or_default(),
            target_origin: None,
            path: request.uri.path(),
            query: request.uri.query(),
            headers: &request.headers,
        };
        signature.check_nonce_form(false)?;
        signature.check_time(now_s, SKEW_S)?;
        // What SageAPI signs always covers the authority; a pull that does not is not SageAPI's.
        signature.check_coverage(&signed, false, &["@authority".to_owned()])?;
        let mut base = Vec::with_capacity(512);
        signature.signature_base(&signed, &mut base)?;
        let known = (signature.key_id() == self.key_id).then_some(&self.key);
        if signature.verify(&base, known, None) { Ok(()) } else { Err(AuthError::Failed) }
    }

    fn check_apikey(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        let plain = headers.get("x-api-key").and_then(|value| value.to_str().ok());
        match (bearer.or(plain), &self.apikey) {
            (None, _) => Err("auth_missing"),
            // A plain comparison will do: this secret guards invented data.
            (Some(given), Some(apikey)) if given == apikey => Ok(()),
            (Some(_), _) => Err("auth_failed"),
        }
    }
}

const fn code(error: &AuthError) -> Refusal {
    match error {
        AuthError::Missing => "auth_missing",
        AuthError::Malformed(_) => "auth_malformed",
        AuthError::Uncovered(_) => "auth_uncovered",
        AuthError::Expired => "auth_expired",
        AuthError::Failed => "auth_failed",
        AuthError::Replay => "auth_replay",
    }
}

/// The Standard Webhooks headers of an event; `None` when the secret is not `whsec_` and base64.
pub(crate) fn webhook_headers(
    secret: &str,
    id: &str,
    timestamp_s: i64,
    body: &[u8],
) -> Option<[(&'static str, String); 3]> {
    let secret = WebhookSecret::parse(secret).ok()?;
    let signature = webhook::sign(&secret, id, timestamp_s, body);
    Some([
        (webhook::ID, id.to_owned()),
        (webhook::TIMESTAMP, timestamp_s.to_string()),
        (webhook::SIGNATURE, signature),
    ])
}
