//! Spans at a real OpenTelemetry collector: where the time of a request, a commit and a run went.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test")]

use std::time::Duration;

use sageapi_process_tests::collector::{Collector, Span};
use sageapi_process_tests::installation::MadeKey;
use sageapi_process_tests::{Installation, SimProcess};
use sageapi_test_support::client::Client;
use sageapi_test_support::database::{Kind, kinds};
use sageapi_test_support::server::{ServerBuilder, ServerProcess};
use serde_json::json;

const CUSTOMER: &str = "org_traced";
const SERVER: u64 = 2;
const CLIENT: u64 = 3;

async fn installed(kind: Kind) -> (Installation, MadeKey) {
    let installation = Installation::new(kind).await;
    let key = installation.seed(&[CUSTOMER.to_owned()], "10").await;
    (installation, key)
}

/// A server that samples only what its callers do.
fn traced(installation: &Installation, collector: &Collector, ratio: &str) -> ServerBuilder {
    let server = installation.server().env("SAGEAPI_TELEMETRY_OTLP_ENDPOINT", &collector.endpoint());
    server.env("SAGEAPI_TELEMETRY_SAMPLING_RATIO", ratio)
}

fn traceparent(number: u32, sampled: bool) -> (String, String) {
    let trace = format!("{:032x}", 0xabc0_0000_u64 + u64::from(number));
    let header = format!("00-{trace}-00f067aa0ba902b7-{}", if sampled { "01" } else { "00" });
    (trace, header)
}

async fn charge(client: &Client, transno: &str, traceparent: &str) -> u16 {
    let charge =
        json!({"transno": transno, "customer_id": CUSTOMER, "kind": "charge", "amount": "0.000001234"});
    let call = client.call(http::Method::POST, "/accounting").json(&charge);
    call.header("traceparent", traceparent).send().await.status.as_u16()
}

fn has(span: &Span, attributes: &[(&str, &str)]) {
    for (name, value) in attributes {
        assert_eq!(span.attributes.get(*name).map(String::as_str), Some(*value), "{name}: {span:#?}");
    }
}

async fn end(mut server: ServerProcess) {
    server.sigterm();
    assert_eq!(server.wait().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_shows_where_its_time_went() {
    for kind in kinds() {
        let (installation, key) = installed(kind).await;
        let collector = Collector::start().await;
        let server = traced(&installation, &collector, "0").start().await;
        let client = key.client(&server.http());
        let (trace, header) = traceparent(1, true);
        assert_eq!(charge(&client, "T-1", &header).await, 201);
        end(server).await;

        let root = collector.wait_for("the request", |s| s.trace == trace && s.kind == SERVER).await;
        assert_eq!(
            (root.name.as_str(), root.parent.as_str()),
            ("POST /api/v1/accounting", "00f067aa0ba902b7")
        );
        has(
            &root,
            &[
                ("http.request.method", "POST"),
                ("http.route", "/api/v1/accounting"),
                ("http.response.status_code", "201"),
                ("url.path", "/api/v1/accounting"),
                ("url.scheme", "http"),
                ("network.protocol.version", "1.1"),
            ],
        );
        let children = collector.children(&root);
        let child = |name: &str| {
            let found = children.iter().find(|span| span.name == name);
            found.unwrap_or_else(|| panic!("{kind}: no {name} among {children:#?}")).clone()
        };
        let (authenticate, _queue) = (child("authenticate"), child("queue"));
        let keys = collector.children(&authenticate);
        assert!(keys.iter().any(|s| s.name == "SELECT dapi_keys" && s.kind == CLIENT), "{keys:#?}");

        let commit = collector.wait_for("the commit", |s| s.name == "commit").await;
        assert!(commit.trace != trace && commit.parent.is_empty(), "a trace of its own: {commit:#?}");
        assert_eq!(commit.links, [(root.trace.clone(), root.id.clone())]);
        assert_eq!(root.links, [(commit.trace.clone(), commit.id.clone())]);
        has(&commit, &[("sageapi.items", "1")]);
        let statements = collector.children(&commit);
        assert!(statements.iter().any(|s| s.name == "SELECT customer_balance"), "{statements:#?}");
        let wrote = match kind {
            Kind::Sqlite => "INSERT accounting_records",
            Kind::MySql => "BATCH",
        };
        assert!(statements.iter().any(|s| s.name == wrote), "{statements:#?}");
        let system = if kind == Kind::Sqlite { "sqlite" } else { "mysql" };
        for statement in statements.iter().chain(&keys).filter(|span| span.kind == CLIENT) {
            has(statement, &[("db.system.name", system)]);
            assert!(statement.attributes.contains_key("db.operation.name"), "{statement:#?}");
        }
        // No value of a request is in any attribute.
        for span in collector.spans() {
            let told = format!("{:?}", span.attributes);
            for secret in ["T-1", CUSTOMER, "0.000001234", &key.secret, &key.key_id] {
                assert!(!told.contains(secret), "{secret}: {span:#?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_and_a_refusal_are_told() {
    let (installation, key) = installed(kinds()[0]).await;
    let collector = Collector::start().await;
    let server = traced(&installation, &collector, "0").start().await;
    let client = key.client(&server.http());
    let (trace, header) = traceparent(2, true);
    let usage = json!({"transno": "T-2", "customer_id": CUSTOMER, "kind": "charge", "pricing_id": "none", "input_tokens": 5});
    let call = client.call(http::Method::POST, "/accounting").json(&usage).header("traceparent", &header);
    let status = call.send().await.status.as_u16();
    assert_eq!(status, 422);
    let (odd, header) = traceparent(3, true);
    let missing =
        client.call(http::Method::GET, "/nowhere/at_all").header("traceparent", &header).send().await;
    assert_eq!(missing.status, 404);
    end(server).await;
    let root = collector.wait_for("the request", |s| s.trace == trace && s.kind == SERVER).await;
    assert_eq!(root.status, 0, "a fault of the client is none of the server");
    let children = collector.children(&root);
    assert!(children.iter().any(|span| span.name == "price"), "{children:#?}");
    let lost = collector.wait_for("the request for nothing", |s| s.trace == odd && s.kind == SERVER).await;
    assert_eq!((lost.name.as_str(), lost.attributes.get("http.route")), ("GET", None));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_decides_what_is_sampled_and_commits_follow_their_requests() {
    let (installation, key) = installed(kinds()[0]).await;
    let collector = Collector::start().await;
    let server = traced(&installation, &collector, "1").start().await;
    let client = key.client(&server.http());
    let (left_out, header) = traceparent(4, false);
    assert_eq!(charge(&client, "T-1", &header).await, 201);
    let (taken, header) = traceparent(5, true);
    assert_eq!(charge(&client, "T-2", &header).await, 201);
    end(server).await;
    let root = collector.wait_for("the sampled one", |s| s.trace == taken && s.kind == SERVER).await;
    let commits: Vec<_> = collector.spans().into_iter().filter(|span| span.name == "commit").collect();
    assert_eq!(commits.len(), 1, "{commits:#?}");
    assert_eq!(commits[0].links, [(root.trace, root.id)]);
    assert!(collector.spans().iter().all(|span| span.trace != left_out));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_the_mirror_is_a_trace_of_its_own_with_pulls_and_pages() {
    let (installation, _) = installed(kinds()[0]).await;
    let collector = Collector::start().await;
    let sim = SimProcess::start(&["--users", "120"]).await;
    let server = traced(&installation, &collector, "1").env("SAGEAPI_SYNC_USERS_BATCH_SIZE", "50");
    let server = sim.mirrored_by(server, Duration::from_secs(3600)).start().await;
    let run = collector.wait_for("the run", |s| s.name == "sync users").await;
    assert!(run.parent.is_empty());
    has(&run, &[("sageapi.sync.entity", "users"), ("sageapi.sync.pages", "3"), ("sageapi.sync.rows", "120")]);
    let children = collector.children(&run);
    let named = |name: &str| children.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let pulls = named("GET /sync/v1/users");
    assert_eq!((pulls.len(), named("page").len()), (3, 3), "{children:#?}");
    for pull in pulls {
        assert_eq!(pull.kind, CLIENT);
        has(
            pull,
            &[
                ("http.request.method", "GET"),
                ("http.response.status_code", "200"),
                ("server.address", "127.0.0.1"),
            ],
        );
        assert!(!pull.attributes["url.full"].contains('?'), "{pull:#?}");
    }
    let writes = collector.children(named("page")[0]);
    assert!(writes.iter().any(|span| span.name.ends_with(" users_cache")), "{writes:#?}");
    // The platform is told of the trace.
    let told = format!("00-{}-", run.trace);
    assert!(sim.log().iter().any(|line| line.contains(&told)), "{:#?}", sim.log());
    end(server).await;
}
