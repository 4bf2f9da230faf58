use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use sageapi_contract::Verdict;
use sageapi_crds::ConditionType;
use serde_json::json;

use crate::bench::{Bench, SECRETS, sageapi};
use crate::kubelet::Migration;

#[tokio::test]
async fn a_missing_secret_is_said_and_its_coming_is_seen() {
    let bench = Bench::new("secret").await;
    let _operator = bench.operator("first", &[]);
    bench.apply(&sageapi(""));
    let condition = bench.condition(ConditionType::CredentialsReady, "False", "SecretNotFound").await;
    assert!(condition.message.contains("database"), "{}", condition.message);
    bench.phase("Resolving").await;
    bench.apply(SECRETS);
    bench.phase("Ready").await;
    bench.condition(ConditionType::CredentialsReady, "True", "Resolved").await;
}

#[tokio::test]
async fn a_missing_entry_is_said_and_its_coming_is_seen() {
    let bench = Bench::new("entry").await;
    bench.apply(&SECRETS.replace("url:", "uri:"));
    let _operator = bench.operator("first", &[]);
    bench.apply(&sageapi(""));
    let condition = bench.condition(ConditionType::CredentialsReady, "False", "KeyMissing").await;
    assert!(condition.message.contains("url"), "{}", condition.message);
    bench.apply(SECRETS);
    bench.phase("Ready").await;
}

#[tokio::test]
async fn a_wrong_specification_touches_nothing_that_runs_and_its_correction_is_followed() {
    let bench = Bench::new("spec").await;
    let operator = bench.converged("").await;
    let deployments = bench.api::<Deployment>();
    let before = deployments.get("prod").await.unwrap().metadata.generation;
    bench.apply(&sageapi("").replace("every: 30s", "schedule: 61 * * * *"));
    bench.condition(ConditionType::SpecValid, "False", "InvalidSpec").await;
    bench.phase("Invalid").await;
    bench.settled(&operator).await;
    assert_eq!(deployments.get("prod").await.unwrap().metadata.generation, before);
    let prod = bench.prod().await.status.unwrap();
    assert_eq!(prod.condition(ConditionType::Ready).unwrap().status, "True", "the old pods serve");
    bench.apply(&sageapi(""));
    bench.phase("Ready").await;
}

#[tokio::test]
async fn a_failed_migration_is_tried_again_and_then_waits_for_someone() {
    let bench = Bench::new("migration").await;
    bench.apply(SECRETS);
    bench.kubelet.behave(|behaviour| behaviour.migration = Migration::fails());
    let _operator = bench.operator("first", &[]);
    let spec = sageapi("").replace("mysql:", "migration: {maxAttempts: 2}, mysql:");
    bench.apply(&spec);
    bench.phase("MigrationFailed").await;
    let stalled = bench.condition(ConditionType::Stalled, "True", "BackoffLimitExceeded").await;
    assert!(!stalled.message.is_empty());
    let migration = bench.prod().await.status.unwrap().migration.unwrap();
    assert_eq!(migration.attempts, Some(2));
    assert_eq!(bench.api::<Deployment>().get_opt("prod").await.unwrap(), None);
    bench.kubelet.behave(|behaviour| behaviour.migration = Migration::succeeds());
    bench.kubectl("annotate sageapi prod sageapi.io/retry-migration=1");
    bench.phase("Ready").await;
}

#[tokio::test]
async fn a_database_that_refuses_the_image_blocks_it_while_old_pods_serve() {
    let bench = Bench::new("blocked").await;
    let operator = bench.converged("").await;
    bench.kubelet.behave(|behaviour| behaviour.migration = Migration::refused(Verdict::Newer));
    let other = "  image: {repository: sageapi.io/sageapi-server, tag: older}";
    bench.apply(&sageapi(other));
    bench.phase("Blocked").await;
    bench.condition(ConditionType::SchemaUpToDate, "False", "NewerSchema").await;
    bench.settled(&operator).await;
    let deployment = bench.api::<Deployment>().get("prod").await.unwrap();
    let image = deployment.spec.unwrap().template.spec.unwrap().containers[0].image.clone();
    assert_eq!(image.as_deref(), Some("sageapi.io/sageapi-server:test"));
    // The image before finds the schema as it left it.
    bench.kubelet.behave(|behaviour| behaviour.migration = Migration::succeeds());
    bench.apply(&sageapi(""));
    bench.phase("Ready").await;
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_waited_for() {
    let bench = Bench::new("unreachable").await;
    bench.apply(SECRETS);
    bench.kubelet.behave(|behaviour| behaviour.migration = Migration::unreachable());
    let _operator = bench.operator("first", &[]);
    bench.apply(&sageapi(""));
    bench.condition(ConditionType::DatabaseReady, "False", "Unreachable").await;
    bench.kubelet.behave(|behaviour| behaviour.migration = Migration::succeeds());
    bench.phase("Ready").await;
}

#[tokio::test]
async fn an_outage_that_instances_tell_of_is_said_and_so_is_its_end() {
    let bench = Bench::new("outage").await;
    bench.kubelet.behave(|behaviour| {
        behaviour.health["database"] = json!({"kind": "mysql", "status": "away"});
    });
    bench.apply(SECRETS);
    let _operator = bench.operator("first", &[]);
    bench.apply(&sageapi(""));
    bench.condition(ConditionType::DatabaseReady, "False", "Unreachable").await;
    bench.phase("Resolving").await;
    bench.condition(ConditionType::Ready, "True", "AllReady").await;
    bench.kubelet.behave(|behaviour| behaviour.health["database"]["status"] = "ok".into());
    bench.phase("Ready").await;
    bench.condition(ConditionType::DatabaseReady, "True", "Reachable").await;
}

#[tokio::test]
async fn a_withdrawn_migration_that_has_not_begun_is_deleted() {
    let bench = Bench::new("unbegun").await;
    let _operator = bench.converged("").await;
    let before = job_uids(&bench).await;
    bench.kubelet.behave(|behaviour| behaviour.migration = Migration::Waits);
    bench.apply(&sageapi(OTHER));
    bench.condition(ConditionType::SchemaUpToDate, "False", "Running").await;
    bench
        .until("it has its pod", async || {
            let pods = bench.api::<Pod>().list(&ListParams::default()).await.unwrap();
            pods.iter().any(|pod| pod.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Pending")))
        })
        .await;
    bench.apply(&sageapi(""));
    bench.phase("Ready").await;
    assert_eq!(job_uids(&bench).await, before);
}

#[tokio::test]
async fn a_withdrawn_migration_that_runs_ends_and_is_followed_by_a_check() {
    let bench = Bench::new("begun").await;
    let operator = bench.converged("").await;
    let before = job_uids(&bench).await;
    bench.kubelet.behave(|behaviour| behaviour.migration = Migration::Runs);
    bench.apply(&sageapi(OTHER));
    bench
        .until("it runs", async || {
            let pods = bench
                .api::<Pod>()
                .list(&ListParams::default().labels("batch.kubernetes.io/job-name"))
                .await
                .unwrap();
            pods.iter().any(|pod| pod.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Running")))
        })
        .await;
    bench.apply(&sageapi(""));
    bench.condition(ConditionType::SchemaUpToDate, "False", "Pending").await;
    bench.settled(&operator).await;
    bench.phase("Migrating").await;
    bench.kubelet.behave(|behaviour| behaviour.migration = Migration::succeeds());
    bench.phase("Ready").await;
    let events = bench.kubectl("get events.events.k8s.io -o yaml");
    assert!(events.contains("MigrationWithdrawn"), "{events}");
    bench.until("the withdrawn Job is gone", async || job_uids(&bench).await.len() == 1).await;
    let after = job_uids(&bench).await;
    assert_ne!(after, before, "the wanted image has looked again");
}

const OTHER: &str = "  image: {repository: sageapi.io/sageapi-server, tag: other}";

async fn job_uids(bench: &Bench) -> Vec<String> {
    let jobs = bench.api::<Job>().list(&ListParams::default()).await.unwrap();
    jobs.iter().map(|job| job.metadata.uid.clone().unwrap()).collect()
}

#[tokio::test]
async fn the_mirror_s_health_is_asked_of_an_instance() {
    let bench = Bench::new("health").await;
    bench.kubelet.behave(|behaviour| {
        behaviour.health["sync"]["users"] =
            json!({"age_s": 10_000.0, "status": "failed", "error_class": "unauthorized"});
    });
    bench.apply(SECRETS);
    let _operator = bench.operator("first", &[]);
    bench.apply(&sageapi(""));
    let condition = bench.condition(ConditionType::SyncHealthy, "False", "SyncFailing").await;
    assert!(condition.message.contains("users"), "{}", condition.message);
    let sync = bench.prod().await.status.unwrap().sync;
    let users = sync.iter().find(|sync| sync.entity == "users").unwrap();
    assert_eq!((users.state.as_str(), users.reason.as_deref()), ("Failing", Some("unauthorized")));
}

#[tokio::test]
async fn nothing_secret_is_in_status_events_or_logs() {
    let bench = Bench::new("hidden").await;
    let operator = bench.converged("").await;
    let said = [
        bench.kubectl("get sageapi prod -o yaml"),
        bench.kubectl("get events.events.k8s.io -o yaml"),
        bench.kubectl("get configmaps,deployments,jobs,pods -o yaml"),
        operator.log(),
    ];
    for text in said {
        assert!(!text.contains("hidden-password") && !text.contains("hidden-secret"), "{text}");
    }
}

#[tokio::test]
async fn a_paused_resource_is_left_alone_and_says_what_waits() {
    let bench = Bench::new("paused").await;
    let operator = bench.converged("").await;
    bench.apply(&sageapi("  paused: true\n  server: {requestTimeout: 7s}"));
    bench.phase("Paused").await;
    let before = bench.writes().await.len();
    bench.kubectl("delete service prod");
    bench.settled(&operator).await;
    bench
        .until("it says that the Service is missing", async || {
            let waiting = bench.prod().await.status.unwrap().would_change;
            waiting.iter().any(|change| change.contains("Service prod"))
        })
        .await;
    let written = bench.writes().await.split_off(before);
    assert!(written.iter().all(|write| write.subresource == "status"), "{written:?}");
    bench.apply(&sageapi("  server: {requestTimeout: 7s}"));
    bench.phase("Ready").await;
}
