//! The simulated platform as a process.

use std::time::Duration;

use http::{Method, Request};
use http_body_util::Full;
use sageapi_test_support::client::Client;
use sageapi_test_support::server::{Process, ServerBuilder};
use sageapi_upstream_sim::{DEMO_KEY, DEMO_SECRET};
use serde_json::{Value, json};

/// A simulator at work; killed when dropped.
pub struct SimProcess {
    process: Process,
    feed: String,
    control: String,
    http: Client,
}

impl SimProcess {
    /// Starts one, with the sizes of its world among `args`.
    pub async fn start(args: &[&str]) -> Self {
        let mut process = Process::start("sageapi-upstream-sim", args, [], None);
        let ready = process.wait_stdout("it listens", |line| serde_json::from_str::<Value>(line).ok()).await;
        let address = |port: &str| format!("http://{}", ready[port].as_str().expect("an address"));
        let (feed, control) = (address("listen"), address("control"));
        Self { process, http: Client::new(format!("{feed}/"), DEMO_KEY, DEMO_SECRET), feed, control }
    }

    /// The lines of its log.
    pub fn log(&self) -> Vec<String> {
        self.process.stderr()
    }

    /// What `upstream.url` is set to.
    pub fn url(&self) -> &str {
        &self.feed
    }

    /// Lets a server mirror this platform: every entity at this interval.
    pub fn mirrored_by(&self, server: ServerBuilder, every: Duration) -> ServerBuilder {
        let every = format!("{}ms", every.as_millis());
        let server = server.upstream(&self.feed, DEMO_KEY, DEMO_SECRET);
        ["USERS", "PRICING", "LLMAGE", "UAPI"]
            .into_iter()
            .fold(server, |server, entity| server.env(&format!("SAGEAPI_SYNC_{entity}_EVERY"), &every))
    }

    /// A command on the control port; gives `data` of the answer.
    pub async fn command(&self, name: &str, body: Value) -> Value {
        self.control(Method::POST, name, body.to_string()).await
    }

    /// Lets the feed misbehave; see the simulator's `--help`.
    pub async fn fault(&self, fault: Value) {
        self.command("fault", fault).await;
    }

    /// Lets the feed behave again.
    pub async fn no_fault(&self) {
        self.fault(json!({"mode": "none"})).await;
    }

    /// What the feed has served of an entity.
    pub async fn state(&self, entity: &str) -> Value {
        self.control(Method::GET, "state", String::new()).await["entities"][entity].take()
    }

    /// Redirects of the feed that somebody followed.
    pub async fn redirects_followed(&self) -> Value {
        self.control(Method::GET, "state", String::new()).await["redirects_followed"].take()
    }

    /// Sends an event about rows to a server; its answer's status.
    pub async fn event(&self, server: &str, secret: &str, entity: &str, ids: &[&str]) -> u64 {
        let url = format!("{server}/api/v1/events");
        let event = json!({"entity": entity, "ids": ids, "url": url, "secret": secret});
        self.command("event", event).await["status"].as_u64().expect("a status")
    }

    /// Every row of an entity, as the feed gives them: a signed walk in pages.
    pub async fn rows(&self, entity: &str) -> Vec<Value> {
        let (mut rows, mut since) = (Vec::new(), String::new());
        loop {
            let page = self.http.get(&format!("sync/v1/{entity}?limit=500&since={since}")).await;
            let page = page.data();
            rows.extend(
                page["rows"].as_array().expect("rows").iter().filter(|row| row["op"] == "upsert").cloned(),
            );
            if page["has_more"] == false {
                return rows;
            }
            page["next"].as_str().expect("a cursor").clone_into(&mut since);
        }
    }

    async fn control(&self, method: Method, name: &str, body: String) -> Value {
        let url = format!("{}/control/{name}", self.control);
        let request =
            Request::builder().method(method).uri(&url).body(Full::from(body)).expect("a URL of ours");
        let mut answer = self.http.send(request).await.unwrap_or_else(|e| panic!("{url}: {e}"));
        assert!(answer.status.is_success(), "{url}: {answer}");
        answer.body["data"].take()
    }
}
