//! Signing in at several real processes on one database: access ends everywhere, a killed
//! process signs nobody out, and guesses are counted together.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test")]

use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use sageapi_process_tests::Installation;
use sageapi_process_tests::proxy::Proxy;
use sageapi_process_tests::waiting::until;
use sageapi_server::config::DatabaseTarget;
use sageapi_test_support::database::{Kind, kinds};
use sageapi_test_support::server::ServerProcess;
use serde_json::{Value, json};

const SECRET: &str = "secret of the tests of signing in 32";
const NEXT_SECRET: &str = "the next secret of these tests also 32";
const PASSWORD: &str = "a password of the tests";
/// The promise is a second; a busy machine may take longer.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(60);

struct Site {
    installation: Installation,
    client: reqwest::Client,
}

impl Site {
    /// A database that several processes can serve, with the users `ann` of a customer and `root` of the platform; `None`
    /// where there is none.
    async fn new() -> Option<Self> {
        let kind = kinds().into_iter().find(|kind| *kind == Kind::MySql)?;
        let mut installation = Installation::new(kind).await;
        installation.set("SAGEAPI_AUTH_JWT_SECRET", SECRET);
        installation.json(&["customer", "create", "org_a"]).await;
        let file = installation.file("password", PASSWORD).display().to_string();
        installation.json(&["user", "create", "root", "--role", "admin", "--password-file", &file]).await;
        let site = Self { installation, client: client(None) };
        site.user("create", &["--password-file", &file]).await;
        Some(site)
    }

    /// A command about the user `ann`.
    async fn user(&self, command: &str, more: &[&str]) -> Value {
        let args = [&["user", command, "ann", "--customer", "org_a"], more].concat();
        self.installation.json(&args).await
    }

    async fn servers(&self, count: usize) -> Vec<ServerProcess> {
        let mut servers = Vec::new();
        for _ in 0..count {
            servers.push(self.installation.server().start().await);
        }
        servers
    }

    async fn login(&self, base: &str, username: &str) -> Value {
        let body = credentials(username, PASSWORD);
        let (status, answer) = post(&self.client, base, "/auth/login", body).await.unwrap();
        assert_eq!(status, 200, "{answer}");
        answer["data"].clone()
    }

    async fn refresh(&self, base: &str, token: &str) -> Option<(u16, Value)> {
        post(&self.client, base, "/auth/refresh", json!({"refresh_token": token})).await
    }

    async fn me(&self, base: &str, token: &str) -> u16 {
        self.try_me(base, token).await.unwrap()
    }

    async fn try_me(&self, base: &str, token: &str) -> Option<u16> {
        let request = self.client.get(format!("{base}/api/v1/auth/me")).bearer_auth(token);
        Some(request.send().await.ok()?.status().as_u16())
    }

    async fn logout(&self, base: &str, token: &str) {
        let request = self.client.post(format!("{base}/api/v1/auth/logout")).bearer_auth(token);
        assert_eq!(request.send().await.unwrap().status(), 204);
    }

    /// An administrator gives `ann` a role.
    async fn set_role(&self, base: &str, id: &str, role: &str) {
        let admin = text(&self.login(base, "root").await, "access_token");
        let url = format!("{base}/api/v1/admin/users/{id}");
        let user = self.client.get(&url).bearer_auth(&admin).send().await.unwrap();
        let change = self.client.patch(&url).bearer_auth(&admin).header("if-match", &user.headers()["etag"]);
        let change = change.header("content-type", "application/merge-patch+json");
        let answer = change.body(json!({"role": role}).to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }
}

/// A client that connects from an address of this machine.
fn client(from: Option<IpAddr>) -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).local_address(from);
    client.build().unwrap()
}

fn credentials(username: &str, password: &str) -> Value {
    let customer = (username == "ann").then_some("org_a");
    json!({"username": username, "password": password, "customer_id": customer})
}

async fn post(client: &reqwest::Client, base: &str, path: &str, body: Value) -> Option<(u16, Value)> {
    let request = client.post(format!("{base}/api/v1{path}")).header("content-type", "application/json");
    let answer = request.body(body.to_string()).send().await.ok()?;
    let status = answer.status().as_u16();
    Some((status, serde_json::from_slice(&answer.bytes().await.ok()?).unwrap()))
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn access_ends_on_each_of_three_processes_whatever_ends_it() {
    let Some(site) = Site::new().await else { return };
    let servers = site.servers(3).await;
    let bases: Vec<_> = servers.iter().map(ServerProcess::http).collect();
    let other = site.installation.file("other", PASSWORD).display().to_string();
    for what in ["disable", "set-password", "role", "logout", "revoke"] {
        let signed_in = site.login(&bases[0], "ann").await;
        let token = text(&signed_in, "access_token");
        for base in &bases {
            assert_eq!(site.me(base, &token).await, 200, "{what}");
        }
        match what {
            "role" => site.set_role(&bases[1], &text(&signed_in["user"], "id"), "admin").await,
            "logout" => site.logout(&bases[2], &token).await,
            "set-password" => drop(site.user(what, &["--password-file", &other]).await),
            _ => drop(site.user(what, &[]).await),
        }
        let ended = async || {
            for base in &bases {
                if site.me(base, &token).await != 401 {
                    return None;
                }
            }
            Some(())
        };
        let ((), took) = until(what, ENDS_WITHIN, ended).await;
        println!("sign in: access ended on three processes {} ms after {what}", took.as_millis());
        // A new role takes effect with the next token; all else ends the session.
        let (status, _) = site.refresh(&bases[1], &text(&signed_in, "refresh_token")).await.unwrap();
        assert_eq!(status, if what == "role" { 200 } else { 401 }, "{what}");
        site.user("enable", &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_between_a_refreshs_commit_and_its_answer_signs_nobody_out() {
    let Some(site) = Site::new().await else { return };
    let steady = site.installation.server().start().await;
    let DatabaseTarget::Mysql { hosts, .. } = site.installation.database.target() else { panic!("no MySQL") };
    let host = hosts[0].to_string();
    let mut tokens = site.login(&steady.http(), "ann").await;
    for round in 0..3 {
        let proxy = Proxy::to(host.parse().unwrap()).await;
        let url = site.installation.database.url().replace(&host, &proxy.address().to_string());
        let mut killed = site.installation.server().env("SAGEAPI_DATABASE_URL", &url).start().await;
        let base = killed.http();
        let token = text(&tokens, "refresh_token");
        proxy.hold_commits();
        let kill = async {
            until("the refresh is committed", SOON, async || (proxy.swallowed() > 0).then_some(())).await;
            killed.kill9();
        };
        let (answer, ()) = tokio::join!(site.refresh(&base, &token), kill);
        assert!(answer.is_none(), "round {round}: {answer:?}");
        let (status, again) = site.refresh(&steady.http(), &token).await.unwrap();
        assert_eq!((status, &again["data"]["replayed"]), (200, &json!(true)), "round {round}: {again}");
        tokens = again["data"].clone();
        assert_eq!(site.me(&steady.http(), &text(&tokens, "access_token")).await, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_rotated_in_two_steps_over_three_processes_signs_nobody_out() {
    let Some(mut site) = Site::new().await else { return };
    let mut servers = site.servers(3).await;
    let bases = Mutex::new(servers.iter().map(ServerProcess::http).collect::<Vec<_>>());
    let (over, answered) = (Mutex::new(false), Mutex::new((0, 0)));
    let mut sessions = Vec::new();
    for server in &servers {
        sessions.push(site.login(&server.http(), "ann").await);
    }
    // Refreshes and requests go on at all processes while they are restarted, one after the other.
    let visitor = client(None);
    let visit = async |mut tokens: Value| {
        for turn in 0.. {
            if *over.lock().unwrap() {
                break;
            }
            let base = bases.lock().unwrap()[turn % 3].clone();
            let body = json!({"refresh_token": text(&tokens, "refresh_token")});
            if let Some((status, next)) = post(&visitor, &base, "/auth/refresh", body).await {
                assert_eq!(status, 200, "{next}");
                tokens = next["data"].clone();
                answered.lock().unwrap().0 += 1;
            }
            let base = bases.lock().unwrap()[(turn + 1) % 3].clone();
            let url = format!("{base}/api/v1/auth/me");
            if let Ok(me) = visitor.get(url).bearer_auth(text(&tokens, "access_token")).send().await {
                assert_eq!(me.status(), 200);
                answered.lock().unwrap().1 += 1;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let rotate = async {
        // First accepted everywhere, then used; the former one stays accepted.
        for (current, accepted) in [(SECRET, NEXT_SECRET), (NEXT_SECRET, SECRET)] {
            site.installation.set("SAGEAPI_AUTH_JWT_SECRET", current);
            site.installation.set("SAGEAPI_AUTH_PREVIOUS_JWT_SECRETS", accepted);
            for (n, server) in servers.iter_mut().enumerate() {
                let again = site.installation.server().start().await;
                bases.lock().unwrap()[n] = again.http();
                *server = again;
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        }
        *over.lock().unwrap() = true;
    };
    let visits = futures_util::future::join_all(sessions.into_iter().map(visit));
    let ((), _) = tokio::join!(rotate, visits);
    let (refreshes, requests) = *answered.lock().unwrap();
    println!(
        "sign in: {refreshes} refreshes and {requests} requests during two rounds of restarts, each of them 200"
    );
    assert!(refreshes > 30 && requests > 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_are_counted_by_three_processes_together_and_a_restart_does_not_forget_them() {
    let Some(site) = Site::new().await else { return };
    let mut servers = site.servers(3).await;
    let device = text(&site.login(&servers[0].http(), "ann").await, "device_token");
    let guess = async |client: &reqwest::Client, base: &str, password: &str| {
        post(client, base, "/auth/login", credentials("ann", password)).await.unwrap().0
    };
    // One address has five guesses, whichever process it asks.
    let one = client(Some("127.0.0.2".parse().unwrap()));
    for n in 0..5 {
        assert_eq!(guess(&one, &servers[n % 3].http(), "a wrong guess").await, 401, "guess {n}");
    }
    // The account has ten from all addresses.
    for n in 0..5 {
        let other = client(Some(format!("127.0.0.{}", 3 + n).parse().unwrap()));
        assert_eq!(guess(&other, &servers[n % 3].http(), "a wrong guess").await, 401, "guess {n}");
    }
    let last = client(Some("127.0.0.9".parse().unwrap()));
    assert_eq!(guess(&last, &servers[0].http(), PASSWORD).await, 429);
    for restarted in [false, true] {
        for (n, server) in servers.iter_mut().enumerate() {
            if restarted {
                *server = site.installation.server().start().await;
            }
            let base = server.http();
            assert_eq!(guess(&one, &base, PASSWORD).await, 429, "process {n}, restarted: {restarted}");
            // The device that signed in before is not kept out by others.
            let mut known = credentials("ann", PASSWORD);
            known["device_token"] = json!(device);
            let (status, answer) = post(&site.client, &base, "/auth/login", known).await.unwrap();
            assert_eq!(status, 200, "process {n}, restarted: {restarted}: {answer}");
        }
    }
}
