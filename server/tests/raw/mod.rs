//! HTTP/1.1 by hand: a request is sent byte for byte as a test writes it, and the answer is taken as it comes.

#![allow(dead_code, reason = "each test binary that includes this uses a part of it")]

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use sageapi_server::signing::{
    CONTENT_DIGEST, HmacKey, ParsedSignature, SIGNATURE, SIGNATURE_INPUT, SignedRequest, Signer,
    content_digest,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// No answer takes longer; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
    /// The body as JSON; null if it is none.
    pub json: Value,
}

impl Reply {
    /// A header as text, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// `data` of the envelope.
    #[track_caller]
    pub fn data(&self) -> &Value {
        assert_eq!(self.json["status"], "ok", "{} {}", self.status, self.text());
        &self.json["data"]
    }

    /// The `code` of a problem, after its form has been checked: every error of the server has it.
    #[track_caller]
    pub fn code(&self) -> &str {
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{} {}",
            self.status,
            self.text()
        );
        assert_eq!(self.json["status"], self.status, "{}", self.text());
        self.json["code"].as_str().unwrap()
    }

    /// Status and code of a problem, for comparisons in one line.
    #[track_caller]
    pub fn refusal(&self) -> (u16, &str) {
        (self.status, self.code())
    }

    /// The rows of a list.
    #[track_caller]
    pub fn rows(&self) -> &Vec<Value> {
        self.data()["rows"].as_array().unwrap()
    }
}

/// A key id and its secret.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub key_id: String,
    pub secret: String,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Ask {
    pub method: Method,
    /// Path and query as they are sent.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// What the Host header says and signatures cover.
    pub host: String,
    pub scheme: &'static str,
}

impl Ask {
    /// Of a path under /api/v1.
    pub fn new(method: Method, path: &str) -> Self {
        Self::raw(method, &format!("/api/v1{path}"))
    }

    /// Of any target.
    pub fn raw(method: Method, target: &str) -> Self {
        Self {
            method,
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            host: "sageapi.test".to_owned(),
            scheme: "http",
        }
    }

    pub fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    pub fn head(path: &str) -> Self {
        Self::new(Method::HEAD, path)
    }

    /// A POST of JSON.
    pub fn post(path: &str, json: &Value) -> Self {
        Self::post_bytes(path, json.to_string().into_bytes())
    }

    /// A POST of bytes that claim to be JSON.
    pub fn post_bytes(path: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::new(Method::POST, path) }.header("content-type", "application/json")
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(given, _)| !given.eq_ignore_ascii_case(name));
        self
    }

    /// Signed as clients do; a write gets a nonce of its own.
    #[must_use]
    pub fn signed(self, key: &Credentials, now_s: i64) -> Self {
        let nonce = (!self.method.is_safe()).then(nonce);
        self.signed_at(key, now_s, nonce.as_deref())
    }

    /// The same with this nonce.
    #[must_use]
    pub fn signed_at(mut self, key: &Credentials, now_s: i64, nonce: Option<&str>) -> Self {
        let headers = self.header_map();
        let made = Signer::new(&*key.key_id, &key.secret)
            .sign(&self.request(&headers), &self.body, now_s, nonce, &[])
            .unwrap();
        for (name, value) in made {
            self = self.header(name.as_str(), value.to_str().unwrap());
        }
        self
    }

    /// Signed with parameters as written (what follows `sig1=`); the base is that of the RFC. What cannot be
    /// parsed is signed with garbage. A body gets its digest unless one is there.
    #[must_use]
    pub fn signed_as(mut self, secret: &str, input: &str) -> Self {
        if !self.body.is_empty() && !self.headers.iter().any(|(name, _)| name == CONTENT_DIGEST) {
            let digest = content_digest(&self.body);
            self = self.header(CONTENT_DIGEST, &digest);
        }
        let unsigned = self.header(SIGNATURE_INPUT, &format!("sig1={input}"));
        let with_dummy = unsigned.clone().header(SIGNATURE, "sig1=:AAAA:");
        let headers = with_dummy.header_map();
        let mut base = Vec::new();
        if let Ok(Some(parsed)) = ParsedSignature::parse(&headers) {
            // What has no base is refused before the signature is looked at.
            let _ = parsed.signature_base(&with_dummy.request(&headers), &mut base);
        }
        let tag = HmacKey::new(secret).tag(&[&base]);
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, tag);
        unsigned.header(SIGNATURE, &format!("sig1=:{encoded}:"))
    }

    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    fn header_map(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        map.insert(http::header::HOST, HeaderValue::from_str(&self.host).unwrap());
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        map
    }

    /// As what signatures cover.
    fn request<'a>(&'a self, headers: &'a HeaderMap) -> SignedRequest<'a> {
        let (path, query) = match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.target.as_str(), None),
        };
        let absolute = path.split_once("://").map(|(scheme, rest)| {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            (scheme, authority, path)
        });
        let (scheme, authority, path) = absolute.unwrap_or((self.scheme, &self.host, path));
        SignedRequest {
            method: &self.method,
            scheme,
            authority,
            target_origin: absolute.map(|(scheme, authority, _)| (scheme, authority)),
            path,
            query,
            headers,
        }
    }

    /// The request line and header fields, the last empty line included.
    pub fn head_bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str(&format!("host: {}\r\n", self.host));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let framed = ["content-length", "transfer-encoding"];
        let is_framed = self.headers.iter().any(|(name, _)| framed.contains(&&*name.to_ascii_lowercase()));
        if !is_framed && (!self.body.is_empty() || self.method == Method::POST) {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// The whole request.
    pub fn bytes(&self) -> Vec<u8> {
        [self.head_bytes(), self.body.clone()].concat()
    }

    /// Sends it on a connection of its own.
    pub async fn send(&self, to: SocketAddr) -> Reply {
        let mut connection = Connection::open(to).await;
        let reply = connection.exchange(&self.bytes(), self.method == Method::HEAD).await;
        reply.unwrap_or_else(|error| panic!("{} {}: no answer: {error}", self.method, self.target))
    }
}

/// A nonce that no other call gives: unique within the process, and by its number between processes.
pub fn nonce() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("nonce-{:08x}-{:012x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A connection that is kept.
pub struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub async fn open(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, read: Vec::new() }
    }

    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Ends our half; the server may still answer.
    pub async fn finish_writing(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Writes a request and reads its answer.
    pub async fn exchange(&mut self, request: &[u8], to_head: bool) -> io::Result<Reply> {
        // A server that refuses early may close while we write; what it answered is read all the same.
        let written = self.write(request).await;
        match self.reply(to_head).await? {
            Some(reply) => Ok(reply),
            None => Err(written.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// The next answer; `None` if the server closed the connection instead. An answer to HEAD has no body.
    pub async fn reply(&mut self, to_head: bool) -> io::Result<Option<Reply>> {
        tokio::time::timeout(PATIENCE, self.read_reply(to_head))
            .await
            .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "neither answered nor closed")))
    }

    /// Reads until the server closes the connection; whatever came is given back.
    pub async fn rest(&mut self) -> io::Result<Vec<u8>> {
        let all = async {
            while self.fill().await? {}
            Ok(std::mem::take(&mut self.read))
        };
        tokio::time::timeout(PATIENCE, all)
            .await
            .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "not closed")))
    }

    async fn read_reply(&mut self, to_head: bool) -> io::Result<Option<Reply>> {
        let malformed = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.fill().await? {
                return if self.read.is_empty() { Ok(None) } else { Err(malformed("half a head")) };
            }
        };
        let head = String::from_utf8(self.read.drain(..end).collect()).map_err(|_| malformed("a head"))?;
        let mut lines = head.trim_end().split("\r\n");
        let line = lines.next().unwrap_or_default();
        let status: u16 = line
            .strip_prefix("HTTP/1.1 ")
            .or_else(|| line.strip_prefix("HTTP/1.0 "))
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .ok_or_else(|| malformed(line))?;
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(':').ok_or_else(|| malformed(line))?;
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed(line))?;
            headers.append(name, HeaderValue::from_str(value.trim()).map_err(|_| malformed(line))?);
        }
        let length = headers.get("content-length").and_then(|value| value.to_str().ok()?.parse().ok());
        let bodiless = to_head || status == 304 || status == 204 || status < 200;
        let bytes = match length {
            _ if bodiless => Vec::new(),
            Some(length) => {
                while self.read.len() < length {
                    if !self.fill().await? {
                        return Err(malformed("half a body"));
                    }
                }
                self.read.drain(..length).collect()
            }
            None if headers.contains_key("transfer-encoding") => self.read_chunks().await?,
            None => {
                while self.fill().await? {}
                std::mem::take(&mut self.read)
            }
        };
        let json = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(Some(Reply { status, headers, bytes, json }))
    }

    /// A body in chunks, to its end.
    async fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "half a chunk, or none");
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(at) = self.read.windows(2).position(|two| two == b"\r\n") {
                    break at;
                }
                if !self.fill().await? {
                    return Err(malformed());
                }
            };
            let size = std::str::from_utf8(&self.read[..end]).ok();
            let size = size.and_then(|size| usize::from_str_radix(size, 16).ok()).ok_or_else(malformed)?;
            // The size with its end of line, the chunk, and the end of line after that.
            while self.read.len() < end + 2 + size + 2 {
                if !self.fill().await? {
                    return Err(malformed());
                }
            }
            let chunk: Vec<u8> = self.read.drain(..end + 2 + size + 2).collect();
            body.extend_from_slice(&chunk[end + 2..end + 2 + size]);
            if size == 0 {
                return Ok(body);
            }
        }
    }

    /// Reads more; `false` at the end, orderly or not.
    async fn fill(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk).await {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.read.extend_from_slice(&chunk[..count]);
                Ok(true)
            }
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
