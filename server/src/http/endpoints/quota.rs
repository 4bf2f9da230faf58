//! May this user go on? Checks, their reservations, and what is left of a user's limits.

use std::fmt::Write as _;
use std::time::Duration;

use http::HeaderName;
use http::header::{HeaderValue, RETRY_AFTER};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::json;

use crate::domain::booking::Kept;
use crate::domain::quota::{CheckAnswer, CheckRequest, LimitState, RefusedBy};
use crate::domain::{Error, FieldError};
use crate::http::body::{Object, required};
use crate::http::call::Call;
use crate::http::problem::Code;
use crate::http::respond::Answer;
use crate::http::routes::parameters::{Parameter, ParameterKind};
use crate::http::routes::{Access, Body, Payload, Route, Verb};
use crate::http::schema::{self, IdText, LimitKindText, ReservationStateText, TimeText, UuidText};
use crate::http::tag::Tag;
use crate::model::{
    CustomerId, LimitKind, QuotaReservation, RecordId, ReservationState, Scope, Timestamp, Transno, UserId,
};

pub const ROUTES: &[Route] = &[
    Route {
        id: "getQuota",
        path: "/api/v1/quota",
        tag: Tag::Quota,
        access: Access::Scope(Scope::QuotaRead),
        parameters: &[SUBJECT],
        answer: Payload::One(schema::of::<QuotaBody>),
        summary: "How far a user is from its limits. Nothing is reserved.",
        problems: &[Code::CustomerForbidden],
        ..Route::new(Verb::Get, |call| Box::pin(show(call)))
    },
    Route {
        id: "checkQuota",
        path: "/api/v1/quota/check",
        tag: Tag::Quota,
        access: Access::Scope(Scope::UsageWrite),
        body: Body::Json(check_schema),
        answer: Payload::One(schema::of::<CheckBody>),
        summary: "Whether a user may go on. What it may use is reserved until it is settled by POST /usage.",
        problems: &[Code::CustomerForbidden, Code::NotFound],
        ..Route::new(Verb::Post, |call| Box::pin(check(call)))
    },
    Route {
        id: "releaseQuota",
        path: "/api/v1/quota/release",
        tag: Tag::Quota,
        access: Access::Scope(Scope::UsageWrite),
        body: Body::Json(release_schema),
        answer: Payload::One(schema::of::<ReservationBody>),
        summary: "Gives a reservation back: no call was made. Can be repeated.",
        problems: &[Code::NotFound],
        ..Route::new(Verb::Post, |call| Box::pin(release(call)))
    },
    Route {
        id: "extendQuota",
        path: "/api/v1/quota/extend",
        tag: Tag::Quota,
        access: Access::Scope(Scope::UsageWrite),
        body: Body::Json(extend_schema),
        answer: Payload::One(schema::of::<ReservationBody>),
        summary: "Keeps a reservation open for so long from now on, for long calls.",
        problems: &[Code::NotFound, Code::ReservationClosed],
        ..Route::new(Verb::Post, |call| Box::pin(extend(call)))
    },
];

const SUBJECT: &[Parameter] = &[
    Parameter::new("customer_id", ParameterKind::Id(64), "Whose user; needed by keys of the platform."),
    Parameter::new("user_id", ParameterKind::Id(64), "The user; a user who signed in may leave it out."),
];

/// How long a reservation stays open unless the request says, and at most, in seconds.
const DEFAULT_TTL_S: i64 = 600;
const MAX_TTL_S: i64 = 3600;
/// The most tokens that a check may name.
const MAX_TOKENS: i64 = 1_000_000_000_000;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// How far a user is from one of its limits.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Limit")]
struct LimitBody {
    #[schemars(with = "LimitKindText")]
    kind: LimitKind,
    limit: i64,
    used: i64,
    reserved: i64,
    remaining: i64,
    /// When nothing that counts now counts any more; null where no time makes it so.
    #[schemars(with = "Option<TimeText>")]
    resets_at: Option<Timestamp>,
}

impl LimitBody {
    fn of(state: &LimitState) -> Self {
        let LimitState { kind, limit, used, reserved, remaining, resets_at } = *state;
        Self { kind, limit, used, reserved, remaining, resets_at }
    }
}

/// The limits of a user.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Quota")]
pub struct QuotaBody {
    #[schemars(with = "IdText")]
    customer_id: CustomerId,
    #[schemars(with = "IdText")]
    user_id: UserId,
    /// What is unlimited is absent.
    limits: Vec<LimitBody>,
    /// unknown_user or user_disabled where every check is refused for that.
    refused_by: Option<&'static str>,
}

/// Whether a user may go on.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "QuotaCheck")]
pub struct CheckBody {
    allowed: bool,
    /// To be named by the usage record; null for a refusal, and where the database could not be asked.
    #[schemars(with = "Option<UuidText>")]
    reservation: Option<RecordId>,
    /// How many tokens it reserves.
    tokens: Option<i64>,
    #[schemars(with = "Option<TimeText>")]
    expires_at: Option<Timestamp>,
    /// What is unlimited is absent.
    limits: Vec<LimitBody>,
    /// The kind of a limit, unknown_user or user_disabled.
    refused_by: Option<&'static str>,
    /// Seconds to wait after a refusal; null if waiting does not help.
    #[schemars(with = "Option<i64>")]
    retry_after_s: Option<u64>,
    /// Whether the request_id has an open reservation, and this repeats it.
    replayed: bool,
    /// Whether it was allowed without asking the database.
    degraded: bool,
}

impl CheckBody {
    fn of(answer: &CheckAnswer) -> Self {
        Self {
            allowed: answer.refused_by.is_none(),
            reservation: answer.reservation.as_ref().map(|reservation| reservation.id),
            tokens: answer.reservation.as_ref().map(|reservation| reservation.declared),
            expires_at: answer.reservation.as_ref().map(|reservation| reservation.expires_at),
            limits: answer.limits.iter().map(LimitBody::of).collect(),
            refused_by: answer.refused_by.map(RefusedBy::as_str),
            retry_after_s: answer.retry_after.map(whole_seconds),
            replayed: answer.replayed,
            degraded: answer.degraded,
        }
    }
}

/// A reservation.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "QuotaReservation")]
pub struct ReservationBody {
    #[schemars(with = "UuidText")]
    reservation: RecordId,
    #[schemars(with = "IdText")]
    customer_id: CustomerId,
    #[schemars(with = "IdText")]
    user_id: String,
    tokens: i64,
    #[schemars(with = "ReservationStateText")]
    state: ReservationState,
    #[schemars(with = "TimeText")]
    expires_at: Timestamp,
    /// Whether it was closed already.
    replayed: bool,
}

impl ReservationBody {
    fn of(kept: Kept) -> Self {
        let Kept { reservation, replayed } = kept;
        let QuotaReservation { id, customer_id, user_id, declared, state, expires_at, .. } = reservation;
        Self { reservation: id, customer_id, user_id, tokens: declared, state, expires_at, replayed }
    }
}

async fn show(mut call: Call<'_>) -> Result<Answer, Error> {
    let (customer, user) = (call.params.customer(), call.params.text_id("user_id"));
    call.params.finish()?;
    let customer_id = call.one_customer(customer.as_ref())?;
    let own = call.principal()?.own_rows_of().cloned();
    let user_id = match (user.map(|id| UserId::parse(&id)).transpose(), own) {
        (Ok(None), Some(own)) => own,
        (Ok(Some(named)), Some(own)) if named != own => return Err(Error::CustomerForbidden),
        (Ok(Some(named)), _) => named,
        (Ok(None), None) => return Err(Error::Invalid(vec![FieldError::new("user_id", "is required")])),
        (Err(error), _) => return Err(Error::Invalid(vec![FieldError::new("user_id", error.to_string())])),
    };
    let (limits, refused_by) = call.env.quotas().limits(&customer_id, &user_id).await?;
    let limits = limits.iter().map(LimitBody::of).collect();
    let refused_by = refused_by.map(RefusedBy::as_str);
    Answer::ok(&QuotaBody { customer_id, user_id, limits, refused_by })
}

async fn check(call: Call<'_>) -> Result<Answer, Error> {
    let mut body = Object::parse(&call.body)?;
    let customer = body.customer("customer_id");
    let user_id = body.parsed("user_id", UserId::parse);
    body.require("user_id", user_id.as_ref());
    // For the caller's own log of what it asked: no limit depends on it.
    let _model = body.text_id("model");
    let tokens = body.integer("tokens", 0, MAX_TOKENS);
    let request_id = body.parsed("request_id", Transno::parse_client);
    let ttl = ttl(&mut body);
    body.finish()?;
    let customer_id = call.one_customer(customer.as_ref())?;
    let (user_id, nonce) = (required(user_id)?, call.nonce());
    let ttl = ttl.unwrap_or(Duration::from_secs(DEFAULT_TTL_S.unsigned_abs()));
    let request = CheckRequest { customer_id, user_id, tokens, request_id, ttl, nonce };
    let answer = call.env.quotas().check(request).await?;
    let mut fields = rate_limit_fields(&answer);
    if let (Some(_), Some(wait)) = (answer.refused_by, answer.retry_after) {
        fields.push((RETRY_AFTER, HeaderValue::from(whole_seconds(wait))));
    }
    Ok(Answer::done(&CheckBody::of(&answer))?.with_fields(fields))
}

async fn release(call: Call<'_>) -> Result<Answer, Error> {
    let mut body = Object::parse(&call.body)?;
    let id = reservation(&mut body);
    body.finish()?;
    let kept = call.env.quotas().release(call.reach()?, required(id)?, call.nonce()).await?;
    Answer::done(&ReservationBody::of(kept))
}

async fn extend(call: Call<'_>) -> Result<Answer, Error> {
    let mut body = Object::parse(&call.body)?;
    let (id, ttl) = (reservation(&mut body), ttl(&mut body));
    body.require("ttl_s", ttl.as_ref());
    body.finish()?;
    let (id, ttl) = (required(id)?, required(ttl)?);
    let kept = call.env.quotas().extend(call.reach()?, id, ttl, call.nonce()).await?;
    Answer::done(&ReservationBody::of(kept))
}

fn reservation(body: &mut Object<'_>) -> Option<RecordId> {
    let id = body.parsed("reservation", |text| RecordId::parse(text).ok_or("must be a UUID"));
    body.require("reservation", id.as_ref());
    id
}

fn ttl(body: &mut Object<'_>) -> Option<Duration> {
    body.integer("ttl_s", 1, MAX_TTL_S).map(|seconds| Duration::from_secs(seconds.unsigned_abs()))
}

fn whole_seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

/// The fields of draft-ietf-httpapi-ratelimit-headers: of each limit with a window its size, and what is left of it until
/// when.
fn rate_limit_fields(answer: &CheckAnswer) -> Vec<(HeaderName, HeaderValue)> {
    let (mut policy, mut state) = (String::new(), String::new());
    for limit in &answer.limits {
        let window = match limit.kind {
            LimitKind::RequestsPerMinute => 60,
            LimitKind::DailyTokens => 86_400,
            LimitKind::MonthlyTokens => 30 * 86_400,
            LimitKind::MaxTokensPerRequest | LimitKind::ConcurrentRequests => continue,
        };
        let separator = if policy.is_empty() { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(policy, "{separator}\"{}\";q={};w={window}", limit.kind, limit.limit);
        let _ = write!(state, "{separator}\"{}\";r={}", limit.kind, limit.remaining);
        if let Some(resets_at) = limit.resets_at {
            let wait = resets_at.micros().saturating_sub(answer.now.micros()).max(0);
            let _ = write!(state, ";t={}", wait.unsigned_abs().div_ceil(1_000_000));
        }
    }
    let field = |name, text: String| Some((name, HeaderValue::try_from(text).ok()?));
    if policy.is_empty() {
        return Vec::new();
    }
    [field(RATE_LIMIT_POLICY, policy), field(RATE_LIMIT, state)].into_iter().flatten().collect()
}

fn check_schema(g: &mut SchemaGenerator) -> Schema {
    let id = g.subschema_for::<IdText>();
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["user_id"],
        "description": "tokens is what the request will use at most: prompt and answer. Null means absent.",
        "properties": {
            "customer_id": id, "user_id": id, "model": id, "tokens": schema::tokens(),
            "request_id": schema::client_name(), "ttl_s": ttl_schema(DEFAULT_TTL_S.into()),
        },
    });
    schema::defined(g, "NewQuotaCheck", schema)
}

fn release_schema(g: &mut SchemaGenerator) -> Schema {
    let uuid = g.subschema_for::<UuidText>();
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["reservation"],
        "properties": { "reservation": uuid },
    });
    schema::defined(g, "QuotaRelease", schema)
}

fn extend_schema(g: &mut SchemaGenerator) -> Schema {
    let uuid = g.subschema_for::<UuidText>();
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["reservation", "ttl_s"],
        "properties": { "reservation": uuid, "ttl_s": ttl_schema(serde_json::Value::Null) },
    });
    schema::defined(g, "QuotaExtension", schema)
}

fn ttl_schema(default: serde_json::Value) -> serde_json::Value {
    let mut schema = json!({ "type": "integer", "format": "int64", "minimum": 1, "maximum": MAX_TTL_S });
    if !default.is_null() {
        schema["default"] = default;
    }
    schema
}
