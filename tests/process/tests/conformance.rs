//! Schemathesis, a client that is made from `openapi.json`, sends what the description allows and what it does not, as every
//! kind of principal. No answer is a server error, has a status that is not described, or breaks its schema.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use sageapi_process_tests::installation::SCOPES;
use sageapi_process_tests::{Installation, python, setting};
use sageapi_test_support::database::kinds;
use serde_json::{Value, json};
use tokio::process::Command;

const CUSTOMER: &str = "org_conformance";
const PASSWORD: &str = "a password of the tests";
const PEPPER: &str = "pepper of the tests of conformance";
const SECRET: &str = "secret of the tests of conformance 32";
/// What can end the session of a token, and with it the test of all else. Keys try these; `sign_in.rs` tests them with tokens.
const ENDING: [&str; 8] = [
    "logout",
    "endOwnSession",
    "revokeSession",
    "revokeSessions",
    "revokeUserSessions",
    "setUserPassword",
    "updateUser",
    "deleteUser",
];
const CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
/// A promise of `make test`.
const DONE_WITHIN: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_to_what_the_description_allows_and_forbids_is_described() {
    let python = python::with("conformance.txt", Path::new(env!("CARGO_TARGET_TMPDIR"))).await;
    let mut installation = Installation::new(kinds()[0]).await;
    installation.set("SAGEAPI_AUTH_TOKEN_PEPPER", PEPPER);
    installation.set("SAGEAPI_AUTH_JWT_SECRET", SECRET);
    installation.seed(&[CUSTOMER.to_owned()], "1000").await;
    let server = installation.server().start().await;
    let st = python.with_file_name("st");
    let schema = format!("{}/api/v1/openapi.json", server.http());
    let try_all = async |bearers: Vec<String>, excluded: &[&str]| {
        let runs = bearers.iter().map(|bearer| {
            let folder =
                installation.database.folder().join(format!("schemathesis-{}", &bearer[bearer.len() - 12..]));
            tries(&st, folder, &schema, bearer, excluded)
        });
        for tested in futures_util::future::join_all(runs).await {
            println!("conformance: {tested}");
        }
    };

    let mut keys = Vec::new();
    for (owner, own_scope) in [(&["--platform"][..], "admin"), (&["--customer", CUSTOMER], "manage")] {
        let scopes = format!("{SCOPES},{own_scope}");
        let create = ["key", "create", "--auth-mode", "bearer", "--scopes", &scopes];
        let made = installation.json(&[&create, owner].concat()).await;
        keys.push(made["secret"].as_str().unwrap().to_owned());
    }
    try_all(keys, &[]).await;

    let mut tokens = Vec::new();
    for (name, role, owner) in
        [("root", "admin", None), ("admin", "admin", Some(CUSTOMER)), ("user", "user", Some(CUSTOMER))]
    {
        tokens.push(token(&installation, &server.http(), name, role, owner).await);
    }
    try_all(tokens.clone(), &ENDING).await;
    for token in tokens {
        let me = reqwest::Client::builder().no_proxy().build().unwrap();
        let me = me.get(format!("{}/api/v1/auth/me", server.http())).bearer_auth(token).send().await.unwrap();
        assert_eq!(me.status(), 200, "the session lasted until the end, so all of it was tried");
    }
    installation.verify().await;
}

/// Everything that one principal may try, and what came of it.
async fn tries(st: &Path, folder: PathBuf, schema: &str, bearer: &str, excluded: &[&str]) -> String {
    std::fs::create_dir(&folder).unwrap();
    let mut command = Command::new(st);
    command.args(["run", schema, "--checks", CHECKS, "--no-color", "--seed", "1"]);
    command.args(["--phases", "examples,coverage,fuzzing,stateful"]);
    command.args(["--max-examples", &setting("EXAMPLES", 8).to_string()]);
    command.args(["--header", &format!("Authorization: Bearer {bearer}")]);
    // Signatures made up would be refused before anything else is looked at.
    command.args(["--generation-with-security-parameters", "false"]);
    command.args(excluded.iter().flat_map(|operation| ["--exclude-operation-id", operation]));
    // It keeps what it found in the folder that it runs in.
    command.current_dir(folder).kill_on_drop(true);
    let output = tokio::time::timeout(DONE_WITHIN, command.output()).await;
    let output = output.expect("schemathesis ends in time").unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let tested = said.lines().find(|line| line.contains(" generated, ")).unwrap_or_default();
    assert!(!tested.is_empty(), "{said}");
    tested.trim().to_owned()
}

/// The access token of a user made for it.
async fn token(
    installation: &Installation,
    base: &str,
    name: &str,
    role: &str,
    customer: Option<&str>,
) -> String {
    let file = installation.file("password", PASSWORD).display().to_string();
    let mut create = vec!["user", "create", name, "--role", role, "--password-file", &file];
    create.extend(customer.into_iter().flat_map(|customer| ["--customer", customer]));
    installation.json(&create).await;
    let body = json!({"username": name, "password": PASSWORD, "customer_id": customer}).to_string();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let login = client.post(format!("{base}/api/v1/auth/login")).header("content-type", "application/json");
    let answer = login.body(body).send().await.unwrap().bytes().await.unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    answer["data"]["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}
