//! What is kept of objects that others make: pods and ReplicaSets repeat the whole template of their Deployment or Job,
//! of which a plan asks only what runs and what is mounted.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

/// Takes from a pod what nobody reads.
pub(super) fn pod(pod: &mut Pod) {
    if let Some(spec) = &mut pod.spec {
        *spec = slim(std::mem::take(spec));
    }
}

/// Takes from a ReplicaSet what nobody reads.
pub(super) fn replica_set(set: &mut ReplicaSet) {
    let template = set.spec.as_mut().and_then(|spec| spec.template.as_mut());
    if let Some(spec) = template.and_then(|template| template.spec.as_mut()) {
        *spec = slim(std::mem::take(spec));
    }
}

fn slim(spec: PodSpec) -> PodSpec {
    let PodSpec { containers, volumes, node_name, .. } = spec;
    let containers = containers.into_iter().map(|Container { name, image, .. }| Container {
        name,
        image,
        ..Container::default()
    });
    PodSpec { containers: containers.collect(), volumes, node_name, ..PodSpec::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_runs_and_what_is_mounted_is_kept_and_the_status_whole() {
        let volumes = json!([{"name": "secrets", "secret": {"secretName": "prod-secrets-1"}}]);
        let status = json!({"phase": "Running", "podIP": "10.0.0.1"});
        let mut fat: Pod = serde_json::from_value(json!({
            "metadata": {"name": "a"},
            "spec": {
                "containers": [{"name": "server", "image": "s:1", "env": [{"name": "A", "value": "1"}], "tty": true}],
                "volumes": volumes, "nodeName": "node", "hostNetwork": true,
            },
            "status": status,
        }))
        .unwrap();
        pod(&mut fat);
        let spec = json!({"containers": [{"name": "server", "image": "s:1"}], "volumes": volumes, "nodeName": "node"});
        let slim = serde_json::to_value(&fat).unwrap();
        assert_eq!((&slim["spec"], &slim["status"]), (&spec, &status));
    }

    #[test]
    fn a_replica_set_keeps_its_counts() {
        let mut fat: ReplicaSet = serde_json::from_value(json!({
            "metadata": {"name": "a"},
            "spec": {"replicas": 2, "selector": {}, "template": {"spec": {"containers": [{"name": "server", "tty": true}]}}},
        }))
        .unwrap();
        replica_set(&mut fat);
        let slim = serde_json::to_value(&fat).unwrap();
        assert_eq!(slim["spec"]["replicas"], 2);
        assert_eq!(slim["spec"]["template"]["spec"], json!({"containers": [{"name": "server"}]}));
    }
}
