//! Signing in at several real processes on one database: access ends everywhere, and a killed process signs nobody out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test")]

use std::time::{Duration, Instant};

use sageapi_process_tests::Installation;
use sageapi_test_support::database::{Kind, kinds};
use sageapi_test_support::server::ServerProcess;
use serde_json::{Value, json};

const SECRET: &str = "secret of the tests of signing in 32";
const NEXT_SECRET: &str = "the next secret of these tests also 32";
const PASSWORD: &str = "a password of the tests";
/// The promise is a second; a busy machine may take longer.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

struct Site {
    installation: Installation,
    client: reqwest::Client,
}

impl Site {
    /// A database that several processes can serve; `None` where there is none.
    async fn new() -> Option<Self> {
        let kind = kinds().into_iter().find(|kind| *kind == Kind::MySql)?;
        let mut installation = Installation::new(kind).await;
        installation.set("SAGEAPI_AUTH_JWT_SECRET", SECRET);
        installation.json(&["customer", "create", "org_a"]).await;
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
        Some(Self { installation, client })
    }

    /// A command about the user `ann`.
    async fn user(&self, command: &str, more: &[&str]) -> Value {
        let args = [&["user", command, "ann", "--customer", "org_a"], more].concat();
        self.installation.json(&args).await
    }

    async fn create(&self) {
        let file = self.installation.file("password", PASSWORD).display().to_string();
        self.user("create", &["--password-file", &file]).await;
    }

    async fn post(&self, base: &str, path: &str, body: Value) -> Option<(u16, Value)> {
        let request =
            self.client.post(format!("{base}/api/v1{path}")).header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, serde_json::from_slice(&answer.bytes().await.ok()?).unwrap()))
    }

    async fn login(&self, base: &str) -> Value {
        let body = json!({"username": "ann", "password": PASSWORD, "customer_id": "org_a"});
        let (status, answer) = self.post(base, "/auth/login", body).await.unwrap();
        assert_eq!(status, 200, "{answer}");
        answer["data"].clone()
    }

    async fn refresh(&self, base: &str, token: &str) -> Option<(u16, Value)> {
        self.post(base, "/auth/refresh", json!({"refresh_token": token})).await
    }

    async fn me(&self, base: &str, token: &str) -> u16 {
        let request = self.client.get(format!("{base}/api/v1/auth/me")).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
}

#[expect(clippy::disallowed_methods, reason = "measures real processes")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test(flavor = "multi_thread")]
async fn access_ends_on_each_of_three_processes_whatever_ends_it() {
    let Some(site) = Site::new().await else { return };
    site.create().await;
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(site.installation.server().start().await);
    }
    let bases: Vec<_> = servers.iter().map(ServerProcess::http).collect();
    let other = site.installation.file("other", PASSWORD).display().to_string();
    for (what, args) in
        [("disable", &[][..]), ("set-password", &["--password-file", &other]), ("revoke", &[])]
    {
        let token = text(&site.login(&bases[0]).await, "access_token");
        for base in &bases {
            assert_eq!(site.me(base, &token).await, 200, "{what}");
        }
        site.user(what, args).await;
        let started = now();
        for base in &bases {
            while site.me(base, &token).await != 401 {
                assert!(started.elapsed() < ENDS_WITHIN, "{what}: access does not end at {base}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        println!(
            "sign in: access ended on three processes {} ms after {what}",
            started.elapsed().as_millis()
        );
        site.user("enable", &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_during_a_refresh_signs_nobody_out() {
    let Some(site) = Site::new().await else { return };
    site.create().await;
    let steady = site.installation.server().start().await;
    let mut tokens = site.login(&steady.http()).await;
    let (mut answered, mut replayed) = (0, 0);
    for round in 0..8_u64 {
        let mut killed = site.installation.server().start().await;
        let base = killed.http();
        let token = text(&tokens, "refresh_token");
        let asked = site.refresh(&base, &token);
        let kill = async {
            tokio::time::sleep(Duration::from_micros(700 * round)).await;
            killed.kill9();
        };
        let (answer, ()) = tokio::join!(asked, kill);
        answered += u32::from(answer.is_some());
        let (status, again) = site.refresh(&steady.http(), &token).await.unwrap();
        assert_eq!(status, 200, "round {round}: {again}");
        if let Some((200, first)) = answer {
            assert_eq!(again["data"]["refresh_token"], first["data"]["refresh_token"], "one successor");
        }
        replayed += u32::from(again["data"]["replayed"] == true);
        tokens = again["data"].clone();
        assert_eq!(site.me(&steady.http(), &text(&tokens, "access_token")).await, 200);
    }
    println!(
        "sign in: 8 processes killed during a refresh; {answered} answered, {replayed} retries got the successor again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_rotated_in_two_steps_over_three_processes_signs_nobody_out() {
    let Some(mut site) = Site::new().await else { return };
    site.create().await;
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(site.installation.server().start().await);
    }
    let mut tokens = site.login(&servers[0].http()).await;
    // First accepted everywhere, then used; the former one stays accepted.
    for (current, accepted) in [(SECRET, NEXT_SECRET), (NEXT_SECRET, SECRET)] {
        site.installation.set("SAGEAPI_AUTH_JWT_SECRET", current);
        site.installation.set("SAGEAPI_AUTH_PREVIOUS_JWT_SECRETS", accepted);
        for n in 0..servers.len() {
            servers[n] = site.installation.server().start().await;
            for server in &servers {
                let (status, next) =
                    site.refresh(&server.http(), &text(&tokens, "refresh_token")).await.unwrap();
                assert_eq!(status, 200, "{next}");
                tokens = next["data"].clone();
                for server in &servers {
                    assert_eq!(site.me(&server.http(), &text(&tokens, "access_token")).await, 200);
                }
            }
        }
    }
}
