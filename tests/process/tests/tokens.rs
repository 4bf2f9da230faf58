//! Somebody else's implementation of JWT, the PyPI package PyJWT, accepts our access tokens, and makes wrong ones of every
//! kind, which a running server refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test")]

use std::path::Path;
use std::process::Stdio;

use sageapi_process_tests::{Installation, python};
use sageapi_test_support::database::kinds;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

const CUSTOMER: &str = "org_tokens";
const PASSWORD: &str = "a password of the tests";
const SECRET: &str = "secret of the tests of tokens, 32+";

#[tokio::test(flavor = "multi_thread")]
async fn a_library_of_another_language_reads_our_tokens_and_none_of_its_wrong_ones_is_accepted() {
    let python = python::with("tokens.txt", Path::new(env!("CARGO_TARGET_TMPDIR"))).await;
    let mut installation = Installation::new(kinds()[0]).await;
    installation.set("SAGEAPI_AUTH_JWT_SECRET", SECRET);
    installation.json(&["customer", "create", CUSTOMER]).await;
    let password = installation.file("password", PASSWORD).display().to_string();
    let create = ["user", "create", "ann", "--customer", CUSTOMER, "--password-file", &password];
    let user = installation.json(&create).await;
    let server = installation.server().start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = json!({"username": "ann", "password": PASSWORD, "customer_id": CUSTOMER}).to_string();
    let login = client
        .post(format!("{}/api/v1/auth/login", server.http()))
        .header("content-type", "application/json");
    let answer = login.body(body).send().await.unwrap();
    let date = answer.headers()["date"].to_str().unwrap().to_owned();
    let signed_in: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    let token = signed_in["data"]["access_token"].as_str().unwrap_or_else(|| panic!("{signed_in}"));

    let task = json!({"secret": SECRET, "token": token, "date": date});
    let told = run(&python, &task).await;
    assert_eq!(
        (&told["claims"]["sub"], &told["claims"]["customer"]),
        (&user["id"], &json!(CUSTOMER)),
        "{told}"
    );
    let me = async |token: &str| {
        let request = client.get(format!("{}/api/v1/auth/me", server.http())).bearer_auth(token);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(me(token).await.0, 200);
    for right in told["right"].as_array().unwrap() {
        assert_eq!(me(right.as_str().unwrap()).await.0, 200, "{told}");
    }
    let wrong = told["wrong"].as_object().unwrap();
    assert!(wrong.len() > 20, "{told}");
    for (name, token) in wrong {
        let (status, code) = me(token.as_str().unwrap()).await;
        let refused = ["token_invalid", "token_expired"].contains(&code.as_str());
        assert!(status == 401 && refused, "{name}: {status} {code}");
    }
    println!("tokens: {} wrong ones, all of them refused", wrong.len());
}

async fn run(python: &Path, task: &Value) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/tokens.py");
    let mut command = Command::new(python);
    command
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(task.to_string().as_bytes()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
