//! The platform's feed over HTTP: signed requests, and nothing believed about the answers.

mod pause;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jiff::tz::TimeZone;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Certificate, Client, Proxy, Response, Url, redirect};
use serde::Deserialize;
use tracing::{Instrument as _, Span};

use self::pause::{Pauses, retry_after};
use super::error::SyncError;
use super::feed;
use super::source::{Failure, FeedPage, Position, Source, SourceError};
use super::trace;
use crate::config::{self, Upstream, UpstreamAuth};
use crate::model::{Clock, Entity};
use crate::signing::{SignedRequest, Signer};
use crate::telemetry::tracing::inject;

/// The largest answer read, in bytes.
const MAX_BODY: usize = 32 << 20;
/// The largest refusal read, in bytes.
const MAX_REFUSAL: usize = 16 << 10;
/// What is allocated before the first byte came, at most.
const FIRST_BUFFER: usize = 256 << 10;
/// Connections are kept for the next run of a quick schedule.
const IDLE: Duration = Duration::from_secs(90);
/// What a query value may hold as it is (RFC 3986, section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The feed of `upstream.url`.
pub struct ApiSource {
    client: Client,
    base: String,
    credentials: Credentials,
    zone: TimeZone,
    clock: Arc<dyn Clock>,
    max_body: usize,
    pauses: Pauses,
}

enum Credentials {
    Signed(Signer),
    Bearer(HeaderValue),
}

/// A refusal that says which.
#[derive(Deserialize)]
struct Refusal {
    code: String,
}

impl ApiSource {
    /// Prepares to pull; no connection is made. `zone` is where the platform's times are local.
    pub fn new(upstream: &Upstream, zone: TimeZone, clock: Arc<dyn Clock>) -> Result<Self, SyncError> {
        let credentials = match &upstream.auth {
            UpstreamAuth::Signed { key_id, secret } => {
                Credentials::Signed(Signer::new(key_id, secret.expose()))
            }
            UpstreamAuth::Bearer { token } => {
                let value = HeaderValue::try_from(format!("Bearer {}", token.expose()));
                let mut value =
                    value.map_err(|_| unusable("upstream.dapi_secret", "it does not fit into a header"))?;
                value.set_sensitive(true);
                Credentials::Bearer(value)
            }
            UpstreamAuth::Deerer { .. } => {
                return Err(SyncError::Unconfigured(
                    "upstream.auth: deerer is not implemented yet, use signed or bearer",
                ));
            }
        };
        Ok(Self {
            client: client(upstream)?,
            base: upstream.url.clone(),
            credentials,
            zone,
            clock,
            max_body: MAX_BODY,
            pauses: Pauses::default(),
        })
    }

    /// Pulls, unless the platform has asked not to be asked yet.
    async fn pull(&self, entity: Entity, query: String) -> Result<FeedPage, SourceError> {
        self.pauses.check(entity, self.clock.monotonic())?;
        let pulled = self.pull_now(entity, query).await;
        if let Err(error) = &pulled {
            self.pauses.note(entity, self.clock.monotonic(), error);
        }
        pulled
    }

    async fn pull_now(&self, entity: Entity, query: String) -> Result<FeedPage, SourceError> {
        let url = format!("{}/sync/v1/{entity}?{query}", self.base);
        let url =
            Url::parse(&url).map_err(|e| SourceError::new(Failure::Connect, format!("upstream.url: {e}")))?;
        let mut headers = self.headers(&url)?;
        let span = trace::request(&url, entity);
        span.in_scope(|| inject(&Span::current(), &mut headers));
        let asking = async {
            let answer = self.client.get(url).headers(headers).send().await.map_err(failed)?;
            trace::note_status(&span, answer.status());
            let retry_after = retry_after(answer.headers(), self.clock.now());
            self.accept(answer).await.map_err(|error| match error.class {
                // A snapshot follows at once; nothing is asked for again.
                Failure::CursorExpired => error,
                _ => SourceError { retry_after, ..error },
            })
        };
        let asked = asking.instrument(span.clone()).await;
        let body = asked.inspect_err(|error| trace::note_failure(&span, error))?;
        let zone = self.zone.clone();
        // A page of price lists keeps a core busy for longer than other requests should wait.
        let parsed = tokio::task::spawn_blocking(move || feed::parse(entity, &body, &zone)).await;
        parsed.unwrap_or_else(|_| Err(SourceError::new(Failure::Malformed, "reading the page failed")))
    }

    fn headers(&self, url: &Url) -> Result<HeaderMap, SourceError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        match &self.credentials {
            Credentials::Bearer(value) => {
                headers.insert(AUTHORIZATION, value.clone());
            }
            Credentials::Signed(signer) => {
                let host = url.host_str().unwrap_or_default();
                let authority = match url.port() {
                    Some(port) => format!("{host}:{port}"),
                    None => host.to_owned(),
                };
                let request = SignedRequest {
                    method: &Method::GET,
                    scheme: url.scheme(),
                    authority: &authority,
                    target_origin: None,
                    path: url.path(),
                    query: url.query(),
                    headers: &headers,
                };
                let made = signer.sign(&request, &[], self.clock.now().seconds(), None, &[]);
                let made = made.map_err(|e| {
                    SourceError::new(Failure::Unauthorized, format!("the pull cannot be signed: {e}"))
                })?;
                headers.extend(made);
            }
        }
        Ok(headers)
    }

    /// The body of a page, or why this answer is none.
    async fn accept(&self, answer: Response) -> Result<Vec<u8>, SourceError> {
        let status = answer.status();
        if status != StatusCode::OK {
            return Err(refused(status, answer).await);
        }
        let kind = answer.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            let kind: String = kind.chars().take(64).collect();
            let message =
                format!("the answer is of type {kind:?} and not application/json; check upstream.url");
            return Err(SourceError::new(Failure::WrongContent, message));
        }
        read(answer, self.max_body).await
    }
}

impl Source for ApiSource {
    fn changes<'a>(
        &'a self,
        entity: Entity,
        from: &'a Position,
    ) -> BoxFuture<'a, Result<FeedPage, SourceError>> {
        let since = utf8_percent_encode(from.cursor.as_deref().unwrap_or_default(), ENCODED);
        let snapshot = if from.snapshot { "&snapshot=1" } else { "" };
        let query = format!("since={since}&limit={}{snapshot}", from.limit);
        Box::pin(self.pull(entity, query))
    }

    fn rows<'a>(&'a self, entity: Entity, ids: &'a [String]) -> BoxFuture<'a, Result<FeedPage, SourceError>> {
        let mut query = String::from("ids=");
        for (i, id) in ids.iter().enumerate() {
            query.extend((i > 0).then_some(","));
            query.extend(utf8_percent_encode(id, ENCODED));
        }
        Box::pin(self.pull(entity, query))
    }
}

fn client(upstream: &Upstream) -> Result<Client, SyncError> {
    let mut builder = Client::builder()
        .timeout(upstream.timeout)
        .redirect(redirect::Policy::none())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(4)
        .user_agent(concat!("sageapi/", env!("CARGO_PKG_VERSION")));
    builder = match &upstream.proxy {
        Some(proxy) => {
            let proxy = Proxy::all(proxy.expose())
                .map_err(|_| unusable("upstream.proxy", "it is not a valid proxy URL"))?;
            builder.proxy(proxy)
        }
        // Only what is configured: no proxy of the environment gets to see signed pulls.
        None => builder.no_proxy(),
    };
    let secure = |url: &str| url.starts_with("https:");
    if let Some(file) = &upstream.ca_file {
        let wrong = |reason: String| unusable("upstream.ca_file", &format!("{}: {reason}", file.display()));
        let pem = config::read_file(file).map_err(|e| wrong(e.to_string()))?;
        let roots = Certificate::from_pem_bundle(&pem).map_err(|_| wrong("it is not PEM".to_owned()))?;
        if roots.is_empty() {
            return Err(wrong("it holds no certificate".to_owned()));
        }
        builder = builder.tls_certs_only(roots);
    } else if !secure(&upstream.url) && !upstream.proxy.as_ref().is_some_and(|p| secure(p.expose())) {
        // No TLS anywhere: the system's certificates need not be there, nor in memory.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|e| unusable("upstream", &chain(&e)))
}

fn unusable(key: &'static str, reason: &str) -> SyncError {
    SyncError::Configuration { key, reason: reason.to_owned() }
}

/// Why an answer other than 200 came.
async fn refused(status: StatusCode, answer: Response) -> SourceError {
    let code = match read(answer, MAX_REFUSAL).await {
        Ok(body) => serde_json::from_slice::<Refusal>(&body).ok().map(|refusal| refusal.code),
        Err(_) => None,
    };
    let number = status.as_u16();
    let (class, hint) = match (number, code.as_deref()) {
        // A cursor of another platform, or of one that was set up again, is as good as expired.
        (410, Some("cursor_expired")) | (400, Some("invalid_cursor")) => (Failure::CursorExpired, ""),
        (300..400, _) => {
            (Failure::Redirect, "; redirects are not followed, set upstream.url to where it leads")
        }
        (401 | 403, _) => {
            (Failure::Unauthorized, "; check upstream.dapi_key and its secret, and both clocks")
        }
        (400..500, _) => (Failure::Status4xx, ""),
        (500..600, _) => (Failure::Status5xx, ""),
        _ => (Failure::WrongContent, ""),
    };
    let code: String = code.unwrap_or_default().chars().take(64).filter(char::is_ascii_graphic).collect();
    let code = if code.is_empty() { code } else { format!(" ({code})") };
    SourceError::new(class, format!("the platform answered {number}{code}{hint}"))
}

/// Reads a body, but not beyond `max` bytes, whatever its length is said to be.
async fn read(mut answer: Response, max: usize) -> Result<Vec<u8>, SourceError> {
    let too_large = || SourceError::new(Failure::TooLarge, format!("the answer is larger than {max} bytes"));
    let said = answer.content_length().unwrap_or(0);
    let said = usize::try_from(said).ok().filter(|said| *said <= max).ok_or_else(too_large)?;
    let mut body = Vec::with_capacity(said.min(FIRST_BUFFER));
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > max {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn failed(error: reqwest::Error) -> SourceError {
    let class = if error.is_timeout() {
        Failure::Timeout
    } else if is_tls(&error) {
        Failure::Tls
    } else if error.is_connect() {
        Failure::Connect
    } else {
        Failure::Broken
    };
    let error = error.without_url();
    SourceError::new(class, format!("the platform did not answer: {}", chain(&error)))
}

fn is_tls(error: &(dyn Error + 'static)) -> bool {
    // An I/O error hides what it wraps from `source`.
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>()
        || wrapped.is_some_and(|error| is_tls(error))
        || error.source().is_some_and(is_tls)
}

/// An error and its causes, without those that only repeat the one before.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
