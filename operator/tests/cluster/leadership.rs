use k8s_openapi::api::coordination::v1::Lease;

use crate::bench::{Bench, SECRETS, sageapi};

#[tokio::test]
async fn of_two_operators_one_acts_and_the_other_takes_over_at_once_on_a_stop() {
    let bench = Bench::new("handover").await;
    let mut first = bench.operator("first", &[]);
    bench.until("the first leads", async || first.leads()).await;
    let second = bench.operator("second", &[]);
    bench.until("the second is ready", async || second.is_ready()).await;
    assert!(!second.leads());
    assert!(first.terminate().success());
    bench.until("the second leads", async || second.leads()).await;
    let lease = bench.api::<Lease>().get("sageapi-operator").await.unwrap().spec.unwrap();
    assert!(lease.holder_identity.unwrap().starts_with("second_"));
    assert_eq!(lease.lease_transitions, Some(1));
    bench.apply(SECRETS);
    bench.apply(&sageapi(""));
    bench.phase("Ready").await;
}

#[tokio::test]
async fn a_killed_leader_is_replaced_and_its_work_is_finished_with_one_migration() {
    let bench = Bench::new("killed").await;
    bench.apply(SECRETS);
    bench.kubelet.behave(|behaviour| behaviour.migration = crate::kubelet::Migration::Runs);
    let mut first = bench.operator("first", &[]);
    bench.apply(&sageapi(""));
    bench.phase("Migrating").await;
    let second = bench.operator("second", &[]);
    bench.until("the second is ready", async || second.is_ready()).await;
    first.kill();
    bench.kubelet.behave(|behaviour| behaviour.migration = crate::kubelet::Migration::succeeds());
    bench.phase("Ready").await;
    assert!(second.leads());
    let jobs =
        bench.writes().await.into_iter().filter(|w| w.resource == "jobs" && w.verb == "create").count();
    assert_eq!(jobs, 1);
}

#[tokio::test]
async fn an_operator_that_does_not_lead_writes_nothing() {
    let bench = Bench::new("standby").await;
    let first = bench.operator("first", &[]);
    bench.until("the first leads", async || first.leads()).await;
    let second = bench.operator("second", &[]);
    bench.until("the second is ready", async || second.is_ready()).await;
    bench.apply(SECRETS);
    bench.apply(&sageapi(""));
    bench.phase("Ready").await;
    let text = second.get("/metrics");
    let writes: Vec<&str> =
        text.lines().filter(|line| line.starts_with("sageapi_operator_api_writes_total{")).collect();
    assert!(!writes.is_empty() && writes.iter().all(|line| line.ends_with(" 0")), "{writes:?}");
    assert!(text.contains("sageapi_operator_watch_last_event_age_seconds{kind=\"SageApi\"}"), "{text}");
}
