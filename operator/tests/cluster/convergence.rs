use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::ListParams;
use sageapi_crds::ConditionType;

use crate::bench::{Bench, SECRETS, sageapi};
use crate::kubelet::Migration;

#[tokio::test]
async fn a_manifest_becomes_a_served_installation_with_at_most_twelve_writes() {
    let bench = Bench::new("apply").await;
    bench.apply(SECRETS);
    let operator = bench.operator("first", &[]);
    bench.until("the operator leads", async || operator.leads()).await;
    let statuses = bench.follow_statuses();
    bench.apply(&sageapi("  instances: 2"));
    bench.phase("Ready").await;
    bench.settled(&operator).await;

    let writes = bench.writes().await;
    // A status made for the version before somebody else's write is refused, and made again.
    let passed = |code: u16, subresource: &str| code < 300 || (code == 409 && subresource == "status");
    assert!(writes.iter().all(|write| passed(write.code, &write.subresource)), "{writes:#?}");
    let (statuses_written, others): (Vec<_>, Vec<_>) =
        writes.into_iter().partition(|write| write.subresource == "status");
    let (events, objects): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|write| write.resource == "events");
    // Every state of the resource passes a watch, so that those up to the first which says Ready can be counted.
    let seen = statuses.await.unwrap();
    let until_ready = 1 + seen.iter().position(|ready| ready == "True").unwrap();
    assert!(until_ready <= statuses_written.len(), "{seen:?}, {statuses_written:?}");
    let made: Vec<String> =
        objects.iter().map(|write| format!("{} {}", write.verb, write.resource)).collect();
    assert!(objects.len() + until_ready <= 12, "{made:?} and {until_ready} statuses");
    assert!(events.len() <= 1, "{events:?}");

    let status = bench.prod().await.status.unwrap();
    assert_eq!((status.instances, status.ready.as_deref()), (Some(2), Some("2/2")));
    assert_eq!(status.database.unwrap().schema_version, Some(3));
    eprintln!("writes until Ready: {} and {until_ready} of the status", objects.len());
    eprintln!("resident memory of the operator: {} KB", operator.resident() / 1024);
}

#[tokio::test]
async fn a_converged_resource_costs_no_write_and_neither_does_a_restart() {
    let bench = Bench::new("idle").await;
    let mut operator = bench.converged("  instances: 2").await;
    bench.settled(&operator).await;
    let before = bench.writes().await.len();
    for _ in 0..3 {
        bench.settled(&operator).await;
    }
    assert_eq!(bench.writes().await.split_off(before), [], "idle");

    assert!(operator.terminate().success());
    let again = bench.operator("second", &[]);
    bench.until("the operator leads", async || again.leads()).await;
    bench.settled(&again).await;
    assert_eq!(bench.writes().await.split_off(before), [], "over a restart");
}

#[tokio::test]
async fn what_someone_else_changes_or_deletes_is_put_right() {
    let bench = Bench::new("drift").await;
    let operator = bench.converged("").await;
    bench.kubectl("set image deployment/prod server=somebody/else:1");
    let deployments = bench.api::<Deployment>();
    bench
        .until("the image is put right", async || {
            let deployment = deployments.get("prod").await.unwrap();
            let pod = deployment.spec.unwrap().template.spec.unwrap();
            pod.containers[0].image.as_deref() == Some("sageapi.io/sageapi-server:test")
        })
        .await;
    assert!(operator.metric("sageapi_operator_drift_corrected_total{kind=\"Deployment\"}") >= 1.0);

    bench.kubectl("delete service prod");
    let services = bench.api::<Service>();
    bench.until("the Service is back", async || services.get_opt("prod").await.unwrap().is_some()).await;
}

#[tokio::test]
async fn what_others_add_stays() {
    let bench = Bench::new("foreign").await;
    let operator = bench.converged("").await;
    bench.kubectl("annotate service prod team=billing");
    bench.kubectl("rollout restart deployment prod");
    bench.settled(&operator).await;
    bench.settled(&operator).await;
    let service = bench.api::<Service>().get("prod").await.unwrap();
    assert_eq!(service.metadata.annotations.unwrap()["team"], "billing");
    let deployment = bench.api::<Deployment>().get("prod").await.unwrap();
    let template = deployment.spec.unwrap().template.metadata.unwrap();
    assert!(template.annotations.unwrap().contains_key("kubectl.kubernetes.io/restartedAt"));
}

#[tokio::test]
async fn scaling_reaches_the_deployment_and_makes_no_new_migration() {
    let bench = Bench::new("scale").await;
    let _operator = bench.converged("").await;
    let jobs = || async { bench.api::<Job>().list(&ListParams::default()).await.unwrap().items.len() };
    let before = jobs().await;
    bench.kubectl("scale sageapi prod --replicas=3");
    bench
        .until("three serve", async || {
            let status = bench.prod().await.status.unwrap();
            status.ready.as_deref() == Some("3/3") && status.phase.as_deref() == Some("Ready")
        })
        .await;
    assert_eq!(jobs().await, before);
}

#[tokio::test]
async fn a_rotated_secret_rolls_the_pods_once_and_is_seen_at_once() {
    let bench = Bench::new("rotate").await;
    let operator = bench.converged("").await;
    let deployments = bench.api::<Deployment>();
    let generation = async || deployments.get("prod").await.unwrap().metadata.generation.unwrap();
    let before = generation().await;
    bench.apply(&SECRETS.replace("hidden-secret", "another-secret"));
    bench.until("the Deployment changes", async || generation().await == before + 1).await;
    bench.phase("Ready").await;
    bench.settled(&operator).await;
    assert_eq!(generation().await, before + 1);
}

#[tokio::test]
async fn deleting_the_resource_leaves_the_keys_and_a_new_one_takes_them_up() {
    let bench = Bench::new("delete").await;
    let _operator = bench.converged("").await;
    let secrets = bench.api::<Secret>();
    let keys = secrets.get("prod-keys").await.unwrap();
    bench.kubectl("delete sageapi prod");
    let deployments = bench.api::<Deployment>();
    bench.until("children go", async || deployments.get_opt("prod").await.unwrap().is_none()).await;
    bench
        .until("copies go", async || secrets.list(&ListParams::default()).await.unwrap().items.len() == 3)
        .await;
    bench.apply(&sageapi(""));
    bench.phase("Ready").await;
    assert_eq!(secrets.get("prod-keys").await.unwrap().data, keys.data);
}

#[tokio::test]
async fn the_deployment_waits_for_the_migration() {
    let bench = Bench::new("gate").await;
    bench.apply(SECRETS);
    bench.kubelet.behave(|behaviour| behaviour.migration = Migration::Runs);
    let operator = bench.operator("first", &[]);
    bench.apply(&sageapi(""));
    bench.condition(ConditionType::SchemaUpToDate, "False", "Running").await;
    bench.settled(&operator).await;
    assert_eq!(bench.api::<Deployment>().get_opt("prod").await.unwrap(), None);
    bench.kubelet.behave(|behaviour| behaviour.migration = Migration::succeeds());
    bench.phase("Ready").await;
}
