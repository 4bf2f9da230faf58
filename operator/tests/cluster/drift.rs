use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PodSpec, Service, ServiceSpec};
use sageapi_crds::ConditionType;

use crate::bench::Bench;

async fn service(bench: &Bench) -> ServiceSpec {
    bench.api::<Service>().get("prod").await.unwrap().spec.unwrap()
}

async fn pod(bench: &Bench) -> PodSpec {
    bench.api::<Deployment>().get("prod").await.unwrap().spec.unwrap().template.spec.unwrap()
}

const SERVICE: &[&str] = &[
    r#"[{"op":"replace","path":"/spec/ports/0/port","value":8081}]"#,
    r#"[{"op":"add","path":"/spec/ports/-","value":{"name":"more","port":9090}}]"#,
    r#"[{"op":"add","path":"/spec/selector/nobody","value":"has-this"}]"#,
];

const DEPLOYMENT: &[&str] = &[
    r#"[{"op":"replace","path":"/spec/template/spec/containers/0/ports/1/containerPort","value":9191}]"#,
    r#"[{"op":"add","path":"/spec/template/spec/containers/0/ports/-","value":{"containerPort":7}}]"#,
    r#"[{"op":"add","path":"/spec/template/spec/containers/0/env/-","value":{"name":"B","value":"2"}}]"#,
    r#"[{"op":"add","path":"/spec/template/spec/containers/0/envFrom","value":[{"secretRef":{"name":"x"}}]}]"#,
    r#"[{"op":"add","path":"/spec/template/spec/containers/0/command","value":["sh"]}]"#,
    r#"[{"op":"add","path":"/spec/template/spec/tolerations","value":[{"operator":"Exists"}]}]"#,
    r#"[{"op":"add","path":"/spec/template/spec/nodeSelector","value":{"disk":"sdd"}}]"#,
    r#"[{"op":"add","path":"/spec/template/spec/containers/-","value":{"name":"more","image":"x"}}]"#,
    r#"[{"op":"add","path":"/spec/template/spec/initContainers","value":[{"name":"more","image":"x"}]}]"#,
    r#"[{"op":"add","path":"/spec/template/spec/volumes/-","value":{"name":"more","emptyDir":{}}},
        {"op":"add","path":"/spec/template/spec/containers/0/volumeMounts/-","value":{"name":"more","mountPath":"/more"}},
        {"op":"replace","path":"/spec/template/spec/containers/0/image","value":"nginx:1"}]"#,
];

#[tokio::test]
async fn what_someone_adds_to_lists_and_maps_is_taken_out() {
    let bench = Bench::new("lists").await;
    let operator = bench.converged("").await;
    let (service_before, pod_before) = (service(&bench).await, pod(&bench).await);
    let edits = SERVICE.iter().map(|edit| ("service", edit));
    for (kind, edit) in edits.chain(DEPLOYMENT.iter().map(|edit| ("deployment", edit))) {
        let edit: String = edit.split_whitespace().collect();
        bench.kubectl(&format!("patch {kind} prod --type=json -p {edit}"));
        bench
            .until(&edit, async || service(&bench).await == service_before && pod(&bench).await == pod_before)
            .await;
    }
    bench.phase("Ready").await;
    bench.settled(&operator).await;
    let before = bench.writes().await.len();
    bench.settled(&operator).await;
    assert_eq!(bench.writes().await.split_off(before), [], "and then it is silent");
}

/// Refuses a port of 80 to Services that have another one.
fn refuse_port_80(bench: &Bench) {
    let namespace = bench.namespace.name();
    let policy = format!(
        r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: no-80-{namespace}}}
spec:
  matchConstraints:
    resourceRules: [{{apiGroups: [""], apiVersions: [v1], operations: [UPDATE], resources: [services]}}]
  validations:
  - {{expression: "object.spec.ports[0].port != 80 || oldObject.spec.ports[0].port == 80", message: no port 80 here}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: no-80-{namespace}}}
spec:
  policyName: no-80-{namespace}
  validationActions: [Deny]
  matchResources: {{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}}}
"#
    );
    bench.plane.apply(&policy).unwrap();
}

#[tokio::test]
async fn a_refused_write_is_told_and_neither_repeated_at_once_nor_in_the_way_of_others() {
    let bench = Bench::new("refused").await;
    let operator = bench.converged("").await;
    let pod_before = pod(&bench).await;
    refuse_port_80(&bench);
    bench.apply("\napiVersion: v1\nkind: Service\nmetadata: {name: probe}\nspec: {ports: [{port: 81}]}");
    let to = |port: u16| format!(r#"[{{"op":"replace","path":"/spec/ports/0/port","value":{port}}}]"#);
    bench
        .until("the policy is heeded", async || {
            let namespace = bench.namespace.name();
            let patch = to(80);
            let args = [
                "patch",
                "service",
                "probe",
                "--type=json",
                "--dry-run=server",
                "-p",
                &patch,
                "-n",
                namespace,
            ];
            bench.plane.kubectl(args).is_err()
        })
        .await;
    bench.kubectl(&format!("patch service prod --type=json -p {}", to(8081)));
    let stalled = bench.condition(ConditionType::Stalled, "True", "Rejected").await;
    assert!(
        stalled.message.contains("Service prod") && stalled.message.contains("no port 80"),
        "{stalled:?}"
    );

    bench.kubectl("set image deployment/prod server=nginx:1");
    bench.until("the Deployment is put right", async || pod(&bench).await == pod_before).await;
    for _ in 0..12 {
        bench.settled(&operator).await;
    }
    // Within three minutes that is after 0, 5, 15, 35, 75 and 155 s.
    let refused = bench.writes().await.into_iter().filter(|write| write.code == 422).count();
    assert!((1..=6).contains(&refused), "{refused} refused writes");

    // Something that changed is tried at once.
    bench.kubectl("delete service prod");
    bench.phase("Ready").await;
    assert_eq!(service(&bench).await.ports.unwrap()[0].port, 80);
}
