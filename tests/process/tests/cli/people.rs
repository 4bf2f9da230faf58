//! Users, groups, sessions and the audit log by commands.

use sageapi_process_tests::Installation;
use sageapi_test_support::database::kinds;
use serde_json::{Value, json};

use sageapi_process_tests::installation::Ended;

const PASSWORD: &str = "a password of the tests";

async fn installation() -> Installation {
    let installation = Installation::new(kinds()[0]).await;
    installation.json(&["customer", "create", "org_a"]).await;
    installation
}

/// Signs in at a server; the status, and the answer.
async fn login(base: &str, customer: Option<&str>, name: &str, password: &str) -> (u16, Value) {
    let body = json!({"username": name, "password": password, "customer_id": customer}).to_string();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("{base}/api/v1/auth/login"));
    let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
}

fn is_usage(ended: &Ended, names: &str) {
    assert_eq!((ended.code, ended.stdout.as_str()), (64, ""), "{ended:?}");
    assert!(ended.stderr.contains(names), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_groups_are_made_changed_and_deleted_and_all_of_it_is_audited() {
    let installation = installation().await;
    let run = async |args: &[&str]| installation.json(args).await;
    let group = run(&["group", "create", "staff", "--customer", "org_a", "--daily-tokens", "0"]).await;
    assert_eq!((&group["daily_tokens"], &group["monthly_tokens"]), (&json!(0), &Value::Null), "{group}");
    let set = [
        "group",
        "set",
        "staff",
        "--customer",
        "org_a",
        "--requests-per-minute",
        "10",
        "--daily-tokens",
        "none",
    ];
    let group = run(&set).await;
    assert_eq!(
        (&group["daily_tokens"], &group["requests_per_minute"]),
        (&Value::Null, &json!(10)),
        "{group}"
    );
    let in_org = ["--customer", "org_a"];
    let user =
        run(&[&["user", "create", "Ann", "--group", "staff", "--disabled"][..], &in_org].concat()).await;
    assert_eq!(
        (&user["username"], &user["is_active"], &user["group_id"]),
        (&json!("ann"), &json!(false), &group["id"])
    );
    assert_eq!(user["has_password"], false, "standard input was empty: {user}");
    let password = installation.file("password", &format!("{PASSWORD}\n")).display().to_string();
    for command in [
        &["user", "enable", "ANN"][..],
        &["user", "set-password", "ann", "--password-file", &password],
        &["user", "set-group", "ann", "none"],
        &["user", "revoke", "ann"],
    ] {
        run(&[command, &in_org].concat()).await;
    }
    let shown = run(&[&["user", "show", "ann"][..], &in_org].concat()).await;
    assert_eq!(
        (&shown["is_active"], &shown["group_id"], &shown["has_password"]),
        (&json!(true), &Value::Null, &json!(true))
    );
    assert_eq!(run(&["user", "list", "--customer", "org_a"]).await.as_array().unwrap().len(), 1);
    assert_eq!(run(&["group", "list"]).await.as_array().unwrap().len(), 1);

    let log = run(&["audit", "list", "--object", "user"]).await;
    let actions: Vec<_> =
        log.as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["revoke", "update", "set_password", "update", "create"]);
    let text = log.to_string();
    assert!(!text.contains(PASSWORD) && !text.contains("argon2"), "{text}");
    let none = run(&["audit", "list", "--object", "user:nobody"]).await;
    assert_eq!(none, json!([]));

    run(&["group", "delete", "staff", "--customer", "org_a"]).await;
    run(&["user", "delete", "ann", "--customer", "org_a"]).await;
    is_usage(
        &installation.command(&["user", "show", "ann", "--customer", "org_a"]).await,
        "user ann: user not found",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_a_command_signs_in_at_a_running_server_and_a_revoked_session_is_listed_as_ended() {
    let installation = installation().await;
    let server = installation.server().start().await;
    let password = installation.file("password", PASSWORD).display().to_string();
    let create = ["user", "create", "ann", "--customer", "org_a", "--password-file", &password];
    let user = installation.json(&create).await;
    let (status, signed_in) = login(&server.http(), Some("org_a"), "ANN", PASSWORD).await;
    assert_eq!(status, 200, "{signed_in}");
    let sessions = installation.json(&["session", "list", "--user-id", user["id"].as_str().unwrap()]).await;
    assert_eq!(sessions.as_array().unwrap().len(), 1, "{sessions}");
    installation.json(&["session", "revoke", sessions[0]["id"].as_str().unwrap()]).await;
    let sessions = installation.json(&["session", "list", "--customer", "org_a"]).await;
    assert_eq!(sessions[0]["revoked_reason"], "revoked", "{sessions}");
    installation.json(&["user", "disable", "ann", "--customer", "org_a"]).await;
    let (status, refused) = login(&server.http(), Some("org_a"), "ann", PASSWORD).await;
    assert_eq!((status, &refused["code"]), (403, &json!("user_disabled")), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_administrator_is_made_once_and_its_password_is_shown_nowhere() {
    let mut installation = installation().await;
    installation.set("SAGEAPI_AUTH_BOOTSTRAP_ADMIN_USERNAME", "root");
    installation.set("SAGEAPI_AUTH_BOOTSTRAP_ADMIN_PASSWORD", PASSWORD);
    let server = installation.server().start().await;
    let (status, signed_in) = login(&server.http(), None, "root", PASSWORD).await;
    assert_eq!((status, &signed_in["data"]["user"]["role"]), (200, &json!("admin")), "{signed_in}");
    drop(server);
    let other = installation.file("password", "another password of root").display().to_string();
    installation.json(&["user", "set-password", "root", "--password-file", &other]).await;
    let server = installation.server().start().await;
    let (status, _) = login(&server.http(), None, "root", PASSWORD).await;
    assert_eq!(status, 401, "the configured password is for the first start alone");
    assert!(!server.stderr().join("\n").contains(PASSWORD));
    let log = installation.json(&["audit", "list", "--action", "create", "--object", "user"]).await;
    assert_eq!((log.as_array().unwrap().len(), &log[0]["actor_kind"]), (1, &json!("server")), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_commands_about_people_end_with_64_and_say_what_is_wrong() {
    let installation = installation().await;
    let short = installation.file("short", "short").display().to_string();
    let nul = installation.file("nul", "a password\0with a NUL").display().to_string();
    installation.json(&["group", "create", "staff"]).await;
    installation.json(&["user", "create", "ann", "--group", "staff"]).await;
    for (args, names) in [
        (&["user"][..], "Usage"),
        (&["user", "create", "a b"], "username"),
        (&["user", "create", "ann"], "username"),
        (&["user", "create", "bea", "--role", "owner"], "owner"),
        (&["user", "create", "bea", "--customer", "org_nobody"], "customer not found"),
        (&["user", "create", "bea", "--group", "nobody"], "group nobody"),
        (&["user", "create", "bea", "--password-file", "/nowhere/password"], "/nowhere/password"),
        (&["user", "create", "bea", "--password-file", &short], "password"),
        (&["user", "create", "bea", "--password-file", &nul], "password"),
        (&["user", "set-password", "ann"], "password"),
        (&["user", "show", "nobody"], "nobody"),
        (&["user", "disable", "ann", "--customer", "org_a"], "ann"),
        (&["group", "create", "staff"], "name"),
        (&["group", "create", "other", "--daily-tokens", "-1"], "--daily-tokens"),
        (&["group", "create", "other", "--daily-tokens", "1.5"], "1.5"),
        (&["group", "create", "other", "--time-zone", "Mars/Olympus"], "Mars/Olympus"),
        (&["group", "set", "nobody", "--daily-tokens", "1"], "nobody"),
        (&["group", "delete", "staff"], "--force"),
        (&["session", "revoke", "1"], "session"),
        (&["session", "revoke", "01890a5d-ac96-774b-bcce-b302099a8057"], "session not found"),
        (&["audit", "list", "--object", "thing"], "thing"),
        (&["audit", "list", "--from", "yesterday"], "yesterday"),
    ] {
        let ended = installation.command(args).await;
        is_usage(&ended, names);
        assert!(
            !ended.stderr.contains("SELECT") && !ended.stderr.contains("panicked"),
            "{args:?}: {}",
            ended.stderr
        );
    }
    installation.json(&["group", "delete", "staff", "--force"]).await;
    assert_eq!(installation.json(&["user", "show", "ann"]).await["group_id"], Value::Null);
}
