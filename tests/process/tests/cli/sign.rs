use std::process::Stdio;

use sageapi_process_tests::Installation;
use sageapi_test_support::client::Client;
use sageapi_test_support::database::kinds;
use serde_json::Value;
use tokio::process::Command;

const CUSTOMER: &str = "org_sign";

/// What the printed command gets from the server, as a person would run it.
async fn run(command: &str) -> Value {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null()).kill_on_drop(true);
    let output = shell.output().await.expect("sh is there");
    assert!(output.status.success(), "install curl with: apt-get install -y curl; {output:?}\n{command}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_curl_commands_that_sign_prints_are_accepted() {
    let installation = Installation::new(kinds()[0]).await;
    installation.seed(&[CUSTOMER.to_owned()], "10").await;
    let key = installation.key(CUSTOMER).await;
    let server = installation.server().start().await;
    // As an editor leaves it: with the end of a line.
    let secret = installation.file("secret", &format!("{}\n", key.secret)).display().to_string();
    let sign = async |args: &[&str]| {
        let ended = installation
            .command(&[&["sign", "--key-id", &key.key_id, "--secret-file", &secret], args].concat())
            .await;
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
        assert!(!ended.stdout.contains(&key.secret), "{}", ended.stdout);
        ended.stdout
    };
    let url = |target: &str| format!("{}/api/v1{target}", server.http());

    assert_eq!(run(&sign(&[&url("/balance")]).await).await["data"]["balance"], "10");
    let quoted = url(&format!("/balance?customer_id={CUSTOMER}"));
    assert_eq!(run(&sign(&[&quoted]).await).await["data"]["balance"], "10");
    let body = r#"{"transno":"it's-1","kind":"charge","amount":"2.5","note":"it's “余额” $HOME `id` \\"}"#;
    let booked = run(&sign(&["-d", body, &url("/accounting")]).await).await;
    assert_eq!(booked["data"]["balance"], "7.5", "{booked}");
    let command =
        sign(&["-X", "POST", "-d", r#"{"transno":"T-2","kind":"charge","amount":"1"}"#, &url("/accounting")])
            .await;
    assert_eq!(run(&command).await["data"]["balance"], "6.5");
    assert_eq!(run(&command).await["code"], "auth_replay", "a signed write is good once");
    assert_eq!(installation.verify().await, 3);

    let target = url("/accounting");
    let body = r#"{"transno":"T-3","kind":"charge","amount":"0.5"}"#;
    let json: Value = serde_json::from_str(&sign(&["--output", "json", "-d", body, &target]).await).unwrap();
    assert_eq!(
        (&json["method"], &json["url"], &json["body"]),
        (&"POST".into(), &target.into(), &body.into())
    );
    assert_eq!(
        json.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["method", "url", "headers", "body", "curl"]
    );
    let command = json["curl"].as_str().unwrap();
    for (name, value) in json["headers"].as_object().unwrap() {
        assert!(command.contains(&format!("'{name}: {}'", value.as_str().unwrap())), "{name}: {command}");
    }
    // Sent from its parts, by whatever sends requests.
    let parts = json["headers"].as_object().unwrap().iter().fold(
        Client::new("", "", "").call(http::Method::POST, json["url"].as_str().unwrap()).unsigned().body(body),
        |call, (name, value)| call.header(name, value.as_str().unwrap()),
    );
    assert_eq!(parts.send().await.data()["balance"], "6");
    let bare: Value = serde_json::from_str(&sign(&["--output", "json", &url("/balance")]).await).unwrap();
    assert_eq!((&bare["method"], &bare["body"]), (&"GET".into(), &Value::Null));
}
