//! Brings everything up: simulated platform, configuration, schema, seed, server, first sync.

use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::process::Command;

use crate::Failure;
use crate::children::{self, Children};
use crate::credentials::{Credential, Credentials, SeededKey};
use crate::place::{Place, write_private};
use crate::show::{progress, say};

/// Key and secret of the pulls: those that the simulator takes unless told otherwise. They guard
/// invented data on loopback.
const PULL_KEY: &str = "ak_UpstreamSimKey01";
const PULL_SECRET: &str = "upstream-sim-demo-secret";
/// What the simulated platform's events are signed with.
const EVENT_SECRET: &str = "whsec_c2FnZWFwaS1kZW1vLWV2ZW50LXNlY3JldC0wMDAx";

/// How long the server may take to be ready, and then the first sync; looked at ten times a second.
const LOOKS: u32 = 600;
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// A mirror older than this is being pulled just now: the configuration says every minute.
const FRESH_S: f64 = 90.0;

#[derive(Deserialize)]
struct Seeded {
    customers_created: u64,
    credits_booked: u64,
    keys: Vec<SeededKey>,
}

/// Brings everything up and gives the keys of the tour.
pub async fn bring_up(place: &Place, children: &mut Children) -> Result<Credentials, Failure> {
    let folder = place.folder.display();
    say(&format!("SageAPI beside a simulated platform; everything is in {folder}/"));
    if !children.are_tied() {
        say(
            "There is no `setpriv --pdeathsig` here: after a kill -9 of this demo, end its programs by hand.",
        );
    }

    say("  platform   starting sageapi-upstream-sim");
    start_simulator(place, children).await?;

    let existing = place.file("sageapi.db").exists();
    write_private(&place.file("config.yaml"), &configuration(place))?;
    say(&format!("  config     {folder}/config.yaml written"));

    let migrated: Value = serde_json::from_str(&server(place, &["migrate"]).await?)?;
    let kept = if existing { ", kept from an earlier run" } else { "" };
    say(&format!("  database   {folder}/sageapi.db, schema version {}{kept}", migrated["to"]));

    let keys = seed(place).await?;

    start_server(place, children).await?;
    first_sync(place, children).await?;
    Ok(keys)
}

/// Runs a command of the server to its end and gives what it printed.
pub async fn server(place: &Place, args: &[&str]) -> Result<String, Failure> {
    let config = place.file("config.yaml");
    let mut command = Command::from(children::bare(&place.server));
    command.arg("--config").arg(&config).args(["--output", "json"]).args(args).stdin(Stdio::null());
    let output = command.kill_on_drop(true).output().await?;
    let name = args.first().copied().unwrap_or_default();
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("sageapi-server {name} failed ({}): {}", output.status, said.trim()).into())
}

async fn start_simulator(place: &Place, children: &mut Children) -> Result<(), Failure> {
    let (listen, control) = (format!("127.0.0.1:{}", place.feed), format!("127.0.0.1:{}", place.control));
    let events = place.api("/events");
    let args = [
        ["--listen", &listen],
        ["--control", &control],
        ["--event-url", &events],
        ["--event-secret", EVENT_SECRET],
    ]
    .concat();
    let log = place.file("upstream.log");
    children.start("sageapi-upstream-sim", &place.simulator, &args, &log, true).await
}

/// Puts the seed file in, which can be repeated, and sees to it that every key's secret is known.
async fn seed(place: &Place) -> Result<Credentials, Failure> {
    let file = place.seed.to_str().ok_or("the seed file's name is not UTF-8")?;
    let seeded: Seeded = serde_json::from_str(&server(place, &["seed", file]).await?)?;
    let Seeded { customers_created, credits_booked, keys } = seeded;
    let mut credentials = Credentials::load(place);
    let mut made = 0;
    for key in keys {
        let known = credentials.knows(&key);
        let credential = match key.secret {
            Some(secret) => Credential { key_id: key.key_id, secret },
            None if known => continue,
            // The database outlived the file with the secrets.
            None => serde_json::from_str(&server(place, &["key", "rotate", &key.key_id]).await?)?,
        };
        made += 1;
        credentials.put(&key.name, credential);
    }
    credentials.save(place)?;
    say(&format!(
        "  seed       {file}: {customers_created} customers created, {credits_booked} credits booked, {made} new secrets"
    ));
    Ok(credentials)
}

async fn start_server(place: &Place, children: &mut Children) -> Result<(), Failure> {
    let config = place.file("config.yaml");
    let config = config.to_str().ok_or("the folder's name is not UTF-8")?;
    let log = place.file("server.log");
    children.start("sageapi-server", &place.server, &["--config", config, "serve"], &log, false).await?;
    let client = client()?;
    for _ in 0..LOOKS {
        children.check()?;
        let ready = client.get(place.admin("/readyz")).send().await;
        if ready.is_ok_and(|answer| answer.status().is_success()) {
            say(&format!("  server     sageapi-server is ready on port {}", place.http));
            say(&format!("  admin      sign in as {ADMIN_NAME} with the password {ADMIN_PASSWORD}"));
            return Ok(());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Err(format!("the server does not get ready; {} may tell why", log.display()).into())
}

/// Waits until every entity was mirrored.
async fn first_sync(place: &Place, children: &mut Children) -> Result<(), Failure> {
    let client = client()?;
    let mut line = String::new();
    for _ in 0..LOOKS {
        children.check()?;
        let health = client.get(place.admin("/health")).send().await?.bytes().await?;
        let health: Value = serde_json::from_slice(&health)?;
        let entities = health["data"]["sync"].as_object().ok_or("/health does not tell of the mirror")?;
        let fresh = |sync: &Value| {
            sync["status"] == "success" && sync["age_s"].as_f64().is_some_and(|age| age < FRESH_S)
        };
        line = String::from("  mirror    ");
        for (entity, sync) in entities {
            let state = if fresh(sync) { "done" } else { sync["status"].as_str().unwrap_or("?") };
            line += &format!(" {entity}: {state}");
        }
        let done = !entities.is_empty() && entities.values().all(fresh);
        progress(&line, done);
        if done {
            return Ok(());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Err(format!(
        "the platform was not mirrored in time ({}); see the logs in {}/",
        line.trim(),
        place.folder.display()
    )
    .into())
}

/// A client that goes straight to loopback, whatever proxy the environment names.
pub fn client() -> Result<reqwest::Client, Failure> {
    Ok(reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?)
}

/// The administrator of the demonstration.
pub const ADMIN_NAME: &str = "root";
/// Its password. It guards invented data on loopback.
pub const ADMIN_PASSWORD: &str = "demo-administrator";

fn configuration(place: &Place) -> String {
    let Place { http, admin, feed, .. } = place;
    let database = place.file("sageapi.db");
    format!(
        "# Overwritten by every `make run`. conf/config.yaml shows all keys, docs/CONFIGURATION.md explains them.\n\
         \n\
         # The REST API. On loopback, since this is a demonstration.\n\
         server:\n  listen: 127.0.0.1:{http}\n\
         \n\
         # Probes, metrics, health.\n\
         admin:\n  listen: 127.0.0.1:{admin}\n\
         \n\
         # An embedded database. Its encryption key is made by itself, in the same folder.\n\
         database:\n  url: \"sqlite:{}\"\n\
         \n\
         # The administrator who is made where there is none. A real password belongs into a file.\n\
         auth:\n  bootstrap_admin: {{username: {ADMIN_NAME}, password: {ADMIN_PASSWORD}}}\n\
         \n\
         # The simulated platform. Its secrets guard invented data; real ones belong into files\n\
         # (SAGEAPI_UPSTREAM_DAPI_SECRET_FILE, SAGEAPI_UPSTREAM_UAPI_SECRET_FILE).\n\
         upstream:\n  url: http://127.0.0.1:{feed}\n  auth: signed\n  dapi_key: {PULL_KEY}\n  \
         dapi_secret: {PULL_SECRET}\n  uapi_secret: {EVENT_SECRET}\n\
         \n\
         # Slow on purpose: what the tour changes arrives by an event, not by the next run.\n\
         sync:\n  users: {{every: 60s}}\n  pricing: {{every: 60s}}\n  llmage: {{every: 60s}}\n  uapi: {{every: 60s}}\n\
         \n\
         log:\n  level: info\n  format: text\n",
        database.display()
    )
}
