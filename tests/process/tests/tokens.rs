//! Somebody else's implementation of JWT, the PyPI package PyJWT, accepts our access tokens, and makes wrong ones of every
//! kind, which a running server refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test")]

use std::path::Path;

use sageapi_process_tests::{Installation, python};
use sageapi_server::model::{Clock as _, SystemClock};
use sageapi_test_support::database::kinds;
use serde_json::{Value, json};

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
    let signed_in: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    let token = signed_in["data"]["access_token"].as_str().unwrap_or_else(|| panic!("{signed_in}"));

    let task = json!({"secret": SECRET, "token": token, "now": SystemClock::new().now().seconds()});
    let told = python::run(&python, "tokens.py", &task).await.remove(0);
    let claims = &told["claims"];
    assert_eq!((&claims["sub"], &claims["customer"]), (&user["id"], &json!(CUSTOMER)), "{told}");
    let me = async |token: &str| {
        let request = client.get(format!("{}/api/v1/auth/me", server.http())).bearer_auth(token);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        (status, body)
    };
    let right = told["right"].as_array().unwrap();
    assert_eq!(right.len(), 4, "{told}");
    for right in right {
        let (status, body) = me(right.as_str().unwrap()).await;
        assert_eq!((status, &body["data"]["role"]), (200, &json!("user")), "{right}: {body}");
    }
    let wrong = told["wrong"].as_object().unwrap();
    assert!(wrong.len() > 30, "{told}");
    for (name, expected) in wrong {
        let (status, body) = me(expected[0].as_str().unwrap()).await;
        assert_eq!((status, &body["code"]), (401, &expected[1]), "{name}: {body}");
    }
    println!("tokens: {} wrong ones, all of them refused", wrong.len());
}
