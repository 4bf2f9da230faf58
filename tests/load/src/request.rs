//! Signed requests, as the bytes that go over the wire. They are made before the clock starts.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};
use sageapi_server::signing::{SignedRequest, Signer};

use crate::Failure;

/// The amount of every charge.
pub const AMOUNT: &str = "0.000001";

/// How the answer to a batch of so many items ends if all of them were accepted.
pub fn accepted(items: usize) -> String {
    format!(r#","accepted":{items},"rejected":0}}}}"#)
}

/// Signs requests of one key to one server.
pub struct Requests {
    signer: Signer,
    authority: String,
    /// Tells this program's runs apart, in nonces and transnos.
    run: u128,
    made: u64,
}

impl Requests {
    /// Of a key, to a server.
    pub fn new(key_id: &str, secret: &str, server: SocketAddr) -> Result<Self, Failure> {
        let run = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
        Ok(Self { signer: Signer::new(key_id, secret), authority: server.to_string(), run, made: 0 })
    }

    /// `GET /balance`, of a named customer if the key is the platform's. May be repeated for five minutes.
    pub fn balance(&mut self, customer: Option<&str>) -> Result<Bytes, Failure> {
        let query = customer.map(|customer| format!("customer_id={customer}"));
        self.signed(&Method::GET, "/api/v1/balance", query.as_deref(), "")
    }

    /// `POST /accounting`: one charge. Each is another one.
    pub fn charge(&mut self, customer: &str) -> Result<Bytes, Failure> {
        let body = self.charge_body(customer);
        self.signed(&Method::POST, "/api/v1/accounting", None, &body)
    }

    /// `POST /accounting/batch`: one charge of each of these customers.
    pub fn batch<'c>(&mut self, customers: impl IntoIterator<Item = &'c str>) -> Result<Bytes, Failure> {
        let items: Vec<_> = customers.into_iter().map(|customer| self.charge_body(customer)).collect();
        self.signed(&Method::POST, "/api/v1/accounting/batch", None, &format!("[{}]", items.join(",")))
    }

    /// `GET /accounting` with a query. May be repeated for five minutes.
    pub fn list(&mut self, query: &str) -> Result<Bytes, Failure> {
        self.signed(&Method::GET, "/api/v1/accounting", Some(query), "")
    }

    /// `GET /accounting/export`: all records, one a line.
    pub fn export(&mut self) -> Result<Bytes, Failure> {
        self.signed_for(Some("application/x-ndjson"), &Method::GET, "/api/v1/accounting/export", None, "")
    }

    fn charge_body(&mut self, customer: &str) -> String {
        self.made += 1;
        let (run, n) = (self.run, self.made);
        format!(
            r#"{{"transno":"bench-{run}-{n}","customer_id":"{customer}","kind":"charge","amount":"{AMOUNT}","user_id":"user_{}","model":"model-1","input_tokens":812,"output_tokens":164,"request_id":"request-{run}-{n}"}}"#,
            n % 1000
        )
    }

    fn signed(
        &mut self,
        method: &Method,
        path: &str,
        query: Option<&str>,
        body: &str,
    ) -> Result<Bytes, Failure> {
        self.signed_for(None, method, path, query, body)
    }

    /// For an answer in a form other than the usual one.
    fn signed_for(
        &mut self,
        accept: Option<&'static str>,
        method: &Method,
        path: &str,
        query: Option<&str>,
        body: &str,
    ) -> Result<Bytes, Failure> {
        self.made += 1;
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
        }
        if !body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let target = SignedRequest {
            method,
            scheme: "http",
            authority: &self.authority,
            target_origin: None,
            path,
            query,
            headers: &headers,
        };
        let created = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let nonce = format!("bench-{}-{:08}", self.run, self.made);
        let nonce = (!method.is_safe()).then_some(nonce.as_str());
        let made = self.signer.sign(&target, body.as_bytes(), created, nonce, &[])?;
        let mut text = String::with_capacity(1024);
        let query = query.map_or(String::new(), |query| format!("?{query}"));
        write!(text, "{method} {path}{query} HTTP/1.1\r\nhost: {}\r\n", self.authority)?;
        for (name, value) in headers.iter().chain(made.iter().map(|(name, value)| (name, value))) {
            write!(text, "{name}: {}\r\n", value.to_str()?)?;
        }
        if !body.is_empty() {
            write!(text, "content-length: {}\r\n", body.len())?;
        }
        write!(text, "\r\n{body}")?;
        Ok(text.into())
    }
}
