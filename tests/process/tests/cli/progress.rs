use std::process::{Command, Stdio};

use sageapi_process_tests::{Installation, SimProcess};
use sageapi_test_support::app::variables;
use sageapi_test_support::database::kinds;
use sageapi_test_support::server::binary;
use sageapi_upstream_sim::{DEMO_KEY, DEMO_SECRET};
use serde_json::json;

/// What a person sees who runs a command at a terminal, which `script` of util-linux is.
fn at_a_terminal(url: &str, sim: &SimProcess, args: &str) -> String {
    let command = format!("{} {args}", binary("sageapi-server").display());
    let output = Command::new("script")
        .args(["-q", "-e", "-c", &command, "/dev/null"])
        .envs(variables(url))
        .env("SAGEAPI_UPSTREAM_URL", sim.url())
        .env("SAGEAPI_UPSTREAM_DAPI_KEY", DEMO_KEY)
        .env("SAGEAPI_UPSTREAM_DAPI_SECRET", DEMO_SECRET)
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("script: {e}; install it with: apt-get install -y bsdutils"));
    let seen = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{args}: {seen}");
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn long_work_shows_its_progress_at_a_terminal_and_nowhere_else() {
    for kind in kinds() {
        let mut installation = Installation::new(kind).await;
        let sim = SimProcess::start(&["--users", "120"]).await;
        let customers: Vec<_> = (0..30).map(|n| json!({"id": format!("org_{n}"), "credit": "5"})).collect();
        let seed = installation.file("many.json", &json!({"customers": customers}).to_string());
        let seed = format!("seed {}", seed.display());
        installation.set("SAGEAPI_UPSTREAM_URL", sim.url());
        installation.set("SAGEAPI_UPSTREAM_DAPI_KEY", DEMO_KEY);
        installation.set("SAGEAPI_UPSTREAM_DAPI_SECRET", DEMO_SECRET);
        installation.json(&["key", "create", "--platform", "--scopes", "users:read"]).await;
        let url = installation.database.url();
        for (args, words) in [
            (&*seed, ["entries:", " of 30, ", "/s, ", " left"]),
            ("verify", ["records:", " of 30, ", "/s, ", " left"]),
            ("key reencrypt", ["keys:", " of 1, ", "/s, ", " left"]),
            ("sync --once users", ["users:", "/s, ", "s so far", "users"]),
        ] {
            let seen = at_a_terminal(&url, &sim, args);
            for word in words {
                assert!(seen.contains(word), "{kind}: {args}: no {word:?} in {seen:?}");
            }
            let quiet = at_a_terminal(&url, &sim, &format!("--quiet {args}"));
            assert!(!quiet.contains("/s, ") && !quiet.contains('\u{1b}'), "{kind}: {args}: {quiet:?}");
            let piped = installation.command(&args.split(' ').collect::<Vec<_>>()).await;
            assert_eq!((piped.code, piped.stderr.as_str()), (0, ""), "{kind}: {args}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_names_its_steps_at_a_terminal() {
    for kind in kinds() {
        let sim = SimProcess::start(&["--users", "1"]).await;
        let database = sageapi_test_support::database::TestDatabase::fresh(kind).await;
        let seen = at_a_terminal(&database.url(), &sim, "migrate");
        assert!(
            seen.contains("migration 0001_customer_balance, 0 of ") && seen.contains(" so far"),
            "{seen:?}"
        );
    }
}
