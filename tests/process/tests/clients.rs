//! The clients of docs/clients, each run as its users run it, against a running server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test")]

use sageapi_process_tests::{Installation, tool};
use sageapi_test_support::database::kinds;
use serde_json::Value;
use tokio::process::Command;

const CUSTOMER: &str = "org_clients";

/// A client's file.
fn file(name: &str) -> String {
    format!("{}/../../docs/clients/{name}", env!("CARGO_MANIFEST_DIR"))
}

async fn shows_a_balance_books_a_charge_and_finds_it(command: &mut Command, package: &str) {
    let installation = Installation::new(kinds()[0]).await;
    installation.seed(&[CUSTOMER.to_owned()], "10").await;
    let key = installation.key(CUSTOMER).await;
    let server = installation.server().start().await;
    // As an editor leaves it: with the end of a line.
    let secret = installation.file("secret", &format!("{}\n", key.secret));
    command.args([&server.http(), &key.key_id]).arg(secret);
    let said = tool::run(command, package).await;
    let answers: Vec<(&str, Value)> = said
        .lines()
        .map(|line| line.split_once(' ').unwrap_or_else(|| panic!("{said}")))
        .map(|(status, body)| (status, serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {said}"))))
        .collect();
    let statuses: Vec<_> = answers.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, ["200", "201", "200"], "{said}");
    let [balance, booked, listed] = [0, 1, 2].map(|nth: usize| &answers[nth].1["data"]);
    assert_eq!((&balance["balance"], &booked["balance"]), (&"10".into(), &"9.99".into()), "{said}");
    assert_eq!(listed["rows"][0]["transno"], booked["transno"], "{said}");
    assert_eq!(installation.verify().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_is_understood() {
    let mut python = Command::new("python3");
    shows_a_balance_books_a_charge_and_finds_it(python.arg(file("client.py")), "python3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_client_is_understood() {
    let mut node = Command::new("node");
    shows_a_balance_books_a_charge_and_finds_it(node.arg(file("client.mjs")), "nodejs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_go_client_is_understood() {
    let mut go = Command::new("go");
    // What it builds stays under our target folder; no other toolchain is fetched, and no C compiled.
    go.env("GOCACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/go"));
    go.env("GOTOOLCHAIN", "local").env("CGO_ENABLED", "0");
    shows_a_balance_books_a_charge_and_finds_it(go.arg("run").arg(file("client.go")), "golang-go").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_java_client_is_understood() {
    let mut java = Command::new("java");
    shows_a_balance_books_a_charge_and_finds_it(java.arg(file("Client.java")), "default-jdk-headless").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_client_is_understood() {
    let mut rust = Command::new(env!("CARGO_BIN_EXE_sageapi-client"));
    shows_a_balance_books_a_charge_and_finds_it(&mut rust, "cargo").await;
}
