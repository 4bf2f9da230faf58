use k8s_openapi::api::core::v1::Service;
use sageapi_crds::ConditionType;

use crate::bench::{Bench, SECRETS, sageapi};

const STRANGER: &str = "
apiVersion: v1
kind: Service
metadata: {name: prod}
spec: {selector: {app: somebody-else}, ports: [{port: 5432}]}
";

#[tokio::test]
async fn a_stranger_of_the_same_name_is_never_taken_over() {
    let bench = Bench::new("conflict").await;
    bench.apply(SECRETS);
    bench.apply(STRANGER);
    let operator = bench.operator("first", &[]);
    bench.apply(&sageapi(""));
    let condition = bench.condition(ConditionType::Ready, "False", "NameConflict").await;
    assert!(condition.message.contains("Service prod"), "{}", condition.message);
    bench.settled(&operator).await;
    let service = bench.api::<Service>().get("prod").await.unwrap();
    assert_eq!(service.spec.unwrap().selector.unwrap()["app"], "somebody-else");
    assert!(bench.writes().await.iter().all(|write| write.resource != "services"));
    bench.kubectl("delete service prod");
    bench.phase("Ready").await;
}

#[tokio::test]
async fn a_resource_made_anew_waits_until_the_old_one_s_children_are_gone() {
    let bench = Bench::new("recreated").await;
    let operator = bench.converged("").await;
    let old = bench.prod().await.metadata.uid.unwrap();
    bench.kubectl("delete sageapi prod --cascade=orphan");
    bench.apply(&sageapi(""));
    bench.condition(ConditionType::Ready, "False", "NameConflict").await;
    bench.settled(&operator).await;
    let service = bench.api::<Service>().get("prod").await.unwrap();
    let owners = service.metadata.owner_references.unwrap_or_default();
    assert!(owners.iter().all(|owner| owner.uid == old), "{owners:?}");
}
