//! A client that signs like SageAPI.

use std::net::SocketAddr;

use http::{HeaderMap, Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sageapi_server::signing::{SignedRequest, Signer};
use sageapi_upstream_sim::{DEMO_KEY, DEMO_SECRET, Entity, Options, RunningSim, Sim, system_now};
use serde_json::{Value, json};

pub struct Client {
    pub http: reqwest::Client,
    pub key_id: String,
    pub secret: String,
    /// Added to the time of signing.
    pub skew_s: i64,
}

/// A small simulator and a client that it knows.
pub async fn start(options: Options) -> (RunningSim, Client) {
    (Sim::start(options).await.unwrap(), Client::new())
}

impl Client {
    pub fn new() -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self { http, key_id: DEMO_KEY.into(), secret: DEMO_SECRET.into(), skew_s: 0 }
    }

    pub fn headers(&self, feed: SocketAddr, target: &str) -> HeaderMap {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let request = SignedRequest {
            method: &Method::GET,
            scheme: "http",
            authority: &feed.to_string(),
            target_origin: None,
            path,
            query,
            headers: &HeaderMap::new(),
        };
        let now_s = system_now()() / 1_000_000 + self.skew_s;
        Signer::new(&*self.key_id, &self.secret)
            .sign(&request, b"", now_s, Some("nonce-0123456789"), &[])
            .unwrap()
            .into_iter()
            .collect()
    }

    pub async fn send(&self, feed: SocketAddr, target: &str, headers: HeaderMap) -> reqwest::Response {
        self.try_send(feed, target, headers).await.unwrap()
    }

    pub async fn try_send(
        &self,
        feed: SocketAddr,
        target: &str,
        headers: HeaderMap,
    ) -> reqwest::Result<reqwest::Response> {
        self.http.get(format!("http://{feed}{target}")).headers(headers).send().await
    }

    /// A signed request.
    pub async fn pull(&self, sim: &RunningSim, target: &str) -> reqwest::Response {
        self.send(sim.feed_addr, target, self.headers(sim.feed_addr, target)).await
    }

    /// `data` of a page.
    pub async fn page(&self, sim: &RunningSim, target: &str) -> Value {
        let answer = self.pull(sim, target).await;
        assert_eq!(answer.status(), StatusCode::OK, "{target}");
        let mut body = json_of(answer).await;
        assert_eq!(body["status"], "ok");
        body["data"].take()
    }

    /// All rows after a cursor (none: from the beginning), and the cursor at the end.
    pub async fn walk(
        &self,
        sim: &RunningSim,
        entity: Entity,
        from: &str,
        more: &str,
        limit: usize,
    ) -> (Vec<Value>, String) {
        let (mut rows, mut cursor) = (Vec::new(), from.to_owned());
        loop {
            let since = utf8_percent_encode(&cursor, NON_ALPHANUMERIC);
            let target = format!("/sync/v1/{entity}?since={since}&limit={limit}{more}");
            let mut page = self.page(sim, &target).await;
            let Value::Array(these) = page["rows"].take() else { panic!("rows is no list: {page}") };
            assert!(these.len() <= limit);
            rows.extend(these);
            page["next"].as_str().unwrap().clone_into(&mut cursor);
            if page["has_more"] == false {
                return (rows, cursor);
            }
        }
    }

    /// A command on the control port.
    pub async fn command(&self, sim: &RunningSim, path: &str, body: Value) -> (StatusCode, Value) {
        let url = format!("http://{}/control/{path}", sim.control_addr);
        let answer = self.http.post(url).body(body.to_string()).send().await.unwrap();
        (answer.status(), json_of(answer).await)
    }

    /// A report of the control port.
    pub async fn report(&self, sim: &RunningSim, path: &str) -> Value {
        let url = format!("http://{}/control/{path}", sim.control_addr);
        json_of(self.http.get(url).send().await.unwrap()).await["data"].take()
    }
}

pub async fn json_of(answer: reqwest::Response) -> Value {
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

pub fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["id"].as_str().unwrap()).collect()
}

pub fn code(status: u16, code: &str) -> (u16, Value) {
    (status, json!(code))
}
