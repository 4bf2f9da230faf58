use std::net::TcpListener;

use sageapi_process_tests::installation::SCOPES;
use sageapi_process_tests::{Installation, SimProcess};
use sageapi_test_support::database::kinds;
use sageapi_test_support::server::cli;
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_ends_with_64_and_says_what_is_wrong() {
    let installation = Installation::new(kinds()[0]).await;
    installation.json(&["customer", "create", "org_a"]).await;
    installation.json(&["customer", "credit", "org_a", "1", "--transno", "T-1"]).await;
    installation.json(&["key", "create", "--platform", "--scopes", "users:read", "--name", "taken"]).await;
    let broken = installation.file("broken.json", "{\"customers\": [").display().to_string();
    let cases: &[(&[&str], &str)] = &[
        (&["nonsense"], "nonsense"),
        (&["customer"], "Usage"),
        (&["customer", "create"], "<ID>"),
        (&["customer", "create", "org a"], "org a"),
        (&["customer", "create", "org_a"], "already"),
        (&["customer", "create", "org_b", "--currency", "yuan"], "yuan"),
        (&["customer", "show", "org_nobody"], "customer"),
        (&["customer", "credit", "org_a", "1"], "--transno"),
        (&["customer", "credit", "org_a", "1e3", "--transno", "T-2"], "1e3"),
        (&["customer", "credit", "org_a", "-5", "--transno", "T-2"], "-5"),
        (&["customer", "credit", "org_a", "0", "--transno", "T-2"], "above zero"),
        (&["customer", "credit", "org_a", "0.000", "--transno", "T-2"], "above zero"),
        (&["customer", "credit", "org_a", "0.0000000001", "--transno", "T-2"], "0.0000000001"),
        (&["customer", "credit", "org_a", "9000000001", "--transno", "T-2"], "9000000001"),
        (&["customer", "credit", "org_a", "2", "--transno", "T-1"], "transno"),
        (&["customer", "credit", "org_a", "2", "--transno", "seed:org_a"], "reserved"),
        (&["customer", "credit", "org_nobody", "2", "--transno", "T-2"], "customer"),
        (&["customer", "set-mode", "org_a", "lenient"], "lenient"),
        (&["customer", "set-limit", "org_a", "much"], "much"),
        (&["key", "create", "--scopes", SCOPES], "--customer"),
        (&["key", "create", "--platform", "--customer", "org_a", "--scopes", SCOPES], "--platform"),
        (&["key", "create", "--customer", "org_a"], "--scopes"),
        (&["key", "create", "--customer", "org_a", "--scopes", "balance:write"], "balance:write"),
        (&["key", "create", "--customer", "org_a", "--scopes", "admin"], "admin"),
        (&["key", "create", "--customer", "org_a", "--scopes", ""], "scopes"),
        (&["key", "create", "--platform", "--scopes", "users:read", "--name", "taken"], "key"),
        (&["key", "create", "--platform", "--scopes", "users:read", "--auth-mode", "basic"], "basic"),
        (&["key", "create", "--platform", "--scopes", "users:read", "--expires", "tomorrow"], "--expires"),
        (&["key", "create", "--platform", "--scopes", "users:read", "--cidrs", "10.0.0.0/99"], "10.0.0.0/99"),
        (&["key", "rotate", "ak_0000000000000000"], "key"),
        (&["key", "rotate", "somebody"], "key not found"),
        (&["key", "revoke", "ak_0000000000000000"], "key"),
        (&["sync", "users"], "--once"),
        (&["sync", "--once"], "upstream.url"),
        (&["sync", "--once", "balances"], "balances"),
        (&["seed", "/nowhere/seed.json"], "/nowhere/seed.json"),
        (&["seed", &broken], "broken.json"),
        (&["migrate", "--plan", "--status"], "--status"),
        (&["verify", "--config", "/nowhere/config.yaml"], "/nowhere/config.yaml"),
        (&["verify", "--output", "xml"], "xml"),
        (&["sign", "--key-id", "ak_0", "--secret-file", "/nowhere/secret", "http://h/"], "/nowhere/secret"),
        (&["sign", "--key-id", "ak_0", "--secret-file", &broken, "h/api/v1/balance"], "http://"),
    ];
    for (args, names) in cases {
        let ended = installation.command(args).await;
        assert_eq!(ended.code, 64, "{args:?}: {ended:?}");
        assert_eq!(ended.stdout, "", "{args:?}");
        assert!(ended.stderr.contains(names), "{args:?} should name {names}: {}", ended.stderr);
        assert!(
            !ended.stderr.contains("SELECT") && !ended.stderr.contains("panicked"),
            "{args:?}: {}",
            ended.stderr
        );
    }
    assert_eq!(installation.verify().await, 1, "none of it booked anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_reached_ends_every_command_with_69() {
    // Bound and never listening: nothing else can take the port, and nothing answers there.
    let nobody = tokio::net::TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url =
        format!("mysql://sageapi:not-to-be-shown@127.0.0.1:{}/sageapi", nobody.local_addr().unwrap().port());
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../init/data.json");
    let commands: [&[&str]; 7] = [
        &["verify"],
        &["customer", "show", "org_a"],
        &["key", "list"],
        &["key", "reencrypt"],
        &["seed", sample],
        &["migrate"],
        &["migrate", "--plan"],
    ];
    let runs = commands.map(|args| {
        let (args, url) = (args.to_vec(), url.clone());
        tokio::spawn(async move {
            let output = cli(&args, [("SAGEAPI_DATABASE_URL", url.as_str())]).await;
            (args, output)
        })
    });
    for run in runs {
        let (args, output) = run.await.unwrap();
        assert_eq!(output.status.code(), Some(69), "{args:?}: {output:?}");
        let (stdout, stderr) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(
            !stdout.contains("not-to-be-shown") && !stderr.contains("not-to-be-shown"),
            "{stdout}{stderr}"
        );
        let why = if args[0] == "migrate" {
            let result: Value = serde_json::from_str(&stdout).unwrap();
            assert_eq!(result["verdict"], "unreachable", "{args:?}");
            result["message"].as_str().unwrap().to_owned()
        } else {
            assert_eq!(stdout, "", "{args:?}");
            stderr
        };
        assert!(why.contains("refused"), "{args:?} should tell the cause: {why}");
    }
    let file = "sqlite:/proc/nowhere/sage.db";
    let output = cli(&["migrate"], [("SAGEAPI_DATABASE_URL", file)]).await;
    assert_eq!(output.status.code(), Some(69), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_cannot_be_reached_ends_sync_with_69_and_a_run_elsewhere_with_75() {
    for kind in kinds() {
        let mut installation = Installation::new(kind).await;
        let sim = SimProcess::start(&["--users", "40"]).await;
        installation.set("SAGEAPI_UPSTREAM_URL", sim.url());
        installation.set("SAGEAPI_UPSTREAM_DAPI_KEY", sageapi_upstream_sim::DEMO_KEY);
        installation.set("SAGEAPI_UPSTREAM_DAPI_SECRET", sageapi_upstream_sim::DEMO_SECRET);
        sim.fault(serde_json::json!({"mode": "status", "status": 500})).await;
        let failed = installation.command(&["sync", "--once", "users"]).await;
        assert_eq!((failed.code, failed.stdout.as_str()), (69, ""), "{failed:?}");
        assert!(failed.stderr.contains("500"), "{failed:?}");
        sim.no_fault().await;
        assert_eq!(installation.json(&["sync", "--once", "users"]).await[0]["upserts"], 40);

        let far = i64::MAX / 2;
        let held = format!(
            "UPDATE sync_state SET lease_owner = 'somebody', lease_until = {far} WHERE entity_type = 'users'"
        );
        installation.database.execute(&held).await;
        let busy = installation.command(&["sync", "--once", "users"]).await;
        assert_eq!((busy.code, busy.stdout.as_str()), (75, ""), "{busy:?}");

        installation.set("SAGEAPI_UPSTREAM_DAPI_SECRET", "another secret");
        let refused = installation.command(&["sync", "--once", "uapi"]).await;
        assert_eq!(refused.code, 69, "{refused:?}");
        assert!(
            refused.stderr.contains("401") && refused.stderr.contains("upstream.dapi_key"),
            "{refused:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_ends_serve_with_69() {
    let installation = Installation::new(kinds()[0]).await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for variable in ["SAGEAPI_SERVER_LISTEN", "SAGEAPI_ADMIN_LISTEN"] {
        let mut process = installation.server().env(variable, &address.to_string()).spawn();
        let status = process.wait(std::time::Duration::from_secs(30)).await;
        let stderr = process.stderr().join("\n");
        assert_eq!(status.code(), Some(69), "{variable}: {stderr}");
        assert!(stderr.contains(&address.to_string()) && stderr.contains("in use"), "{variable}: {stderr}");
    }
}
