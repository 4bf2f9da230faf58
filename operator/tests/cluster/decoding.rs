use sageapi_test_cluster::ControlPlane;
use serde_json::json;

use crate::bench::{Bench, SECRETS, sageapi};

/// Where the definition lists the words of `spec.database.migration.mode`.
const WORDS: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/database\
                     /properties/migration/properties/mode/enum";

#[tokio::test]
async fn a_resource_that_cannot_be_understood_stops_no_other_and_is_followed_once_it_can() {
    // A definition newer than the operator, which no other test may meet.
    let plane = tokio::task::spawn_blocking(ControlPlane::start).await.unwrap().unwrap();
    let mut definition = serde_json::to_value(sageapi_crds::crd()).unwrap();
    let words = definition.pointer_mut(WORDS).expect("the definition has the words");
    words.as_array_mut().unwrap().push(json!("Invented"));
    let bench = Bench::on(Box::leak(Box::new(plane)), "decode", &definition.to_string()).await;

    bench.apply(SECRETS);
    let invented = sageapi("").replace("mysql:", "migration: {mode: Invented}, mysql:");
    bench.apply(&invented.replace("name: prod", "name: odd"));
    let operator = bench.operator("first", &[]);
    bench.until("the operator leads", async || operator.leads()).await;
    bench.apply(&sageapi(""));
    bench.phase("Ready").await;
    let undecodable = "sageapi_operator_reconcile_total{result=\"undecodable\"}";
    bench.until("the odd one is seen", async || operator.metric(undecodable) >= 1.0).await;

    // One that was understood and is not any more keeps what it has.
    bench.apply(&invented);
    bench.until("it is seen", async || operator.metric(undecodable) >= 2.0).await;
    assert!(bench.kubectl("get deployment prod -o name").contains("prod"));
    bench.apply(&sageapi("  instances: 2"));
    bench.phase("Ready").await;
}
