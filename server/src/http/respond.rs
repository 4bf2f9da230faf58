//! Answers: the envelope, entity tags, HEAD and the headers that every answer has.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    HeaderValue, IF_NONE_MATCH, LOCATION, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, Method, Response, StatusCode};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::domain::Error;
use crate::domain::page::ListPage;

use super::AnswerBody;
use super::routes;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NDJSON: HeaderValue = HeaderValue::from_static(routes::NDJSON);
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// Answers with secrets in them are kept nowhere.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// Answers are for one caller, and are revalidated before they are reused.
const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-cache");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const TRUE: HeaderValue = HeaderValue::from_static("true");

/// What a handler answers with.
#[derive(Debug)]
pub struct Answer {
    status: StatusCode,
    body: Bytes,
    tag: EntityTag,
    content_type: HeaderValue,
    location: Option<String>,
    replayed: bool,
    /// Whether it holds a secret, which nothing on the way may store.
    secret: bool,
    download: Option<Download>,
    /// The content security policy of a page.
    policy: Option<HeaderValue>,
    /// Further header fields.
    fields: Vec<(HeaderName, HeaderValue)>,
}

/// A body that is made while the client reads, to be saved as a file.
#[derive(Debug)]
struct Download {
    parts: AnswerBody,
    name: String,
}

/// A page of a list.
#[derive(Debug, Serialize)]
struct ListBody<T> {
    rows: Vec<T>,
    next_cursor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<i64>,
}

impl<T> ListBody<T> {
    /// Of a page, row by row.
    fn of<'a, E>(page: &'a ListPage<E>, row: impl Fn(&'a E) -> T) -> Self {
        Self {
            rows: page.rows.iter().map(row).collect(),
            next_cursor: page.next_cursor.clone(),
            total: page.total,
        }
    }
}

/// How an answer's entity tag is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntityTag {
    /// It has none.
    None,
    /// From the version of the row that it shows.
    Version(i64),
    /// From a hash of its body.
    Body,
}

impl Answer {
    /// 200 with `data` in the envelope; tagged by its body.
    pub fn ok(data: &impl Serialize) -> Result<Self, Error> {
        Ok(Self::new(StatusCode::OK, envelope("ok", data)?, EntityTag::Body))
    }

    /// 200 with a page of a list in the envelope, each row made by `row`; tagged by its body.
    pub fn list<'a, E, T: Serialize>(page: &'a ListPage<E>, row: impl Fn(&'a E) -> T) -> Result<Self, Error> {
        Self::ok(&ListBody::of(page, row))
    }

    /// 200 with `data` in the envelope, after something was changed; not tagged.
    pub fn done(data: &impl Serialize) -> Result<Self, Error> {
        Ok(Self::new(StatusCode::OK, envelope("ok", data)?, EntityTag::None))
    }

    /// 204, after something was changed of which nothing is left to show.
    pub fn no_content() -> Self {
        Self::new(StatusCode::NO_CONTENT, Bytes::new(), EntityTag::None)
    }

    /// 200 with NDJSON; not tagged.
    pub fn lines(body: Bytes) -> Self {
        Self { content_type: NDJSON, ..Self::new(StatusCode::OK, body, EntityTag::None) }
    }

    /// 200 with a body that is made while the client reads, to be saved as a file; not tagged.
    pub fn download(parts: AnswerBody, content_type: &'static str, name: String) -> Self {
        let answer = Self::new(StatusCode::OK, Bytes::new(), EntityTag::None);
        let content_type = HeaderValue::from_static(content_type);
        Self { content_type, download: Some(Download { parts, name }), ..answer }
    }

    /// 200 with an HTML page and its content security policy; tagged by its body.
    pub fn page(html: Bytes, policy: Option<HeaderValue>) -> Self {
        Self { content_type: HTML, policy, ..Self::new(StatusCode::OK, html, EntityTag::Body) }
    }

    /// 503 with `data` in the envelope.
    pub fn down(data: &impl Serialize) -> Result<Self, Error> {
        Ok(Self::new(StatusCode::SERVICE_UNAVAILABLE, envelope("error", data)?, EntityTag::None))
    }

    /// JSON without the envelope.
    pub fn bare(status: StatusCode, body: Bytes, tag: EntityTag) -> Self {
        Self::new(status, body, tag)
    }

    fn new(status: StatusCode, body: Bytes, tag: EntityTag) -> Self {
        let content_type = JSON;
        Self {
            status,
            body,
            tag,
            content_type,
            location: None,
            replayed: false,
            secret: false,
            download: None,
            policy: None,
            fields: Vec::new(),
        }
    }

    /// With a secret in it, which nothing on the way may store.
    #[must_use]
    pub fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// With further header fields.
    #[must_use]
    pub fn with_fields(self, fields: Vec<(HeaderName, HeaderValue)>) -> Self {
        Self { fields, ..self }
    }

    /// With another entity tag.
    #[must_use]
    pub fn tagged(self, tag: EntityTag) -> Self {
        Self { tag, ..self }
    }

    /// 201 for something new at `location`; 200 when this repeats the first answer.
    pub fn created(data: &impl Serialize, location: String, replayed: bool) -> Result<Self, Error> {
        let status = if replayed { StatusCode::OK } else { StatusCode::CREATED };
        let answer = Self::new(status, envelope("ok", data)?, EntityTag::None);
        Ok(Self { location: Some(location), replayed, ..answer })
    }

    /// The answer to a request with this method and these headers; 304 without a body if the client has it already.
    pub fn into_response(self, method: &Method, request: &HeaderMap) -> Response<AnswerBody> {
        let Self { status, body, tag, content_type, location, replayed, secret, download, policy, fields } =
            self;
        let tag = match tag {
            EntityTag::None => None,
            EntityTag::Version(version) => Some(format!("W/\"{version}\"")),
            EntityTag::Body => Some(hash_tag(&body)),
        };
        // A write changes something whatever the client has (RFC 9110 section 13.1.2).
        let known = method.is_safe() && tag.as_deref().is_some_and(|tag| has(request, tag));
        let mut response = Response::new(AnswerBody::new(if known { Bytes::new() } else { body }));
        let headers = response.headers_mut();
        if !known && status != StatusCode::NO_CONTENT {
            headers.insert(CONTENT_TYPE, content_type);
        }
        headers.insert(CACHE_CONTROL, if secret { NO_STORE } else { PRIVATE });
        if let Some(tag) = tag.and_then(|tag| HeaderValue::try_from(tag).ok()) {
            headers.insert(ETAG, tag);
        }
        if let Some(location) = location.and_then(|location| HeaderValue::try_from(location).ok()) {
            headers.insert(LOCATION, location);
        }
        headers.extend(fields);
        if replayed {
            headers.insert(REPLAYED, TRUE);
        }
        if let Some(policy) = policy {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
            headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        }
        if let Some(Download { parts, name }) = download {
            // The name is ours: letters and a dot.
            if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{name}\"")) {
                headers.insert(CONTENT_DISPOSITION, value);
            }
            *response.body_mut() = parts;
        }
        *response.status_mut() = if known { StatusCode::NOT_MODIFIED } else { status };
        response
    }
}

/// Drops the body of an answer to HEAD and keeps its length.
pub fn without_body(response: Response<AnswerBody>) -> Response<AnswerBody> {
    use http_body::Body as _;
    let (mut parts, body) = response.into_parts();
    if parts.status != StatusCode::NOT_MODIFIED
        && let Some(length) = body.size_hint().exact()
    {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(parts, AnswerBody::default())
}

fn envelope(status: &str, data: &impl Serialize) -> Result<Bytes, Error> {
    let mut body = Vec::with_capacity(512);
    body.extend_from_slice(b"{\"status\":\"");
    body.extend_from_slice(status.as_bytes());
    body.extend_from_slice(b"\",\"data\":");
    serde_json::to_writer(&mut body, data).map_err(|error| Error::Internal(error.to_string()))?;
    body.push(b'}');
    Ok(body.into())
}

/// A weak tag of the body; the same on every instance.
fn hash_tag(body: &[u8]) -> String {
    let mut tag = String::with_capacity(36);
    tag.push_str("W/\"");
    for byte in &Sha256::digest(body)[..16] {
        // Writing to a string cannot fail.
        let _infallible = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

/// Whether `If-None-Match` names the tag, compared weakly (RFC 9110 section 13.1.2). Our tags hold no comma.
fn has(request: &HeaderMap, tag: &str) -> bool {
    fn opaque(tag: &str) -> &str {
        tag.strip_prefix("W/").unwrap_or(tag)
    }
    request
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .any(|line| line.split(',').map(str::trim).any(|given| given == "*" || opaque(given) == opaque(tag)))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::json;

    use super::*;

    fn asking(tag: Option<&str>) -> HeaderMap {
        tag.map(|tag| (IF_NONE_MATCH, HeaderValue::from_str(tag).unwrap())).into_iter().collect()
    }

    async fn body(response: Response<AnswerBody>) -> Bytes {
        response.into_body().collect().await.unwrap().to_bytes()
    }

    #[test]
    fn next_cursor_is_always_there_and_total_when_asked_for() {
        let page = |total| ListPage { rows: vec![1, 2], next_cursor: None, total };
        let json = |total| serde_json::to_string(&ListBody::of(&page(total), |row| *row)).unwrap();
        assert_eq!(json(None), r#"{"rows":[1,2],"next_cursor":null}"#);
        assert_eq!(json(Some(2)), r#"{"rows":[1,2],"next_cursor":null,"total":2}"#);
    }

    #[tokio::test]
    async fn data_stands_in_the_envelope() {
        let response = Answer::ok(&json!({"a": null})).unwrap().into_response(&Method::GET, &asking(None));
        assert_eq!((response.status(), &response.headers()[CONTENT_TYPE]), (StatusCode::OK, &JSON));
        assert_eq!(body(response).await, r#"{"status":"ok","data":{"a":null}}"#);
    }

    #[tokio::test]
    async fn a_client_that_has_the_answer_gets_304_without_a_body() {
        let answer = || Answer::ok(&1).unwrap();
        let tag =
            answer().into_response(&Method::GET, &asking(None)).headers()[ETAG].to_str().unwrap().to_owned();
        assert!(tag.starts_with("W/\"") && tag.len() == 36, "{tag}");
        for given in [tag.as_str(), &tag[2..], "*", &format!("\"x\", {tag}"), &format!("\"x\",{}", &tag[2..])]
        {
            let response = answer().into_response(&Method::GET, &asking(Some(given)));
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{given}");
            assert_eq!(response.headers()[ETAG], tag);
            assert!(body(response).await.is_empty());
        }
        for given in ["\"x\"", "", "W/", &tag[3..]] {
            assert_eq!(
                answer().into_response(&Method::GET, &asking(Some(given))).status(),
                StatusCode::OK,
                "{given}"
            );
        }
        let other = Answer::ok(&2).unwrap().into_response(&Method::GET, &asking(Some(&tag)));
        assert_eq!(other.status(), StatusCode::OK);
    }

    #[test]
    fn a_version_is_the_tag_whatever_the_body() {
        let response = Answer::ok(&1)
            .unwrap()
            .tagged(EntityTag::Version(7))
            .into_response(&Method::GET, &asking(Some("W/\"7\"")));
        assert_eq!(
            (response.status(), &response.headers()[ETAG]),
            (StatusCode::NOT_MODIFIED, &HeaderValue::from_static("W/\"7\""))
        );
    }

    #[tokio::test]
    async fn a_write_is_answered_whatever_the_client_has_already() {
        let tagged = || Answer::done(&1).unwrap().tagged(EntityTag::Version(7));
        let response = tagged().into_response(&Method::PATCH, &asking(Some("W/\"7\"")));
        assert_eq!(
            (response.status(), &response.headers()[ETAG]),
            (StatusCode::OK, &HeaderValue::from_static("W/\"7\""))
        );
        let response = Answer::no_content().into_response(&Method::DELETE, &asking(Some("*")));
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert!(!response.headers().contains_key(CONTENT_TYPE));
        assert!(body(response).await.is_empty());
    }

    #[test]
    fn what_is_new_has_a_place_and_what_is_replayed_says_so() {
        let new = Answer::created(&1, "/x/1".to_owned(), false)
            .unwrap()
            .into_response(&Method::GET, &asking(Some("*")));
        assert_eq!(
            (new.status(), &new.headers()[LOCATION]),
            (StatusCode::CREATED, &HeaderValue::from_static("/x/1"))
        );
        assert!(!new.headers().contains_key(REPLAYED) && !new.headers().contains_key(ETAG));
        let again =
            Answer::created(&1, "/x/1".to_owned(), true).unwrap().into_response(&Method::GET, &asking(None));
        assert_eq!((again.status(), &again.headers()[REPLAYED]), (StatusCode::OK, &TRUE));
    }

    #[tokio::test]
    async fn head_has_the_length_and_no_body() {
        let response = without_body(Answer::ok(&1).unwrap().into_response(&Method::GET, &asking(None)));
        assert_eq!(response.headers()[CONTENT_LENGTH], "24");
        assert!(body(response).await.is_empty());
        let unchanged = without_body(Answer::ok(&1).unwrap().into_response(&Method::GET, &asking(Some("*"))));
        assert!(!unchanged.headers().contains_key(CONTENT_LENGTH));
    }
}
