use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sageapi_process_tests::Installation;
use sageapi_process_tests::installation::SCOPES;
use sageapi_test_support::app::variables;
use sageapi_test_support::database::{Kind, kinds};
use sageapi_test_support::server::binary;

/// Runs a program whose reader has gone away before it says a word. Its exit code, and what it complained of.
fn unread(program: &str, args: &[&str], url: &str) -> (Option<i32>, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(binary(program));
    command.args(args).envs(variables(url)).stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_whose_reader_goes_away_ends_quietly() {
    // What is printed, and where, is the same on either kind.
    let kind = if kinds().contains(&Kind::Sqlite) { Kind::Sqlite } else { Kind::MySql };
    let installation = Installation::new(kind).await;
    installation.seed(&["org_a".to_owned()], "10").await;
    let key = installation.key("org_a").await;
    let secret = installation.file("secret", &key.secret).display().to_string();
    let sample = workspace("init/data.json").display().to_string();
    let manifest = workspace("examples/3-sageapi.yaml").display().to_string();
    let server: [&[&str]; 25] = [
        &["--help"],
        &["--version"],
        &["customer", "--help"],
        &["version"],
        &["openapi"],
        &["config", "check"],
        &["config", "print"],
        &["config", "schema"],
        &["config", "docs"],
        &["sign", "--key-id", &key.key_id, "--secret-file", &secret, "http://127.0.0.1/api/v1/balance"],
        &["migrate"],
        &["migrate", "--plan"],
        &["migrate", "--status"],
        &["seed", &sample],
        &["customer", "create", "org_b"],
        &["customer", "credit", "org_a", "1", "--transno", "T-1"],
        &["customer", "set-mode", "org_a", "default"],
        &["customer", "set-limit", "org_a", "1"],
        &["customer", "suspend", "org_a"],
        &["customer", "show", "org_a"],
        &["key", "create", "--customer", "org_a", "--scopes", SCOPES],
        &["key", "list"],
        &["key", "revoke", &key.key_id],
        &["key", "reencrypt"],
        &["verify"],
    ];
    let operator: [&[&str]; 4] = [&["--help"], &["version"], &["crd"], &["render", "-f", &manifest]];
    let simulator: [&[&str]; 2] = [&["--help"], &["--print-world", "json"]];
    let url = installation.database.url();
    for (program, commands) in [
        ("sageapi-server", server.as_slice()),
        ("sageapi-operator", &operator),
        ("sageapi-upstream-sim", &simulator),
    ] {
        for args in commands {
            for format in [&[][..], &["--output", "json"]] {
                let args = [*args, format].concat();
                if program == "sageapi-server" || format.is_empty() {
                    let (code, said) = unread(program, &args, &url);
                    assert!(
                        matches!(code, Some(0 | 141)) || args.starts_with(&["customer", "create"]),
                        "{program} {args:?}: {code:?} {said}"
                    );
                    assert!(said.is_empty() || said.contains("already"), "{program} {args:?}: {said}");
                }
            }
        }
    }
    assert_eq!(
        installation.database.int("SELECT COUNT(*) FROM accounting_records").await,
        5,
        "all of it was done"
    );
}
