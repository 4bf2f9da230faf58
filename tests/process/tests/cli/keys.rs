use std::time::Duration;

use sageapi_process_tests::Installation;
use sageapi_process_tests::installation::{MadeKey, SCOPES};
use sageapi_process_tests::waiting::until;
use sageapi_test_support::app::ENCRYPTION_KEY;
use sageapi_test_support::database::kinds;
use serde_json::{Value, json};

const CUSTOMER: &str = "org_keys";
const SOON: Duration = Duration::from_secs(30);
const ANOTHER_KEY: &str = "/////////////////////////////////////////38=";

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_listed_rotated_with_an_overlap_and_revoked() {
    for kind in kinds() {
        let installation = Installation::new(kind).await;
        installation.json(&["customer", "create", CUSTOMER]).await;
        let server = installation.server().start().await;
        let create = ["key", "create", "--customer", CUSTOMER, "--scopes", "balance:read", "--name", "mine"];
        let first = MadeKey::of(&installation.json(&create).await);
        assert!(first.key_id.starts_with("ak_") && first.key_id.len() == 19, "{first:?}");
        let old = first.client(&server.http());
        assert_eq!(old.get("/balance").await.status, 200);
        assert_eq!(old.get("/users").await.problem(), (403, "scope_missing"));

        let listed = installation.json(&["key", "list"]).await;
        let (mine, text) = (&listed[0], listed.to_string());
        assert_eq!(
            (&mine["key_id"], &mine["name"], &mine["enabled"]),
            (&json!(first.key_id), &json!("mine"), &json!(true))
        );
        assert!(!text.contains(&first.secret) && !text.contains("secret"), "{text}");

        let second = MadeKey::of(&installation.json(&["key", "rotate", &first.key_id]).await);
        assert!(second.key_id == first.key_id && second.secret != first.secret);
        let new = second.client(&server.http());
        let known = || async { (new.get("/balance").await.status == 200).then_some(()) };
        until("the new secret works", SOON, known).await;
        assert_eq!(old.get("/balance").await.status, 200, "the old one too, for a day");
        assert_ne!(installation.json(&["key", "list"]).await[0]["rotating_until"], Value::Null);

        let third =
            MadeKey::of(&installation.json(&["key", "rotate", &first.key_id, "--overlap-hours", "0"]).await);
        let refused =
            || async { (new.get("/balance").await.problem() == (401, "auth_failed")).then_some(()) };
        until("without an overlap the secret before is out", SOON, refused).await;
        assert_eq!(old.get("/balance").await.problem(), (401, "auth_failed"));
        let third = third.client(&server.http());
        assert_eq!(third.get("/balance").await.status, 200);
        let long = installation.command(&["key", "rotate", &first.key_id, "--overlap-hours", "169"]).await;
        assert_eq!(long.code, 64, "{long:?}");

        installation.json(&["key", "revoke", &first.key_id]).await;
        let disabled =
            || async { (third.get("/balance").await.problem() == (403, "key_disabled")).then_some(()) };
        until("a revoked key is refused", SOON, disabled).await;
        assert_eq!(installation.json(&["key", "list"]).await[0]["enabled"], false);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_with_conditions_work_only_under_them() {
    let installation = Installation::new(kinds()[0]).await;
    installation.json(&["customer", "create", CUSTOMER]).await;
    let server = installation.server().start().await;
    let create = async |more: &[&str]| {
        let args = [&["key", "create", "--customer", CUSTOMER, "--scopes", SCOPES], more].concat();
        MadeKey::of(&installation.json(&args).await)
    };
    let get = async |key: MadeKey| key.client(&server.http()).get("/balance").await;
    assert_eq!(
        get(create(&["--expires", "2001-01-01T00:00:00Z"]).await).await.problem(),
        (403, "key_disabled")
    );
    assert_eq!(get(create(&["--expires", "2101-01-01T00:00:00Z"]).await).await.status, 200);
    assert_eq!(get(create(&["--cidrs", "192.0.2.0/24"]).await).await.problem(), (403, "address_denied"));
    assert_eq!(get(create(&["--cidrs", "192.0.2.0/24,127.0.0.0/8"]).await).await.status, 200);
    let bearer = create(&["--auth-mode", "bearer"]).await;
    assert_eq!(get(bearer.clone()).await.problem(), (401, "auth_failed"), "a bearer key does not sign");
    let client = bearer.client(&server.http());
    let call = client.call(http::Method::GET, "/balance");
    assert_eq!(call.clone().bearer(&bearer.secret).send().await.status, 200);
    assert_eq!(call.api_key(&bearer.secret).send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_move_to_another_encryption_key_and_a_wrong_one_is_refused_with_64() {
    for kind in kinds() {
        let mut installation = Installation::new(kind).await;
        installation.json(&["customer", "create", CUSTOMER]).await;
        let key = installation.key(CUSTOMER).await;
        let rotated = MadeKey::of(&installation.json(&["key", "rotate", &key.key_id]).await);

        installation.set("SAGEAPI_AUTH_ENCRYPTION_KEY", ANOTHER_KEY);
        for command in [&["key", "list"][..], &["key", "reencrypt"], &["verify"], &["migrate"]] {
            let ended = installation.command(command).await;
            assert_eq!(ended.code, 64, "{command:?} under a wrong key: {ended:?}");
        }
        let plan = installation.json(&["migrate", "--plan"]).await;
        assert_eq!(plan["verdict"], "key-mismatch", "{plan}");
        let mut refused = installation.server().spawn();
        assert_eq!(refused.wait(SOON).await.code(), Some(64), "{:?}", refused.stderr());

        installation.set("SAGEAPI_AUTH_PREVIOUS_ENCRYPTION_KEYS", ENCRYPTION_KEY);
        let both = async |installation: &Installation| {
            let server = installation.server().start().await;
            for key in [&key, &rotated] {
                assert_eq!(key.client(&server.http()).get("/balance").await.status, 200);
            }
        };
        both(&installation).await;
        assert_eq!(installation.json(&["key", "reencrypt"]).await, json!({"reencrypted": 1}));
        installation.set("SAGEAPI_AUTH_PREVIOUS_ENCRYPTION_KEYS", "");
        both(&installation).await;
        installation.set("SAGEAPI_AUTH_ENCRYPTION_KEY", ENCRYPTION_KEY);
        let old = installation.command(&["key", "list"]).await;
        assert_eq!(old.code, 64, "the former key opens nothing any more: {old:?}");
    }
}
