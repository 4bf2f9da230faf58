//! Errors on the wire: RFC 9457 `application/problem+json` with a stable `code`. The one mapping from domain errors to
//! problems is here.

use std::borrow::Cow;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use serde::Serialize;

use crate::domain::{Error, FieldError};
use crate::model::{Money, Timestamp};
use crate::signing::AuthError;

use super::AnswerBody;
use super::listener::BodyError;

/// Content type of every error.
pub const CONTENT_TYPE_PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Seconds to wait before retrying after a 503, or while the first request is in progress.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("1");

/// The authentication schemes, for a 401 (RFC 9110 section 11.6.1).
const CHALLENGE: HeaderValue =
    HeaderValue::from_static("Signature realm=\"sageapi\", Bearer realm=\"sageapi\"");

/// How many fields an error names, and how many characters of each name.
const MAX_ERRORS: usize = 32;
const MAX_FIELD_CHARS: usize = 128;

macro_rules! codes {
    ($($variant:ident = $code:literal, $status:ident, $title:literal;)+) => {
        /// The code of an error. Codes are added, never renamed.
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

            /// A short text, the same at every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }
        }
    };
}

codes! {
    InvalidRequest = "invalid_request", BAD_REQUEST, "Invalid request";
    UnknownParameter = "unknown_parameter", BAD_REQUEST, "Unknown parameter";
    UnknownField = "unknown_field", BAD_REQUEST, "Unknown field";
    BodyMalformed = "body_malformed", BAD_REQUEST, "Malformed body";
    AmountNotString = "amount_not_string", BAD_REQUEST, "Amount must be a string";
    AmountInvalid = "amount_invalid", BAD_REQUEST, "Invalid amount";
    InvalidCursor = "invalid_cursor", BAD_REQUEST, "Invalid cursor";
    AuthMissing = "auth_missing", UNAUTHORIZED, "Missing credentials";
    AuthMalformed = "auth_malformed", UNAUTHORIZED, "Malformed credentials";
    AuthUncovered = "auth_uncovered", UNAUTHORIZED, "Signature does not cover a required component";
    AuthExpired = "auth_expired", UNAUTHORIZED, "Signature expired or not yet valid";
    AuthFailed = "auth_failed", UNAUTHORIZED, "Authentication failed";
    AuthReplay = "auth_replay", UNAUTHORIZED, "Nonce already used";
    LoginFailed = "login_failed", UNAUTHORIZED, "Login failed";
    TokenInvalid = "token_invalid", UNAUTHORIZED, "Invalid token";
    TokenExpired = "token_expired", UNAUTHORIZED, "Token expired";
    TokenReused = "token_reused", UNAUTHORIZED, "Token used again; the session was ended";
    InsufficientBalance = "insufficient_balance", PAYMENT_REQUIRED, "Insufficient balance";
    ScopeMissing = "scope_missing", FORBIDDEN, "Missing scope";
    CustomerForbidden = "customer_forbidden", FORBIDDEN, "Access to another customer denied";
    KindForbidden = "kind_forbidden", FORBIDDEN, "Kind not allowed for this key";
    CustomerSuspended = "customer_suspended", FORBIDDEN, "Customer suspended";
    KeyDisabled = "key_disabled", FORBIDDEN, "Key disabled or expired";
    KeyRequired = "key_required", FORBIDDEN, "Key required";
    AddressDenied = "address_denied", FORBIDDEN, "Address not allowed for this key";
    SessionRequired = "session_required", FORBIDDEN, "Only for users who signed in";
    UserDisabled = "user_disabled", FORBIDDEN, "User disabled";
    NotFound = "not_found", NOT_FOUND, "Not found";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "Method not allowed";
    Conflict = "conflict", CONFLICT, "Already exists";
    TransnoInProgress = "transno_in_progress", CONFLICT, "First request with this transno still in progress";
    Gone = "gone", GONE, "Gone";
    PreconditionFailed = "precondition_failed", PRECONDITION_FAILED, "Precondition failed";
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "Body too large";
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "Unsupported media type";
    TransnoConflict = "transno_conflict", UNPROCESSABLE_ENTITY, "Transno already used for a different request";
    RequestConflict = "request_conflict", UNPROCESSABLE_ENTITY, "Request already recorded with other usage";
    EventInFuture = "event_in_future", UNPROCESSABLE_ENTITY, "Event in the future";
    EventTooOld = "event_too_old", UNPROCESSABLE_ENTITY, "Event too old";
    CurrencyMismatch = "currency_mismatch", UNPROCESSABLE_ENTITY, "Currency mismatch";
    PriceNotFound = "price_not_found", UNPROCESSABLE_ENTITY, "Price not found";
    AmountOutOfRange = "amount_out_of_range", UNPROCESSABLE_ENTITY, "Amount or balance out of range";
    HoldClosed = "hold_closed", UNPROCESSABLE_ENTITY, "Hold closed";
    ReservationClosed = "reservation_closed", UNPROCESSABLE_ENTITY, "Reservation closed";
    ReversalExceeds = "reversal_exceeds", UNPROCESSABLE_ENTITY, "Reversal exceeds the booked amount";
    PreconditionRequired = "precondition_required", PRECONDITION_REQUIRED, "If-Match required";
    QuotaExceeded = "quota_exceeded", TOO_MANY_REQUESTS, "Quota exceeded";
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "Too many requests";
    Internal = "internal", INTERNAL_SERVER_ERROR, "Internal server error";
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "Server overloaded";
    StoreUnavailable = "store_unavailable", SERVICE_UNAVAILABLE, "Database unavailable";
    ReadOnly = "read_only", SERVICE_UNAVAILABLE, "Service is read-only";
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
    /// In a batch, the item that this is about.
    index: Option<usize>,
    /// For the log alone.
    cause: Option<String>,
}

/// What some codes add.
#[derive(Debug)]
enum Extra {
    None,
    Funds { available: Money, required: Money },
    Allow(String),
    RetryAfter(u64),
}

/// The request that a problem answers.
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
    /// A problem with this code; the detail says what to do about it.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), extra: Extra::None, index: None, cause: None }
    }

    /// No route has this path.
    pub fn no_route() -> Self {
        Self::new(Code::NotFound, "path not found; /api/v1/openapi.json lists all paths")
    }

    /// The admin port has no such path.
    pub fn no_admin_route() -> Self {
        Self::new(
            Code::NotFound,
            "path not found; this port has /livez, /readyz, /startupz, /metrics and /health",
        )
    }

    /// The path takes other methods.
    pub fn method_not_allowed(allow: &str) -> Self {
        let problem = Self::new(Code::MethodNotAllowed, format!("this path supports {allow}"));
        Self { extra: Extra::Allow(allow.to_owned()), ..problem }
    }

    /// The request did not complete in time.
    pub fn deadline() -> Self {
        Self::new(
            Code::Overloaded,
            "the request did not complete within server.request_timeout; retry, a write with the same transno",
        )
    }

    /// A handler panicked.
    pub fn panicked(text: String) -> Self {
        Error::Internal(text).into()
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.code
    }

    fn with_errors(code: Code, detail: &'static str, errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::new(code, detail) }
    }

    /// The answer. The cause of a server error is logged under the request id.
    pub fn into_response(self, at: Occurrence<'_>) -> Response<AnswerBody> {
        self.log(at);
        let status = self.code.status();
        let mut response = Response::new(AnswerBody::from(self.body(at)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, CONTENT_TYPE_PROBLEM);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let retry_after = match self.extra {
            Extra::RetryAfter(seconds) => Some(HeaderValue::from(seconds)),
            Extra::None | Extra::Funds { .. } | Extra::Allow(_) => self.code.retry_after(),
        };
        if let Some(seconds) = retry_after {
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
            Extra::None | Extra::Allow(_) | Extra::RetryAfter(_) => (None, None),
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
        // Writing strings and numbers to memory cannot fail.
        serde_json::to_vec(&body).unwrap_or_default()
    }

    /// Logs the cause of a server error. [`Problem::into_response`] does this; callers that write only the document must.
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
                "some fields or parameters are missing or invalid; errors names them",
                errors,
            ),
            Error::UnknownParameter(name) => Self::with_errors(
                Code::UnknownParameter,
                "the operation does not have this parameter; errors names it",
                vec![FieldError::new(name, "is not a parameter of this operation")],
            ),
            Error::UnknownField(errors) => Self::with_errors(
                Code::UnknownField,
                "the body has unknown fields; errors names them",
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
                "send next_cursor as it was given, with the same filters and order, or omit cursor to start from the beginning",
            ),
            Error::Auth(error) => Self::new(auth_code(&error), text),
            Error::ScopeMissing(_) => Self::new(Code::ScopeMissing, text),
            Error::CustomerForbidden => Self::new(Code::CustomerForbidden, text),
            Error::KindForbidden(_) => Self::new(Code::KindForbidden, text),
            Error::CustomerSuspended => Self::new(Code::CustomerSuspended, text),
            Error::KeyDisabled => Self::new(Code::KeyDisabled, text),
            Error::KeyRequired => Self::new(Code::KeyRequired, text),
            Error::AddressDenied(_) => Self::new(Code::AddressDenied, text),
            Error::SessionRequired => Self::new(Code::SessionRequired, text),
            Error::LoginFailed => Self::new(Code::LoginFailed, text),
            Error::TokenInvalid => Self::new(Code::TokenInvalid, text),
            Error::TokenExpired => Self::new(Code::TokenExpired, text),
            Error::TokenReused => Self::new(Code::TokenReused, text),
            Error::UserDisabled => Self::new(Code::UserDisabled, text),
            Error::RateLimited(seconds) => {
                Self { extra: Extra::RetryAfter(seconds), ..Self::new(Code::RateLimited, text) }
            }
            Error::PreconditionRequired => Self::new(Code::PreconditionRequired, text),
            Error::PreconditionFailed => Self::new(Code::PreconditionFailed, text),
            Error::Taken(field) => {
                Self { errors: vec![FieldError::new(field, "is taken")], ..Self::new(Code::Conflict, text) }
            }
            Error::InsufficientBalance { available, required } => Self {
                extra: Extra::Funds { available, required },
                ..Self::new(Code::InsufficientBalance, text)
            },
            Error::NotFound(_) => Self::new(Code::NotFound, text),
            Error::Conflict(_) => Self::new(Code::Conflict, text),
            Error::TransnoInProgress => Self::new(
                Code::TransnoInProgress,
                "the first request with this transno is still in progress; retry shortly",
            ),
            Error::TransnoConflict => Self::new(
                Code::TransnoConflict,
                "the transno was used for a different request; use a new one for a new booking",
            ),
            Error::RequestConflict => Self::new(
                Code::RequestConflict,
                "the request_id was used for other usage; a request is recorded once",
            ),
            Error::EventInFuture => Self::new(Code::EventInFuture, text),
            Error::EventTooOld(_) => Self::new(Code::EventTooOld, text),
            Error::CurrencyMismatch { .. } => Self::new(Code::CurrencyMismatch, text),
            Error::AmountOutOfRange => Self::new(Code::AmountOutOfRange, text),
            Error::PriceNotFound(_) => Self::new(Code::PriceNotFound, text),
            Error::HoldClosed(_) => Self::new(Code::HoldClosed, text),
            Error::ReservationClosed(_) => Self::new(Code::ReservationClosed, text),
            Error::ReversalExceeds(_) => Self::new(Code::ReversalExceeds, text),
            Error::Item { index, error } => Self { index: Some(index), ..Self::from(*error) },
            Error::Overloaded => Self::new(
                Code::Overloaded,
                "too many bookings are waiting; nothing was booked, retry shortly",
            ),
            Error::StoreUnavailable(cause) => Self {
                cause: Some(cause),
                ..Self::new(
                    Code::StoreUnavailable,
                    "the database is not available at the moment; retry, a write with the same transno",
                )
            },
            Error::ReadOnly => {
                Self::new(Code::ReadOnly, "the service accepts no writes at the moment; reads are served")
            }
            Error::Internal(cause) => Self {
                cause: Some(cause),
                ..Self::new(
                    Code::Internal,
                    "internal error; the server's log has the details under the request id. Retry a write with the same transno",
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
            // The text may come from hyper, and is of no use to the client.
            BodyError::Broken(_) => {
                Self::new(Code::BodyMalformed, "the body ended early or was framed incorrectly")
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
             401 auth_uncovered, 401 auth_expired, 401 auth_failed, 401 auth_replay, 401 login_failed, 401 token_invalid, 401 token_expired, \
             401 token_reused, 402 insufficient_balance, \
             403 scope_missing, 403 customer_forbidden, 403 kind_forbidden, 403 customer_suspended, \
             403 key_disabled, 403 key_required, 403 address_denied, 403 session_required, 403 user_disabled, 404 not_found, 405 method_not_allowed, 409 conflict, \
             409 transno_in_progress, 410 gone, 412 precondition_failed, 413 body_too_large, \
             415 unsupported_media_type, 422 transno_conflict, 422 request_conflict, 422 event_in_future, 422 event_too_old, \
             422 currency_mismatch, 422 price_not_found, \
             422 amount_out_of_range, 422 hold_closed, 422 reservation_closed, 422 reversal_exceeds, 428 precondition_required, 429 quota_exceeded, \
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
    fn every_code_has_a_title_of_its_own() {
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
                "title": "Not found",
                "status": 404,
                "detail": "user not found",
                "instance": "/api/v1/x",
                "code": "not_found",
                "request_id": "00000000000000aa",
                "errors": [],
            })
        );
    }

    #[tokio::test]
    async fn some_codes_have_members_of_their_own() {
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
        assert_eq!(codes, super::super::metrics::AUTH_FAILURES);
    }

    #[tokio::test]
    async fn errors_that_can_be_retried_say_when() {
        for error in [Error::Overloaded, Error::ReadOnly, Error::TransnoInProgress] {
            assert_eq!(rendered(error).await.0.headers[RETRY_AFTER], "1");
        }
        assert!(!rendered(Error::TransnoConflict).await.0.headers.contains_key(RETRY_AFTER));
    }

    #[tokio::test]
    async fn a_server_error_tells_the_client_nothing_of_its_cause() {
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
