use sageapi_process_tests::Installation;
use sageapi_test_support::database::kinds;
use sageapi_test_support::server::cli;
use serde_json::Value;

/// A command, and words of its help that tell what it does.
const COMMANDS: [(&str, &str); 27] = [
    ("", "SageAPI's server and its tools"),
    ("serve", "Serve the REST API and mirror the upstream platform"),
    ("migrate", "Bring the database's schema up to date"),
    ("sync", "Mirror the upstream platform once"),
    ("seed", "Load initial data"),
    ("customer", "Create and change customers, book credits"),
    ("customer create", "Create a customer"),
    ("customer credit", "Book a credit"),
    ("customer set-mode", "Choose whether charges may take the balance below zero"),
    ("customer set-limit", "Set how far below zero the available balance may go"),
    ("customer suspend", "Refuse charges and holds"),
    ("customer resume", "Accept charges and holds again"),
    ("customer show", "Show a customer and its balance"),
    ("key", "Create, list, rotate and revoke keys"),
    ("key create", "Create a key"),
    ("key list", "List keys, without secrets"),
    ("key rotate", "Give a key a new secret"),
    ("key revoke", "Disable a key"),
    ("key reencrypt", "Re-encrypt every stored secret"),
    ("verify", "Recompute every balance"),
    ("config", "Check, print and document the configuration"),
    ("config check", "Check the configuration"),
    ("config print", "Print the effective configuration"),
    ("config schema", "Print the configuration's JSON schema"),
    ("openapi", "Print the OpenAPI document"),
    ("sign", "Print a signed curl command"),
    ("version", "Print the version"),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_help_of_every_command_tells_what_it_does() {
    for (command, words) in COMMANDS {
        let args: Vec<_> = command.split_whitespace().chain(["--help"]).collect();
        let output = cli(&args, []).await;
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{command}");
        assert!(text.contains(words) && text.contains("Usage: sageapi-server"), "{command}: {text}");
        assert!(output.stderr.is_empty(), "{command}");
    }
    let top = cli(&["--help"], []).await;
    let text = String::from_utf8(top.stdout).unwrap();
    for code in ["0 done", "64 usage", "65 verify", "69 a needed", "70 internal", "75 try again"] {
        assert!(text.replace('\n', " ").contains(code), "{code}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_of_a_configuration_is_shown_at_once_with_its_place() {
    let installation = Installation::new(kinds()[0]).await;
    let text = "server:\n  listen: nowhere\n  colour: red\naccounting:\n  scale: 12\nlog:\n  level: loud\nauth:\n  encryption_key: short\n";
    let file = installation.file("bad.yaml", text).display().to_string();
    let more = [("SAGEAPI_SYNC_USERS_EVERY", "soon"), ("SAGEAPI_TYPO", "1")];
    // Whatever would use the configuration says the same.
    for command in [
        &["config", "check"][..],
        &["config", "print"],
        &["serve"],
        &["migrate"],
        &["verify"],
        &["key", "list"],
    ] {
        let args = [command, &["--config", &file]].concat();
        // The one that the file has, rather than the tests' own.
        let mut env: Vec<_> =
            sageapi_test_support::app::variables(&installation.database.url()).into_iter().collect();
        env.retain(|(name, _)| name != "SAGEAPI_AUTH_ENCRYPTION_KEY" && name != "SAGEAPI_SERVER_LISTEN");
        env.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let output = sageapi_test_support::server::run("sageapi-server", &args, env).await;
        assert_eq!(output.status.code(), Some(64), "{command:?}");
        assert!(output.stdout.is_empty(), "{command:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        for (line, key) in [
            (2, "server.listen"),
            (3, "server.colour"),
            (5, "accounting.scale"),
            (7, "log.level"),
            (9, "auth.encryption_key"),
        ] {
            assert!(
                stderr.contains(&format!("bad.yaml:{line}: {key}")),
                "{command:?}, line {line}: {stderr}"
            );
        }
        assert!(stderr.contains("SAGEAPI_SYNC_USERS_EVERY") && stderr.contains("SAGEAPI_TYPO"), "{stderr}");
        assert!(!stderr.contains("short"), "a secret's value is not shown, however wrong: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_refuses_what_a_server_would_refuse() {
    let installation = Installation::new(kinds()[0]).await;
    let no_pem = installation.file("ca.pem", "no certificate").display().to_string();
    let absent = installation.database.folder().join("absent.pem").display().to_string();
    let upstream = |more: [(&'static str, String); 2]| {
        let mut env = vec![
            ("SAGEAPI_UPSTREAM_URL", "https://sage.invalid".to_owned()),
            ("SAGEAPI_UPSTREAM_AUTH", "bearer".to_owned()),
        ];
        env.extend(more);
        env
    };
    let token = |text: &str| ("SAGEAPI_UPSTREAM_DAPI_SECRET", text.to_owned());
    for (given, key) in [
        (upstream([token("t"), ("SAGEAPI_UPSTREAM_CA_FILE", no_pem)]), "upstream.ca_file"),
        (upstream([token("t"), ("SAGEAPI_UPSTREAM_CA_FILE", absent)]), "upstream.ca_file"),
        (
            upstream([token("t"), ("SAGEAPI_SYNC_USERS_SCHEDULE", "*/61 * * * *".to_owned())]),
            "sync.users.schedule",
        ),
    ] {
        let mut said = Vec::new();
        for command in [&["config", "check"][..], &["serve"]] {
            let mut env = sageapi_test_support::app::variables(&installation.database.url());
            env.extend(given.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
            let output = sageapi_test_support::server::run("sageapi-server", command, env).await;
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(64), "{command:?}: {stderr}");
            assert!(stderr.contains(key), "{command:?}: {stderr}");
            said.push(stderr.lines().last().unwrap_or_default().to_owned());
        }
        assert_eq!(said[0], said[1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_need_no_database_are_what_is_committed() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let committed = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let printed = async |args: &[&str]| {
        let output = cli(args, []).await;
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(output.stderr.is_empty(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(printed(&["openapi"]).await.trim_end(), committed("docs/openapi.json").trim_end());
    assert_eq!(printed(&["config", "docs"]).await.trim_end(), committed("docs/CONFIGURATION.md").trim_end());
    let schema: Value = serde_json::from_str(&printed(&["config", "schema"]).await).unwrap();
    assert!(schema["properties"]["server"].is_object(), "{schema}");
    let version: Value = serde_json::from_str(&printed(&["version", "--output", "json"]).await).unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    let sample = root.join("conf/config.yaml").display().to_string();
    let checked = printed(&["config", "check", "--config", &sample, "--output", "json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&checked).unwrap()["file"], sample, "{checked}");
    let effective: Value =
        serde_json::from_str(&printed(&["config", "print", "--output", "json"]).await).unwrap();
    assert_eq!(effective["accounting"]["currency"], "CNY");
}
