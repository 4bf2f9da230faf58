//! The server under attack: the real binary, a customer with money, keys; and what must never happen to it.

use std::sync::Arc;
use std::time::Duration;

use sageapi_server::env::Role;
use sageapi_server::model::{Cell, Clock, Entity, SystemClock, TextId, Timestamp};
use sageapi_server::store::{Change, Op, Page};
use sageapi_test_support::app::{App, ENCRYPTION_KEY, TOKEN_PEPPER, UAPI_SECRET};
use sageapi_test_support::database::{Kind, TestDatabase, kinds};
use sageapi_test_support::server::{ServerBuilder, ServerProcess, cli};
use serde_json::json;

use crate::raw::{Ask, Credentials, Reply};

/// What a test may take in all; one that hangs fails instead.
const TEST_WITHIN: Duration = Duration::from_secs(400);

/// Texts that only our own insides would put into an answer. None of them is in any request of these tests.
const INSIDES: &[&str] = &[
    "sqlx",
    "sqlstate",
    "sql syntax",
    "you have an error in",
    "syntax error",
    "no such table",
    "illegal mix",
    "incorrect string",
    "data too long",
    "out of range value",
    "dapi_keys",
    "customer_balance",
    "accounting_records",
    "users_cache",
    "pricing_cache",
    "llmage_cache",
    "panicked",
    "backtrace",
    "/src/",
    ".rs:",
    "mariadb",
    "rusqlite",
    "unwrap()",
];

/// Runs a test on every kind of database.
pub fn on_every_database(test: impl AsyncFn(Kind)) {
    for kind in kinds() {
        eprintln!("on {kind}:");
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::time::timeout(TEST_WITHIN, test(kind)).await.expect("the test ends in time");
        });
    }
}

/// A server process and those who may ask it.
pub struct Victim {
    pub server: ServerProcess,
    pub customer: String,
    pub key: Credentials,
    pub platform: Credentials,
    pub database: Arc<TestDatabase>,
    clock: Arc<dyn Clock>,
}

impl Victim {
    pub async fn start(kind: Kind) -> Self {
        Self::start_with(kind, |builder| builder).await
    }

    pub async fn start_with(kind: Kind, configure: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let app = App::builder(kind).role(Role::Setup).without_background().start().await;
        let client = app.customer("org-1", "1000000").await;
        let users = Page { changes: (0..200).map(|n| user(&format!("u-{n}"))).collect(), ..Page::default() };
        app.env.store().apply_page(Entity::Users, None, users).await.unwrap();
        let list = "pricings: [{price_factors: images, unit_prices: 0.000001, filters: [{size: small}]}]";
        for (entity, id, columns) in [
            (Entity::Pricing, "pp-1-now", &[("ppid", "pp-1"), ("pricing_data", list)][..]),
            (Entity::Llmage, "m-1", &[("llmid", "llm-1"), ("ppid", "pp-1"), ("status", "published")]),
        ] {
            let page = Page { changes: vec![row(entity, id, columns)], ..Page::default() };
            app.env.store().apply_page(entity, None, page).await.unwrap();
        }
        let of = |client: &sageapi_test_support::client::Client| Credentials {
            key_id: client.key_id.clone(),
            secret: client.secret.clone(),
        };
        let (key, platform) = (of(&client), of(&app.platform));
        let database = app.stop().await;
        // A body may be slow for half of this.
        let builder = ServerProcess::builder(&database.url()).env("SAGEAPI_SERVER_REQUEST_TIMEOUT", "6s");
        let server = configure(builder).start().await;
        Self { server, customer: "org-1".to_owned(), key, platform, database, clock: SystemClock::new() }
    }

    pub fn now_s(&self) -> i64 {
        self.clock.now().seconds()
    }

    /// Time since some start, for measurements that are only told.
    pub fn stopwatch(&self) -> Duration {
        self.clock.monotonic()
    }

    /// A signed request of the customer, as any client would make it.
    pub async fn get(&self, path: &str) -> Reply {
        Ask::get(path).signed(&self.key, self.now_s()).send(self.server.http_address()).await
    }

    /// What an answer must be in any case.
    #[track_caller]
    pub fn assert_harmless(&self, what: &str, reply: &Reply) {
        let text = reply.text();
        assert!(reply.status < 500, "{what}: {} {text}", reply.status);
        let lower = text.to_ascii_lowercase();
        for word in INSIDES {
            assert!(!lower.contains(word), "{what}: {word} is in {text}");
        }
        let secrets = [&*self.key.secret, &self.platform.secret, ENCRYPTION_KEY, TOKEN_PEPPER, UAPI_SECRET];
        let head = format!("{:?}", reply.headers);
        for secret in secrets {
            assert!(!text.contains(secret) && !head.contains(secret), "{what}: a secret is in {text}");
        }
        // hyper's own answers to what is no HTTP have no body; whatever has one has the contract's form.
        if reply.status >= 400 && !reply.bytes.is_empty() {
            assert_eq!(reply.header("content-type"), "application/problem+json", "{what}: {text}");
            assert!(reply.json["code"].is_string() && reply.json["status"] == reply.status, "{what}: {text}");
            // It names the path as sent, which the head's limit bounds.
            assert!(reply.bytes.len() < 40 * 1024, "{what}: an error of {} bytes", reply.bytes.len());
        }
    }

    /// It serves as before, it never failed or panicked, its books add up, and it ends when asked to.
    pub async fn assert_unharmed(mut self) {
        let balance = self.get("/balance").await;
        assert_eq!((balance.status, &balance.data()["customer_id"]), (200, &json!(self.customer)));
        let charge = json!({"transno": "after-it-all", "amount": "1"});
        let booked = Ask::post("/accounting", &charge).signed(&self.key, self.now_s());
        assert_eq!(booked.send(self.server.http_address()).await.status, 201);
        self.assert_silent();
        self.server.sigterm();
        let status = self.server.wait().await;
        assert_eq!(status.code(), Some(0), "{:#?}", self.server.stderr());
        let url = self.database.url();
        let verified = cli(&["verify"], [("SAGEAPI_DATABASE_URL", url.as_str())]).await;
        assert!(verified.status.success(), "{verified:?}");
    }

    /// Neither a panic nor a failure was logged: nothing that a client sends is the server's fault.
    #[track_caller]
    pub fn assert_silent(&self) {
        for line in self.server.stderr() {
            let lower = line.to_ascii_lowercase();
            assert!(!lower.contains("panicked") && !line.contains(r#""level":"ERROR""#), "{line}");
            for secret in
                [&*self.key.secret, &self.platform.secret, ENCRYPTION_KEY, TOKEN_PEPPER, UAPI_SECRET]
            {
                assert!(!line.contains(secret), "a secret is in the log: {line}");
            }
        }
    }
}

fn user(id: &str) -> Change {
    let name = format!("name of {id}");
    row(Entity::Users, id, &[("username", &name), ("orgid", "org-1")])
}

/// A row of the feed with these columns.
fn row(entity: Entity, id: &str, columns: &[(&str, &str)]) -> Change {
    let cells = entity.columns().iter().map(|column| {
        let given = columns.iter().find(|(name, _)| *name == column.name);
        given.map_or(Cell::Null, |(_, text)| Cell::Text((*text).into()))
    });
    let op = Op::Upsert { created_at: Some(Timestamp::from_seconds(1)), cells: cells.collect() };
    Change { id: TextId::parse(id).unwrap(), version: 1, op }
}
