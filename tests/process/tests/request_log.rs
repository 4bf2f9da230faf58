//! Every answer can be found in the log by its request id.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test")]

use http::Method;
use sageapi_process_tests::Installation;
use sageapi_test_support::client::{Answer, Client};
use sageapi_test_support::database::kinds;
use sageapi_test_support::server::ServerProcess;
use serde_json::{Value, json};

const CUSTOMER: &str = "org_log";

/// The line of an answer; it must come.
async fn line_of(server: &mut ServerProcess, answer: &Answer) -> Value {
    let id = answer.header("x-request-id").to_owned();
    assert_eq!(id.len(), 16, "{answer}");
    let find = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        (line["request_id"] == *id && line["target"] == "sageapi::answer").then_some(line)
    };
    server.process().wait_stderr("the line of an answer", find).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_in_the_log_with_what_it_was_about_and_no_secret() {
    let installation = Installation::new(kinds()[0]).await;
    let platform = installation.seed(&[CUSTOMER.to_owned()], "10").await;
    let key = installation.key(CUSTOMER).await;
    let mut server = installation.server().env("SAGEAPI_LOG_LEVEL", "debug").start().await;
    let client = key.client(&server.http());
    let charge = |transno: &str, amount: &str| json!({"transno": transno, "amount": amount});
    let ours = Some(key.key_id.as_str());

    let foreign = client.get("/balance?customer_id=org_other").await;
    let forged = client.with_key(&*key.key_id, "sk_wrong").get("/balance").await;
    let swapped = client.with_key(&*key.secret, &*key.key_id).get("/balance").await;
    let strange = client.call(Method::from_bytes(b"BREW").unwrap(), "/balance").send().await;
    let unsigned = client.call(Method::GET, "/balance").unsigned().send().await;
    let unready = client.fetch(&format!("{}/nowhere", server.admin())).await;
    for (answer, level, method, route, status, code, key_id) in [
        (client.get("/balance").await, "DEBUG", "GET", "/api/v1/balance", 200, None, ours),
        (
            client.post("/accounting", &charge("t", "1")).await,
            "DEBUG",
            "POST",
            "/api/v1/accounting",
            201,
            None,
            ours,
        ),
        (
            client.post("/accounting", &json!({})).await,
            "INFO",
            "POST",
            "/api/v1/accounting",
            400,
            Some("invalid_request"),
            ours,
        ),
        (unsigned, "INFO", "GET", "/api/v1/balance", 401, Some("auth_missing"), None),
        (forged, "INFO", "GET", "/api/v1/balance", 401, Some("auth_failed"), ours),
        (swapped, "INFO", "GET", "/api/v1/balance", 401, Some("auth_failed"), None),
        (
            client.post("/accounting", &charge("u", "100")).await,
            "INFO",
            "POST",
            "/api/v1/accounting",
            402,
            Some("insufficient_balance"),
            ours,
        ),
        (foreign, "INFO", "GET", "/api/v1/balance", 403, Some("customer_forbidden"), ours),
        (
            client.get("/accounting/x").await,
            "INFO",
            "GET",
            "/api/v1/accounting/{id}",
            404,
            Some("not_found"),
            ours,
        ),
        (client.get("/nothing").await, "INFO", "GET", "unmatched", 404, Some("not_found"), None),
        (strange, "INFO", "other", "/api/v1/balance", 405, Some("method_not_allowed"), None),
        (
            client.post("/accounting", &charge("t", "2")).await,
            "INFO",
            "POST",
            "/api/v1/accounting",
            422,
            Some("transno_conflict"),
            ours,
        ),
        (unready, "INFO", "GET", "unmatched", 404, Some("not_found"), None),
    ] {
        assert_eq!(answer.status.as_u16(), status, "{answer}");
        let line = line_of(&mut server, &answer).await;
        let told = [&line["level"], &line["method"], &line["route"], &line["status"]];
        assert_eq!(told, [&json!(level), &json!(method), &json!(route), &json!(status)], "{line}");
        assert_eq!((line["code"].as_str(), line["key_id"].as_str()), (code, key_id), "{line}");
        assert!(line["duration_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{line}");
    }
    for line in server.stderr() {
        for secret in [&key.secret, &platform.secret] {
            assert!(!line.contains(secret.as_str()), "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_logged_as_configured_by_default_and_the_rest_is_not() {
    let installation = Installation::new(kinds()[0]).await;
    let mut server = installation.server().start().await;
    let client = Client::new(server.http(), "ak_0000000000000000", "none");
    let fine = client.fetch(&format!("{}/api/v1/health", server.http())).await;
    assert_eq!(fine.status, 200);
    let refused = client.get("/balance").await;
    assert_eq!(line_of(&mut server, &refused).await["level"], "INFO");
    let id = fine.header("x-request-id");
    assert!(server.stderr().iter().all(|line| !line.contains(id)), "{:#?}", server.stderr());
}
