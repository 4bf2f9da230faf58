//! /docs, whose script is run by Node: everything that openapi.json describes is on the page.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test")]

use sageapi_process_tests::{Installation, tool};
use sageapi_test_support::client::Client;
use sageapi_test_support::database::kinds;
use serde_json::Value;
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn the_page_lists_every_operation_with_its_parameters_schemas_and_errors() {
    let installation = Installation::new(kinds()[0]).await;
    let server = installation.server().start().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/node/page.mjs");
    let shown = tool::run(Command::new("node").args([script, &server.http()]), "nodejs").await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let text = |place: &str| shown[place].as_str().unwrap().to_owned();
    let names = |of: &str| -> Vec<String> {
        shown[of].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let document = Client::new("", "", "").fetch(&format!("{}/api/v1/openapi.json", server.http())).await;
    let document = &document.body;

    assert_eq!(text("title"), format!("SageAPI {}", env!("CARGO_PKG_VERSION")));
    assert_eq!(text("about"), document["info"]["description"].as_str().unwrap());
    let (operations, ids) = (text("operations"), names("ids"));
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            let head = format!("{}{path} {}", method.to_uppercase(), operation["summary"].as_str().unwrap());
            assert!(operations.contains(&head) && ids.iter().any(|found| found == id), "{head}");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let description = parameter["description"].as_str().unwrap_or_default();
                assert!(operations.contains(description), "{id}: {parameter}");
            }
            for answer in operation["responses"].as_object().unwrap().values() {
                assert!(operations.contains(answer["description"].as_str().unwrap()), "{id}: {answer}");
            }
        }
    }
    let schemas = text("schemas");
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(schemas.contains(name) && ids.contains(&format!("schema-{name}")), "{name}");
    }
    for link in names("links") {
        assert!(ids.iter().any(|id| Some(id.as_str()) == link.strip_prefix('#')), "{link}");
    }
    for wrong in ["undefined", "[object"] {
        assert!(!operations.contains(wrong) && !schemas.contains(wrong), "{wrong}");
    }
}
