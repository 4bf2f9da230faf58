//! Signed requests, as the bytes that go over the wire. They are made before the clock starts.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};
use sageapi_server::signing::{SignedRequest, Signer};

use serde_json::json;

use crate::Failure;
use crate::ids;

/// The amount of every charge.
pub const AMOUNT: &str = "0.000001";

/// Users of a customer.
const USERS: u128 = 10;
/// Where a gateway had its answers from.
pub const UPSTREAM: &str = "https://llm.example.com/v1/chat/completions";

/// Who used something.
pub struct Caller {
    /// The customer.
    pub customer: String,
    /// Its user.
    pub user: String,
    /// The reservation of the check before.
    pub reservation: Option<String>,
}

impl Caller {
    /// One of a customer's users, another for each number, in no order.
    pub fn of(customer: &str, n: u64) -> Self {
        let user = ids::random(n.into()) % USERS;
        Self { customer: customer.to_owned(), user: format!("user_{user}"), reservation: None }
    }
}

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

    /// `POST /usage`: one record. Each is another one.
    pub fn usage(&mut self, customer: &str) -> Result<Bytes, Failure> {
        let body = self.usage_body(&Caller::of(customer, self.made));
        self.signed(&Method::POST, "/api/v1/usage", None, &body)
    }

    /// `POST /usage/batch`: one record of each of these.
    pub fn usage_batch(&mut self, callers: &[Caller]) -> Result<Bytes, Failure> {
        let items: Vec<_> = callers.iter().map(|caller| self.usage_body(caller)).collect();
        self.signed(&Method::POST, "/api/v1/usage/batch", None, &format!("[{}]", items.join(",")))
    }

    /// `POST /quota/check`, by one of the customer's users.
    pub fn check(&mut self, customer: &str) -> Result<Bytes, Failure> {
        let Caller { customer, user, .. } = Caller::of(customer, self.made);
        let body = json!({"customer_id": customer, "user_id": user, "model": "model-1", "tokens": 976});
        self.signed(&Method::POST, "/api/v1/quota/check", None, &body.to_string())
    }

    /// `GET /usage/stats` with a query. May be repeated for five minutes.
    pub fn stats(&mut self, query: &str) -> Result<Bytes, Failure> {
        self.signed(&Method::GET, "/api/v1/usage/stats", Some(query), "")
    }

    /// A list with a query. May be repeated for five minutes.
    pub fn list(&mut self, path: &str, query: &str) -> Result<Bytes, Failure> {
        self.signed(&Method::GET, &format!("/api/v1/{path}"), Some(query), "")
    }

    /// The export of a list: all records, one a line.
    pub fn export(&mut self, path: &str) -> Result<Bytes, Failure> {
        let path = format!("/api/v1/{path}/export");
        self.signed_for(Some("application/x-ndjson"), &Method::GET, &path, None, "")
    }

    fn usage_body(&mut self, caller: &Caller) -> String {
        self.made += 1;
        let id = ids::uuid(self.run << 32 | u128::from(self.made));
        let Caller { customer, user, reservation } = caller;
        let reservation =
            reservation.as_ref().map_or(String::new(), |id| format!(r#","reservation":"{id}""#));
        format!(
            r#"{{"request_id":"{id}","customer_id":"{customer}","user_id":"{user}","model":"model-1","input_tokens":812,"output_tokens":164,"is_streaming":true,"upstream_url":"{UPSTREAM}","status_code":200,"duration_ms":1840{reservation}}}"#
        )
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
