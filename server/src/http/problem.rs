//! Errors on the wire: RFC 9457 `application/problem+json` with a stable `code`. The one match from an error
//! of the domain to what a client is told is here.

use std::borrow::Cow;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use serde::Serialize;

use crate::domain::{Error, FieldError};
use crate::model::{Money, Timestamp};
use crate::signing::AuthError;

use super::AnswerBody;
use super::limits::BodyError;

/// Content type of every error.
pub const CONTENT_TYPE_PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// What to wait before a 503, or a booking that is under way, is tried again, in seconds.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("1");

/// The two ways to prove oneself, for a 401 (RFC 9110 section 11.6.1).
const CHALLENGE: HeaderValue =
    HeaderValue::from_static("Signature realm=\"sageapi\", Bearer realm=\"sageapi\"");

/// How many members an error names, and how many characters of each name.
const MAX_ERRORS: usize = 32;
const MAX_FIELD_CHARS: usize = 128;

macro_rules! codes {
    ($($variant:ident = $code:literal, $status:ident, $title:literal;)+) => {
        /// What went wrong, as clients tell it apart. Codes are added, never renamed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $(#[doc = $title] $variant),+ }

        impl Code {
            /// Every code, by status.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The code on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            /// The status that always goes with it.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status),+ }
            }

            /// The same short text at every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }
        }
    };
}

codes! {
    InvalidRequest = "invalid_request", BAD_REQUEST, "A member or parameter is invalid";
    UnknownParameter = "unknown_parameter", BAD_REQUEST, "The operation has no such parameter";
    UnknownField = "unknown_field", BAD_REQUEST, "The body has a member that the operation does not know";
    BodyMalformed = "body_malformed", BAD_REQUEST, "The body is not one well-formed JSON object";
    AmountNotString = "amount_not_string", BAD_REQUEST, "An amount must be a string";
    AmountInvalid = "amount_invalid", BAD_REQUEST, "An amount is not a decimal string";
    InvalidCursor = "invalid_cursor", BAD_REQUEST, "The cursor does not belong to this list";
    AuthMissing = "auth_missing", UNAUTHORIZED, "The request carries no credentials";
    AuthMalformed = "auth_malformed", UNAUTHORIZED, "The credentials are malformed";
    AuthUncovered = "auth_uncovered", UNAUTHORIZED, "The signature leaves out something that must be signed";
    AuthExpired = "auth_expired", UNAUTHORIZED, "The signature is outside its time";
    AuthFailed = "auth_failed", UNAUTHORIZED, "The credentials do not verify";
    AuthReplay = "auth_replay", UNAUTHORIZED, "The nonce was used before";
    InsufficientBalance = "insufficient_balance", PAYMENT_REQUIRED, "The available balance is too low";
    ScopeMissing = "scope_missing", FORBIDDEN, "The key lacks a scope";
    CustomerForbidden = "customer_forbidden", FORBIDDEN, "The key belongs to another customer";
    KindForbidden = "kind_forbidden", FORBIDDEN, "The key may not book this kind";
    CustomerSuspended = "customer_suspended", FORBIDDEN, "The customer is suspended";
    KeyDisabled = "key_disabled", FORBIDDEN, "The key is disabled or has expired";
    AddressDenied = "address_denied", FORBIDDEN, "The key may not be used from this address";
    NotFound = "not_found", NOT_FOUND, "There is no such thing";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "The path does not take this method";
    Conflict = "conflict", CONFLICT, "There is such a thing already";
    TransnoInProgress = "transno_in_progress", CONFLICT, "The first request with this transno is under way";
    Gone = "gone", GONE, "It was there and is no more";
    PreconditionFailed = "precondition_failed", PRECONDITION_FAILED, "It has changed since it was read";
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body's type or encoding is not taken";
    TransnoConflict = "transno_conflict", UNPROCESSABLE_ENTITY, "The transno was used for another request";
    CurrencyMismatch = "currency_mismatch", UNPROCESSABLE_ENTITY, "The customer has another currency";
    PriceNotFound = "price_not_found", UNPROCESSABLE_ENTITY, "No price was found";
    AmountOutOfRange = "amount_out_of_range", UNPROCESSABLE_ENTITY, "An amount or balance would be too large";
    HoldClosed = "hold_closed", UNPROCESSABLE_ENTITY, "The hold is closed";
    ReversalExceeds = "reversal_exceeds", UNPROCESSABLE_ENTITY, "More would be reversed than was booked";
    QuotaExceeded = "quota_exceeded", TOO_MANY_REQUESTS, "A quota is used up";
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "Too many requests";
    Internal = "internal", INTERNAL_SERVER_ERROR, "The server failed";
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "The server has too much to do";
    StoreUnavailable = "store_unavailable", SERVICE_UNAVAILABLE, "The database is not available";
    ReadOnly = "read_only", SERVICE_UNAVAILABLE, "The service takes no writes at the moment";
}

impl Code {
    /// Every code as Markdown, for the documentation.
    pub fn table() -> String {
        let head = "# Error codes\n\nEvery error is `application/problem+json` (RFC 9457) with one of these in \
             `code`. Codes are added, never renamed.\n\n| status | code | meaning |\n|---|---|---|\n";
        let row = |code: &Self| {
            format!("| {} | `{}` | {} |\n", code.status().as_u16(), code.as_str(), code.title())
        };
        std::iter::once(head.to_owned()).chain(Self::ALL.iter().map(row)).collect()
    }

    fn retry_after(self) -> Option<HeaderValue> {
        let again = matches!(self.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
            || self == Self::TransnoInProgress;
        again.then_some(RETRY_AFTER_S)
    }
}

/// An error on its way to the client.
#[derive(Debug)]
pub struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    extra: Extra,
    /// Of many things asked for at once, the one that this is about.
    index: Option<usize>,
    /// What the operator of the server is told, and the client is not.
    cause: Option<String>,
}

/// What some codes add.
#[derive(Debug)]
enum Extra {
    None,
    Funds { available: Money, required: Money },
    Allow(String),
}

/// What a problem needs to know of the request that it answers.
#[derive(Debug, Clone, Copy)]
pub struct Occurrence<'a> {
    /// Our id of the request.
    pub request_id: &'a str,
    /// The path as sent.
    pub path: &'a str,
    /// The server's time.
    pub now: Timestamp,
}

#[derive(Serialize)]
struct ProblemBody<'a> {
    r#type: TypeUri,
    title: &'static str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    code: &'static str,
    request_id: &'a str,
    errors: Vec<WireFieldError<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    available: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    required: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_time: Option<Timestamp>,
}

#[derive(Serialize)]
struct WireFieldError<'a> {
    field: &'a str,
    message: &'a str,
}

/// Identifies the kind of problem; not meant to be fetched.
struct TypeUri(Code);

impl Serialize for TypeUri {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("urn:sageapi:problem:{}", self.0.as_str()))
    }
}

impl Problem {
    /// A problem of the given code, with what to do about it.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), extra: Extra::None, index: None, cause: None }
    }

    /// No route has this path.
    pub fn no_route() -> Self {
        Self::new(Code::NotFound, "there is no such path; /api/v1/openapi.json lists those there are")
    }

    /// The admin port has no such path.
    pub fn no_admin_route() -> Self {
        Self::new(Code::NotFound, "there are /livez, /readyz, /startupz, /metrics and /health")
    }

    /// The path takes other methods.
    pub fn method_not_allowed(allow: &str) -> Self {
        let problem = Self::new(Code::MethodNotAllowed, format!("this path takes {allow}"));
        Self { extra: Extra::Allow(allow.to_owned()), ..problem }
    }

    /// The request was not done in time.
    pub fn deadline() -> Self {
        Self::new(
            Code::Overloaded,
            "the request was not done within server.request_timeout; try again, and repeat a write with the same transno",
        )
    }

    /// A handler panicked.
    pub fn panicked(text: String) -> Self {
        Error::Internal(text).into()
    }

    /// What it is.
    pub fn code(&self) -> Code {
        self.code
    }

    fn with_errors(code: Code, detail: &'static str, errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::new(code, detail) }
    }

    /// The answer. A fault of ours is logged under the id that the client is given.
    pub fn into_response(self, at: Occurrence<'_>) -> Response<AnswerBody> {
        self.log(at);
        let status = self.code.status();
        let mut response = Response::new(AnswerBody::from(self.body(at)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, CONTENT_TYPE_PROBLEM);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.code.retry_after() {
            headers.insert(RETRY_AFTER, seconds);
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, CHALLENGE);
        }
        if let Extra::Allow(allow) = self.extra
            && let Ok(allow) = HeaderValue::try_from(allow)
        {
            headers.insert(ALLOW, allow);
        }
        response
    }

    /// The problem document.
    pub fn body(&self, at: Occurrence<'_>) -> Vec<u8> {
        let status = self.code.status();
        let (available, required) = match self.extra {
            Extra::Funds { available, required } => (Some(available), Some(required)),
            Extra::None | Extra::Allow(_) => (None, None),
        };
        let body = ProblemBody {
            r#type: TypeUri(self.code),
            title: self.code.title(),
            status: status.as_u16(),
            detail: &self.detail,
            instance: at.path,
            code: self.code.as_str(),
            request_id: at.request_id,
            errors: self.errors.iter().take(MAX_ERRORS).map(WireFieldError::of).collect(),
            index: self.index,
            available,
            required,
            server_time: (self.code == Code::AuthExpired).then_some(at.now),
        };
        // Strings and numbers alone: writing them to memory cannot fail.
        serde_json::to_vec(&body).unwrap_or_default()
    }

    /// Logs a fault of ours. [`Problem::into_response`] does; who only writes the document must.
    pub fn log(&self, at: Occurrence<'_>) {
        let Some(cause) = self.cause.as_deref() else { return };
        let (code, request_id, path) = (self.code.as_str(), at.request_id, at.path);
        if self.code == Code::Internal {
            tracing::error!(code, request_id, path, cause, "a request failed");
        } else {
            tracing::warn!(code, request_id, path, cause, "a request could not be served");
        }
    }
}

impl<'a> WireFieldError<'a> {
    fn of(error: &'a FieldError) -> Self {
        let end = error.field.char_indices().nth(MAX_FIELD_CHARS).map_or(error.field.len(), |(at, _)| at);
        Self { field: &error.field[..end], message: &error.message }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Invalid(errors) => Self::with_errors(
                Code::InvalidRequest,
                "some members or parameters are missing or invalid; errors names them",
                errors,
            ),
            Error::UnknownParameter(name) => Self::with_errors(
                Code::UnknownParameter,
                "the operation has no such parameter; errors names it",
                vec![FieldError::new(name, "is not a parameter of this operation")],
            ),
            Error::UnknownField(errors) => Self::with_errors(
                Code::UnknownField,
                "the body has members that the operation does not know; errors names them",
                errors,
            ),
            Error::BodyMalformed(_) => Self::new(Code::BodyMalformed, text),
            Error::AmountNotString(errors) => Self::with_errors(
                Code::AmountNotString,
                "send amounts as JSON strings, so that no digit is lost",
                errors,
            ),
            Error::AmountInvalid(errors) => Self::with_errors(
                Code::AmountInvalid,
                "send amounts as decimal strings such as \"12.5\"",
                errors,
            ),
            Error::InvalidCursor => Self::new(
                Code::InvalidCursor,
                "send next_cursor as it was given, with the same filters and order, or leave cursor out to start anew",
            ),
            Error::Auth(error) => Self::new(auth_code(&error), text),
            Error::ScopeMissing(_) => Self::new(Code::ScopeMissing, text),
            Error::CustomerForbidden => Self::new(Code::CustomerForbidden, text),
            Error::KindForbidden(_) => Self::new(Code::KindForbidden, text),
            Error::CustomerSuspended => Self::new(Code::CustomerSuspended, text),
            Error::KeyDisabled => Self::new(Code::KeyDisabled, text),
            Error::AddressDenied(_) => Self::new(Code::AddressDenied, text),
            Error::InsufficientBalance { available, required } => Self {
                extra: Extra::Funds { available, required },
                ..Self::new(Code::InsufficientBalance, text)
            },
            Error::NotFound(_) => Self::new(Code::NotFound, text),
            Error::Conflict(_) => Self::new(Code::Conflict, text),
            Error::TransnoInProgress => Self::new(
                Code::TransnoInProgress,
                "the first request with this transno is still under way; repeat it after a moment",
            ),
            Error::TransnoConflict => Self::new(
                Code::TransnoConflict,
                "the transno was used for another request; use a new one for a new booking",
            ),
            Error::CurrencyMismatch { .. } => Self::new(Code::CurrencyMismatch, text),
            Error::AmountOutOfRange => Self::new(Code::AmountOutOfRange, text),
            Error::PriceNotFound(_) => Self::new(Code::PriceNotFound, text),
            Error::HoldClosed(_) => Self::new(Code::HoldClosed, text),
            Error::ReversalExceeds(_) => Self::new(Code::ReversalExceeds, text),
            Error::Item { index, error } => Self { index: Some(index), ..Self::from(*error) },
            Error::Overloaded => Self::new(
                Code::Overloaded,
                "too many bookings are waiting; nothing was booked, try again after a moment",
            ),
            Error::StoreUnavailable(cause) => Self {
                cause: Some(cause),
                ..Self::new(
                    Code::StoreUnavailable,
                    "the database cannot be reached at the moment; try again, and repeat a write with the same transno",
                )
            },
            Error::ReadOnly => {
                Self::new(Code::ReadOnly, "the service takes no writes at the moment; reads are answered")
            }
            Error::Internal(cause) => Self {
                cause: Some(cause),
                ..Self::new(
                    Code::Internal,
                    "the server failed; its log tells more under the request id. Repeat a write with the same transno",
                )
            },
        }
    }
}

fn auth_code(error: &AuthError) -> Code {
    match error {
        AuthError::Missing => Code::AuthMissing,
        AuthError::Malformed(_) => Code::AuthMalformed,
        AuthError::Uncovered(_) => Code::AuthUncovered,
        AuthError::Expired => Code::AuthExpired,
        AuthError::Failed => Code::AuthFailed,
        AuthError::Replay => Code::AuthReplay,
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        Error::Auth(error).into()
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { .. } => Self::new(Code::BodyTooLarge, error.to_string()),
            BodyError::TimedOut { .. } => Self::new(Code::BodyMalformed, error.to_string()),
            // The text may be hyper's and tells the client nothing that it does not know.
            BodyError::Broken(_) => {
                Self::new(Code::BodyMalformed, "the body broke off or was framed wrongly")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::{Value, json};

    use super::*;
    use crate::store;

    const AT: Occurrence<'_> = Occurrence {
        request_id: "00000000000000aa",
        path: "/api/v1/x",
        now: Timestamp::from_seconds(1_780_000_000),
    };

    async fn rendered(problem: impl Into<Problem>) -> (http::response::Parts, Value) {
        let (parts, body) = problem.into().into_response(AT).into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts, serde_json::from_slice(&body).unwrap())
    }

    #[test]
    fn the_table_of_codes_is_the_contract() {
        let table: Vec<_> =
            Code::ALL.iter().map(|c| format!("{} {}", c.status().as_u16(), c.as_str())).collect();
        let contract = "400 invalid_request, 400 unknown_parameter, 400 unknown_field, 400 body_malformed, \
             400 amount_not_string, 400 amount_invalid, 400 invalid_cursor, 401 auth_missing, 401 auth_malformed, \
             401 auth_uncovered, 401 auth_expired, 401 auth_failed, 401 auth_replay, 402 insufficient_balance, \
             403 scope_missing, 403 customer_forbidden, 403 kind_forbidden, 403 customer_suspended, \
             403 key_disabled, 403 address_denied, 404 not_found, 405 method_not_allowed, 409 conflict, \
             409 transno_in_progress, 410 gone, 412 precondition_failed, 413 body_too_large, \
             415 unsupported_media_type, 422 transno_conflict, 422 currency_mismatch, 422 price_not_found, \
             422 amount_out_of_range, 422 hold_closed, 422 reversal_exceeds, 429 quota_exceeded, \
             429 rate_limited, 500 internal, 503 overloaded, 503 store_unavailable, 503 read_only";
        assert_eq!(table.join(", "), contract);
    }

    #[test]
    fn the_committed_table_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, Code::table()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == Code::table(), "docs/errors.md is out of date: run this test with UPDATE=1");
    }

    #[test]
    fn titles_are_one_each() {
        let titles: std::collections::HashSet<_> = Code::ALL.iter().map(|c| c.title()).collect();
        assert_eq!(titles.len(), Code::ALL.len());
    }

    #[tokio::test]
    async fn a_problem_has_the_members_of_rfc_9457_and_ours() {
        let (parts, body) = rendered(Error::NotFound("user")).await;
        assert_eq!(parts.status, 404);
        assert_eq!(parts.headers[CONTENT_TYPE], "application/problem+json");
        assert_eq!(
            body,
            json!({
                "type": "urn:sageapi:problem:not_found",
                "title": "There is no such thing",
                "status": 404,
                "detail": "there is no such user",
                "instance": "/api/v1/x",
                "code": "not_found",
                "request_id": "00000000000000aa",
                "errors": [],
            })
        );
    }

    #[tokio::test]
    async fn some_codes_say_more() {
        let funds = Error::InsufficientBalance {
            available: Money::parse("1.5").unwrap(),
            required: Money::parse("2").unwrap(),
        };
        let (_, body) = rendered(funds).await;
        assert_eq!((&body["available"], &body["required"]), (&json!("1.5"), &json!("2")));

        let (parts, body) = rendered(AuthError::Expired).await;
        assert_eq!(body["server_time"], "2026-05-28T20:26:40.000000Z");
        assert!(parts.headers.contains_key(WWW_AUTHENTICATE));

        let (parts, _) = rendered(Problem::method_not_allowed("GET, HEAD")).await;
        assert_eq!(parts.headers[ALLOW], "GET, HEAD");

        let (_, body) = rendered(Error::UnknownParameter("x".repeat(1000))).await;
        assert_eq!(body["errors"][0]["field"].as_str().unwrap().len(), MAX_FIELD_CHARS);
    }

    #[test]
    fn every_code_of_401_is_counted_from_the_start() {
        let codes = Code::ALL.iter().filter(|code| code.status() == StatusCode::UNAUTHORIZED);
        let codes: Vec<_> = codes.map(|code| code.as_str()).collect();
        assert_eq!(codes, crate::telemetry::metrics::AUTH_FAILURES);
    }

    #[tokio::test]
    async fn what_may_be_tried_again_says_when() {
        for error in [Error::Overloaded, Error::ReadOnly, Error::TransnoInProgress] {
            assert_eq!(rendered(error).await.0.headers[RETRY_AFTER], "1");
        }
        assert!(!rendered(Error::TransnoConflict).await.0.headers.contains_key(RETRY_AFTER));
    }

    #[tokio::test]
    async fn a_fault_of_ours_tells_the_client_nothing_of_its_cause() {
        let inconsistent = store::Error::LeaseLost;
        for error in [
            Problem::from(Error::Internal("SELECT secret FROM dapi_keys".into())),
            Problem::panicked("SELECT secret FROM dapi_keys".to_owned()),
            Problem::from(Error::from(inconsistent)),
        ] {
            let (parts, body) = rendered(error).await;
            assert_eq!(parts.status, 500);
            let text = body.to_string();
            assert!(!text.contains("SELECT") && !text.contains("instance has taken"), "{text}");
        }
    }
}
