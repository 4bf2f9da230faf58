//! A client that signs, and one that gets it wrong on purpose.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sageapi_server::model::{Clock, Entropy as _, SystemClock, SystemEntropy};
use sageapi_server::signing::{SignedRequest, Signer};
use serde_json::Value;

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A client with a key. Clones share its connections.
#[derive(Clone)]
pub struct Client {
    /// `http://host:port`.
    pub base: String,
    /// The key.
    pub key_id: String,
    /// Its secret.
    pub secret: String,
    /// What signatures take their time from.
    pub clock: Arc<dyn Clock>,
    http: Http<HttpConnector, Full<Bytes>>,
}

/// What a request got.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body as it came.
    pub bytes: Bytes,
    /// The body as JSON; null if it is none.
    pub body: Value,
}

/// A request that is being put together; signed unless told otherwise.
#[derive(Clone)]
#[must_use = "a call does nothing until it is sent"]
pub struct Call {
    client: Client,
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Bytes,
    credential: Credential,
    nonce: Option<String>,
    created: Option<i64>,
    cover: Vec<String>,
    authority: Option<String>,
}

#[derive(Clone)]
enum Credential {
    Signed,
    None,
    Bearer(String),
    ApiKey(String),
}

/// A nonce that nobody has used: 26 printable characters.
pub fn new_nonce() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let mut random = [0; 4];
    SystemEntropy.fill(&mut random);
    format!("n-{:013}-{:08x}", COUNT.fetch_add(1, Ordering::Relaxed), u32::from_le_bytes(random))
}

impl Client {
    /// A client of `base` (`http://host:port`) that signs with the machine's clock.
    pub fn new(base: impl Into<String>, key_id: impl Into<String>, secret: impl Into<String>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            base: base.into(),
            key_id: key_id.into(),
            secret: secret.into(),
            clock: SystemClock::new(),
            http: Http::builder(TokioExecutor::new()).build(connector),
        }
    }

    /// The same client with connections of its own.
    #[must_use]
    pub fn unshared(&self) -> Self {
        let fresh = Self::new(&self.base, &self.key_id, &self.secret);
        Self { clock: self.clock.clone(), ..fresh }
    }

    /// The same key at another server.
    #[must_use]
    pub fn at(&self, base: impl Into<String>) -> Self {
        Self { base: base.into(), ..self.clone() }
    }

    /// The same client, signing with another clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Another key at the same server.
    #[must_use]
    pub fn with_key(&self, key_id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { key_id: key_id.into(), secret: secret.into(), ..self.clone() }
    }

    /// A request. A target that begins with `/api/` or has no leading `/` goes as it is, any other
    /// gets `/api/v1` in front.
    pub fn call(&self, method: Method, target: &str) -> Call {
        let prefix = if target.starts_with('/') && !target.starts_with("/api/") { "/api/v1" } else { "" };
        let nonce = (method != Method::GET && method != Method::HEAD).then(new_nonce);
        Call {
            client: self.clone(),
            method,
            target: format!("{prefix}{target}"),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            credential: Credential::Signed,
            nonce,
            created: None,
            cover: Vec::new(),
            authority: None,
        }
    }

    /// A signed GET.
    pub async fn get(&self, target: &str) -> Answer {
        self.call(Method::GET, target).send().await
    }

    /// A signed POST of a JSON value.
    pub async fn post(&self, target: &str, body: &Value) -> Answer {
        self.call(Method::POST, target).json(body).send().await
    }

    /// An unsigned GET of a URL, for probes and metrics.
    pub async fn fetch(&self, url: &str) -> Answer {
        let request = Request::get(url).body(Full::default()).unwrap_or_else(|e| panic!("{url}: {e}"));
        self.exchange(request).await.unwrap_or_else(|e| panic!("GET {url}: {e}"))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let exchange = async {
            let answer = self.http.request(request).await.map_err(|e| with_causes(&e))?;
            let (parts, body) = answer.into_parts();
            let bytes = body.collect().await.map_err(|e| with_causes(&e))?.to_bytes();
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            Ok(Answer { status: parts.status, headers: parts.headers, bytes, body })
        };
        let within = tokio::time::timeout(ANSWER_WITHIN, exchange).await;
        within.unwrap_or_else(|_| Err(format!("no answer within {ANSWER_WITHIN:?}")))
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("base", &self.base)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl Call {
    /// Adds a header field.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::try_from(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        self.headers.append(name, HeaderValue::try_from(value).unwrap_or_else(|e| panic!("{value}: {e}")));
        self
    }

    /// Takes a JSON value as the body.
    pub fn json(self, body: &Value) -> Self {
        let text = body.to_string();
        self.header("content-type", "application/json").body(text)
    }

    /// Takes these bytes as the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Signs with this nonce.
    pub fn nonce(mut self, nonce: &str) -> Self {
        self.nonce = Some(nonce.to_owned());
        self
    }

    /// Signs without a nonce.
    pub fn no_nonce(mut self) -> Self {
        self.nonce = None;
        self
    }

    /// Signs as of this time, in Unix seconds.
    pub fn created(mut self, seconds: i64) -> Self {
        self.created = Some(seconds);
        self
    }

    /// Covers these components too.
    pub fn cover(mut self, components: &[&str]) -> Self {
        self.cover.extend(components.iter().map(|c| (*c).to_owned()));
        self
    }

    /// Sends and signs this Host.
    pub fn authority(mut self, authority: &str) -> Self {
        self.authority = Some(authority.to_owned());
        self
    }

    /// Signs with another key.
    pub fn key(mut self, key_id: &str, secret: &str) -> Self {
        self.client = self.client.with_key(key_id, secret);
        self
    }

    /// Sends no credential.
    pub fn unsigned(mut self) -> Self {
        self.credential = Credential::None;
        self
    }

    /// Sends a token in `Authorization: Bearer`.
    pub fn bearer(mut self, token: &str) -> Self {
        self.credential = Credential::Bearer(token.to_owned());
        self
    }

    /// Sends a token in `X-Api-Key`.
    pub fn api_key(mut self, token: &str) -> Self {
        self.credential = Credential::ApiKey(token.to_owned());
        self
    }

    /// The request with its credential, to be sent, changed or kept. It can be sent with
    /// [`Client::send`], and as often as a replay needs.
    pub fn build(&self) -> Request<Full<Bytes>> {
        let url = format!("{}{}", self.client.base, self.target);
        let uri: Uri = url.parse().unwrap_or_else(|e| panic!("{url}: {e}"));
        let mut headers = self.headers.clone();
        let authority = match &self.authority {
            Some(authority) => authority.clone(),
            None => uri.authority().unwrap_or_else(|| panic!("{url} has no host")).to_string(),
        };
        if self.authority.is_some() {
            headers.insert("host", HeaderValue::try_from(&authority).expect("a host is printable"));
        }
        let text = |text: String| HeaderValue::try_from(text).expect("a token is printable");
        match &self.credential {
            Credential::None => {}
            Credential::Bearer(token) => {
                drop(headers.insert("authorization", text(format!("Bearer {token}"))));
            }
            Credential::ApiKey(token) => drop(headers.insert("x-api-key", text(token.clone()))),
            Credential::Signed => {
                let request = SignedRequest {
                    method: &self.method,
                    scheme: uri.scheme_str().unwrap_or("http"),
                    authority: &authority,
                    target_origin: None,
                    path: uri.path(),
                    query: uri.query(),
                    headers: &headers,
                };
                let created = self.created.unwrap_or_else(|| self.client.clock.now().seconds());
                let cover: Vec<_> = self.cover.iter().map(String::as_str).collect();
                let signer = Signer::new(&*self.client.key_id, &self.client.secret);
                let signed = signer.sign(&request, &self.body, created, self.nonce.as_deref(), &cover);
                for (name, value) in signed.unwrap_or_else(|e| panic!("{url} cannot be signed: {e}")) {
                    headers.insert(name, value);
                }
            }
        }
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        request
    }

    /// Sends it; no answer fails the test.
    pub async fn send(&self) -> Answer {
        self.try_send()
            .await
            .unwrap_or_else(|e| panic!("{} {}{}: {e}", self.method, self.client.base, self.target))
    }

    /// Sends it, where there may be no answer.
    pub async fn try_send(&self) -> Result<Answer, String> {
        self.client.exchange(self.build()).await
    }
}

impl Client {
    /// Sends a request as it is.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        self.exchange(request).await
    }
}

impl Answer {
    /// `data` of the envelope; anything but a success fails the test.
    pub fn data(&self) -> &Value {
        assert!(self.status.is_success() && self.body["status"] == "ok", "{self}");
        &self.body["data"]
    }

    /// `data.rows` of a list.
    pub fn rows(&self) -> &[Value] {
        self.data()["rows"].as_array().unwrap_or_else(|| panic!("no rows in {self}"))
    }

    /// `code` of a problem document; empty if there is none.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// Status and code together, to be compared at once.
    pub fn problem(&self) -> (u16, &str) {
        (self.status.as_u16(), self.code())
    }

    /// A header field as text; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.text())
    }
}
