//! Somebody else's implementation of RFC 9421, the PyPI package http-message-signatures, signs requests that running
//! servers accept, and makes every kind of request that they must refuse.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test")]

use std::collections::BTreeMap;
use std::path::Path;

use sageapi_process_tests::{Installation, python};
use sageapi_test_support::database::{Kind, kinds};
use serde_json::{Value, json};

const VECTORS: &str = include_str!("../../../server/tests/vectors/signing.json");
const CUSTOMER: &str = "org_demo_0001";

#[tokio::test(flavor = "multi_thread")]
async fn a_library_of_another_language_signs_what_is_accepted_and_each_vector_of_refusal_is_refused() {
    let python = python::with("requirements.txt", Path::new(env!("CARGO_TARGET_TMPDIR"))).await;
    for kind in kinds() {
        let installation = Installation::new(kind).await;
        installation.seed(&[CUSTOMER.to_owned()], "100").await;
        let key = installation.key(CUSTOMER).await;
        let mut servers = vec![installation.server().start().await];
        if kind == Kind::MySql {
            servers.push(installation.server().start().await);
        }
        let bases: Vec<_> = servers.iter().map(sageapi_test_support::server::ServerProcess::http).collect();
        let task = json!({
            "bases": bases, "key_id": key.key_id, "secret": key.secret, "customer": CUSTOMER, "run": kind.to_string(),
        });
        let told = python::run(&python, "signatures.py", &task).await;

        let accepted: Vec<_> = told.iter().filter(|line| line["group"] == "accepted").collect();
        assert!(accepted.len() >= 14, "{accepted:?}");
        for line in accepted {
            let ok = if line["name"].as_str().unwrap().starts_with("POST") { 201 } else { 200 };
            assert_eq!(line["status"], ok, "{line}");
        }

        let mut by_name: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for line in told.iter().filter(|line| line["group"] == "refused") {
            by_name.entry(line["name"].as_str().unwrap()).or_default().push(line);
        }
        let vectors: Value = serde_json::from_str(VECTORS).unwrap();
        for vector in vectors["http_signatures_refused"].as_array().unwrap() {
            let name = vector["name"].as_str().unwrap();
            let lines = by_name.remove(name).unwrap_or_else(|| panic!("no request was made for {name:?}"));
            for line in lines {
                assert_eq!((&line["status"], &line["code"]), (&vector["status"], &vector["code"]), "{line}");
            }
        }
        assert!(by_name.is_empty(), "not among the vectors: {by_name:?}");
        println!(
            "third party: {kind}, {} server(s): {} requests, each answered as it must be",
            servers.len(),
            told.len()
        );
        // What was accepted was booked, what was refused was not.
        let posted = told.iter().filter(|line| line["status"] == 201).count() as u64;
        let (credit, first_of_the_replayed) = (1, 1);
        assert_eq!(installation.verify().await, posted + credit + first_of_the_replayed);
    }
}
