//! The pull feed: `GET /sync/v1/{entity}`.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::entity::Entity;
use crate::fault::{BadRow, Fault, Mode};
use crate::fault_body::{Padded, Stalled};
use crate::listener::{Body, Broken, full};
use crate::page::{PageBody, Tail};
use crate::platform::{Control, Refused};

const DEFAULT_LIMIT: usize = 500;
const MAX_LIMIT: usize = 10_000;
const MAX_IDS: usize = 100;

/// Where a redirect fault leads: a request for it has followed one.
const REDIRECTED: &str = "/redirected";

/// What a pull asks for.
#[derive(Debug, PartialEq, Eq)]
enum Pull {
    Since { cursor: Option<String>, snapshot: bool, limit: usize },
    Ids(Vec<String>),
}

/// A refusal: status and code.
type No = (StatusCode, &'static str);

/// Answers one request. The request's body is never read: a GET has none.
pub(crate) async fn answer<B>(platform: Arc<Control>, request: Request<B>) -> Result<Response<Body>, Broken> {
    let (request, _) = request.into_parts();
    let path = request.uri.path();
    if path == REDIRECTED {
        platform.count_redirect_followed();
        let page = json!({"status": "ok", "data": {"rows": [], "next": "", "has_more": false}});
        return Ok(response(StatusCode::OK, full(page.to_string())));
    }
    let Some(entity) = path.strip_prefix("/sync/v1/").and_then(Entity::from_name) else {
        return Ok(refuse((StatusCode::NOT_FOUND, "not_found")));
    };
    if request.method != Method::GET {
        return Ok(refuse((StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed")));
    }
    if let Err(code) = platform.gate.check(&request, (platform.now)().div_euclid(1_000_000)) {
        platform.count_unauthorized();
        tracing::info!(%entity, code, "pull refused");
        return Ok(refuse((StatusCode::UNAUTHORIZED, code)));
    }
    let query = request.uri.query().unwrap_or_default();
    let fault = platform.meet(entity);
    let traceparent = request.headers.get("traceparent").and_then(|value| value.to_str().ok());
    tracing::info!(%entity, query, traceparent, fault = ?fault.as_ref().map(|fault| fault.mode), "pull");
    match fault {
        None => Ok(page(&platform, entity, query, None).unwrap_or_else(refuse)),
        Some(fault) => misbehave(&platform, entity, query, fault).await,
    }
}

fn page(platform: &Control, entity: Entity, query: &str, bad: Option<BadRow>) -> Result<Response<Body>, No> {
    let (rows, next, has_more) = match parse(query)? {
        Pull::Ids(ids) => (platform.by_ids(entity, &ids), None, false),
        Pull::Since { cursor, snapshot, limit } => {
            let page = platform.page(entity, cursor.as_deref(), snapshot, limit);
            let (page, next) = page.map_err(|refused| match refused {
                Refused::InvalidCursor => (StatusCode::BAD_REQUEST, "invalid_cursor"),
                Refused::CursorExpired => (StatusCode::GONE, "cursor_expired"),
            })?;
            (page.rows, Some(next), page.has_more)
        }
    };
    let tail = Tail { next, has_more, server_time_us: (platform.now)() };
    let body = PageBody::new(platform.world, entity, rows, tail, bad);
    Ok(response(StatusCode::OK, body.boxed_unsync()))
}

/// Reads `since`, `limit`, `snapshot`, or `ids` alone.
fn parse(query: &str) -> Result<Pull, No> {
    let bad = (StatusCode::BAD_REQUEST, "invalid_request");
    let (mut cursor, mut snapshot, mut limit, mut ids) = (None, false, DEFAULT_LIMIT, None);
    let mut others = false;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        others |= name != "ids";
        match name {
            "since" => cursor = Some(decode(value)?).filter(|text| !text.is_empty()),
            "snapshot" => snapshot = value == "1",
            "limit" => limit = value.parse().ok().filter(|n| (1..=MAX_LIMIT).contains(n)).ok_or(bad)?,
            // Split first: a comma inside an id is percent-encoded.
            "ids" => ids = Some(value.split(',').map(decode).collect::<Result<Vec<_>, _>>()?),
            _ => return Err((StatusCode::BAD_REQUEST, "unknown_parameter")),
        }
    }
    match ids {
        None => Ok(Pull::Since { cursor, snapshot, limit }),
        Some(ids) if others || ids.len() > MAX_IDS || ids.iter().any(String::is_empty) => Err(bad),
        Some(mut ids) => {
            // One row for each id, however often it is asked for.
            let mut seen = std::collections::HashSet::new();
            ids.retain(|id| seen.insert(id.clone()));
            Ok(Pull::Ids(ids))
        }
    }
}

fn decode(text: &str) -> Result<String, No> {
    match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err((StatusCode::BAD_REQUEST, "invalid_request")),
    }
}

async fn misbehave(
    platform: &Control,
    entity: Entity,
    query: &str,
    fault: Fault,
) -> Result<Response<Body>, Broken> {
    let delay = |default_ms| Duration::from_millis(fault.delay_ms.unwrap_or(default_ms));
    let good = |bad| page(platform, entity, query, bad).unwrap_or_else(refuse);
    Ok(match fault.mode {
        Mode::None => good(None),
        Mode::Slow => {
            tokio::time::sleep(delay(2000)).await;
            good(None)
        }
        Mode::Down => return Err(Broken),
        Mode::Status => {
            let status = fault.status.and_then(|status| StatusCode::from_u16(status).ok());
            refuse((status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE), "told_to_fail"))
        }
        Mode::Truncated => {
            let half = half(good(None)).await?;
            response(StatusCode::OK, full(half))
        }
        Mode::Cut => {
            let half = half(good(None)).await?;
            response(StatusCode::OK, Stalled::new(half, Duration::ZERO).boxed_unsync())
        }
        Mode::WrongContent => {
            let html = "<!doctype html><title>Sign in</title><p>Please sign in to continue.</p>";
            let mut answer = Response::new(full(html));
            let kind = HeaderValue::from_static("text/html; charset=utf-8");
            answer.headers_mut().insert(header::CONTENT_TYPE, kind);
            answer
        }
        Mode::Huge => {
            let body = Padded::new(
                br#"{"status":"ok","data":{"rows":[],"next":"","has_more":false,"padding":""#,
                fault.bytes.unwrap_or(100 << 20),
                br#""}}"#,
            );
            response(StatusCode::OK, body.boxed_unsync())
        }
        Mode::Redirect => {
            let mut answer = response(StatusCode::FOUND, full(Bytes::new()));
            let to = fault.location.as_deref().and_then(|to| HeaderValue::from_str(to).ok());
            let to = to.unwrap_or(HeaderValue::from_static(REDIRECTED));
            answer.headers_mut().insert(header::LOCATION, to);
            answer
        }
        Mode::Garbage => {
            let bytes: Vec<u8> = (0_u32..4096).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            response(StatusCode::OK, full(bytes))
        }
        Mode::BadRow => good(Some(fault.what.unwrap_or_default())),
        Mode::Stall => {
            let half = half(good(None)).await?;
            response(StatusCode::OK, Stalled::new(half, delay(3_600_000)).boxed_unsync())
        }
    })
}

/// The first half of what would have been sent.
async fn half(answer: Response<Body>) -> Result<Bytes, Broken> {
    let whole = answer.into_body().collect().await?.to_bytes();
    Ok(whole.slice(..whole.len() / 2))
}

fn refuse((status, code): No) -> Response<Body> {
    let body = json!({"status": "error", "code": code, "data": {"message": code.replace('_', " ")}});
    response(status, full(body.to_string()))
}

fn response(status: StatusCode, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(query: &str) -> &'static str {
        parse(query).unwrap_err().1
    }

    #[test]
    fn a_pull_is_read_from_its_query() {
        assert_eq!(parse(""), Ok(Pull::Since { cursor: None, snapshot: false, limit: 500 }));
        assert_eq!(
            parse("since=&snapshot=1&limit=7"),
            Ok(Pull::Since { cursor: None, snapshot: true, limit: 7 })
        );
        assert_eq!(
            parse("since=a%2Bb%3D"),
            Ok(Pull::Since { cursor: Some("a+b=".into()), snapshot: false, limit: 500 })
        );
    }

    #[test]
    fn ids_are_split_before_they_are_decoded_and_each_counts_once() {
        assert_eq!(parse("ids=a%2Cb,c,c"), Ok(Pull::Ids(vec!["a,b".into(), "c".into()])));
    }

    #[test]
    fn a_wrong_query_is_refused_with_its_code() {
        let many = format!("ids={}", vec!["x"; 101].join(","));
        for query in
            ["limit=0", "limit=10001", "limit=x", "ids=", "ids=a,,b", "ids=a&limit=5", "since=%ff", &many]
        {
            assert_eq!(code(query), "invalid_request", "{query}");
        }
        assert_eq!(code("cursor=x"), "unknown_parameter");
    }
}
