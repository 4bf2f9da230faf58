use std::time::Duration;

use sageapi_process_tests::installation::{MadeKey, SCOPES};
use sageapi_process_tests::waiting::until;
use sageapi_process_tests::{Installation, SimProcess};
use sageapi_test_support::app::{ENCRYPTION_KEY, TOKEN_PEPPER, UAPI_SECRET};
use sageapi_test_support::database::kinds;
use sageapi_upstream_sim::DEMO_SECRET;
use serde_json::json;

const CUSTOMER: &str = "org_secrets";

/// Signs with everything logged that can be logged, and gets it wrong in every way that comes to mind.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_shows_in_a_log_or_in_a_printed_configuration() {
    for kind in kinds() {
        let mut installation = Installation::new(kind).await;
        let sim = SimProcess::start(&["--users", "20"]).await;
        installation.set("SAGEAPI_LOG_LEVEL", "trace");
        let platform = installation.seed(&[CUSTOMER.to_owned()], "10").await;
        let signed = installation.key(CUSTOMER).await;
        let bearer = ["key", "create", "--customer", CUSTOMER, "--scopes", SCOPES, "--auth-mode", "bearer"];
        let bearer = MadeKey::of(&installation.json(&bearer).await);
        let server = sim.mirrored_by(installation.server(), Duration::from_millis(200)).start().await;

        let client = signed.client(&server.http());
        let users = || async {
            (platform.client(&server.http()).get("/users").await.rows().len() == 20).then_some(())
        };
        until("the platform is mirrored", Duration::from_secs(30), users).await;
        let charge = json!({"transno": "T-1", "kind": "charge", "amount": "1"});
        assert_eq!(client.post("/accounting", &charge).await.status, 201);
        let call = || client.call(http::Method::GET, "/balance");
        assert_eq!(call().bearer(&bearer.secret).send().await.status, 200);
        assert_eq!(call().api_key(&bearer.secret).send().await.status, 200);
        // Secrets where they do not belong.
        assert_eq!(call().bearer(&signed.secret).send().await.status, 401);
        assert_eq!(call().key(&signed.secret, &signed.key_id).send().await.status, 401);
        assert_eq!(
            call()
                .unsigned()
                .header("authorization", &format!("Basic {}", signed.secret))
                .send()
                .await
                .status,
            401
        );
        let target = format!("/balance?api_key={}", signed.secret);
        assert_eq!(client.get(&target).await.problem(), (400, "unknown_parameter"));
        assert_eq!(sim.event(&server.http(), UAPI_SECRET, "users", &["user_demo_0001"]).await, 202);
        sim.fault(json!({"mode": "status", "status": 401})).await;
        let failed = || async {
            let health = client.fetch(&format!("{}/api/v1/health", server.http())).await;
            (health.data()["sync"]["users"]["error_class"] == "unauthorized").then_some(())
        };
        until("the platform refuses", Duration::from_secs(30), failed).await;
        // What a process wrote is read by a thread of its own.
        let told = || async { server.stderr().join("\n").contains("the run failed").then_some(()) };
        until("the log tells of the run", Duration::from_secs(30), told).await;
        let health = client.fetch(&format!("{}/api/v1/health", server.http())).await.text();
        let metrics = client.fetch(&format!("{}/metrics", server.admin())).await.text();

        let mut said = vec![server.stderr().join("\n"), health, metrics];
        let rotated = MadeKey::of(&installation.json(&["key", "rotate", &signed.key_id]).await);
        installation.set("SAGEAPI_UPSTREAM_URL", sim.url());
        installation.set("SAGEAPI_UPSTREAM_DAPI_KEY", "ak_0000000000000000");
        installation.set("SAGEAPI_UPSTREAM_DAPI_SECRET", DEMO_SECRET);
        let commands: [&[&str]; 7] = [
            &["verify"],
            &["key", "list"],
            &["key", "rotate", "ak_0000000000000000"],
            &["sync", "--once"],
            &["config", "check"],
            &["config", "print"],
            &["config", "print", "--output", "json"],
        ];
        for command in commands {
            let ended = installation.command(command).await;
            said.extend([ended.stdout, ended.stderr]);
        }
        let url = installation.database.url();
        let password = url
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('@'))
            .and_then(|(user, _)| user.split_once(':'));
        let secrets = [
            ("the encryption key", ENCRYPTION_KEY),
            ("the pepper", TOKEN_PEPPER),
            ("the events' secret", UAPI_SECRET.trim_start_matches("whsec_")),
            ("the platform's secret", DEMO_SECRET),
            ("a signing secret", &signed.secret),
            ("a rotated secret", &rotated.secret),
            ("a platform key's secret", &platform.secret),
            ("a bearer token", &bearer.secret),
            ("the database's password", password.map_or("-none-", |(_, password)| password)),
        ];
        assert!(said[0].contains("\"TRACE\"") && said[0].contains("the run failed"), "{}", said[0]);
        for (what, secret) in secrets {
            for text in &said {
                let line = text.lines().find(|line| line.contains(secret));
                assert_eq!(line, None, "{kind}: {what} is shown");
            }
        }
    }
}
