//! The objects of a cluster, as the API server writes them: those that the operator makes of the example, what
//! controllers make of those, and the fields' managers of all.

use sageapi_operator::kinds::Kind;
use serde::Deserialize as _;
use serde_json::{Value, json};

/// Stands for a resource's name; as long as those that take its place.
const NAME: &str = "sage00000";
const IMAGE: &str = "sageapi.io/sageapi-server:0.1.0";
const EXAMPLE: &str = include_str!("../../../examples/3-sageapi.yaml");

/// How many objects there are for each resource, itself left out.
pub const CHILDREN: usize = 13;
/// How many of them are Secrets.
pub const SECRETS: usize = 2;

/// Objects of one plural, as text with [`NAME`] in it; each is there once for every resource.
pub struct Templates(Vec<(String, String)>);

impl Templates {
    pub fn new() -> Self {
        let manifest = EXAMPLE.replace("name: prod", &format!("name: {NAME}"));
        let text = sageapi_operator::offline::render(&manifest, IMAGE).unwrap();
        let documents = serde_yaml::Deserializer::from_str(&text).map(|one| Value::deserialize(one).unwrap());
        let mut objects: Vec<Value> = documents.filter(Value::is_object).collect();
        for secret in objects.iter_mut().filter(|object| object["kind"] == "Secret") {
            secret["data"] = json!({"database_url": "bXlzcWw6Ly9hOmJAaG9zdDozMzA2L25hbWU=", "encryption_key": "A".repeat(44)});
        }
        let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap().clone();
        let job = objects.iter().find(|object| object["kind"] == "Job").unwrap().clone();
        objects.push(replica_set(&deployment));
        for (i, owner) in [&deployment, &deployment, &job].into_iter().enumerate() {
            objects.push(pod(owner, i));
        }
        assert_eq!(objects.len(), CHILDREN);
        let mut resource: Value = serde_yaml::from_str(&manifest).unwrap();
        resource["status"] = status();
        objects.push(resource);
        Self(objects.into_iter().map(finished).collect())
    }

    /// How many objects of this plural there are for each resource.
    pub fn of(&self, plural: &str) -> Vec<&str> {
        self.0.iter().filter(|(of, _)| of == plural).map(|(_, text)| text.as_str()).collect()
    }
}

/// The object of the resource with this number.
pub fn numbered(template: &str, i: usize) -> String {
    template.replace(NAME, &format!("sage{i:05}"))
}

/// The metadata of a Secret that nobody refers to.
pub fn foreign(i: usize) -> String {
    let metadata = json!({
        "name": format!("sh.helm.release.v1.application.v{i}"), "namespace": format!("team-{}", i % 50),
        "uid": format!("00000000-0000-4000-8000-{i:012}"), "resourceVersion": "900",
        "creationTimestamp": "2026-11-01T00:00:00Z",
        "labels": {"name": "application", "owner": "helm", "status": "superseded", "version": i.to_string()},
        "managedFields": [{
            "manager": "helm", "operation": "Update", "apiVersion": "v1", "time": "2026-11-01T00:00:00Z",
            "fieldsType": "FieldsV1", "fieldsV1": fields(&json!({
                "data": {"release": ""}, "type": "",
                "metadata": {"labels": {"name": "", "owner": "", "status": "", "version": "", "modifiedAt": ""}},
            })),
        }],
    });
    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata}).to_string()
}

fn finished(mut object: Value) -> (String, String) {
    let kind = Kind::all().find(|kind| object["kind"] == kind.name()).unwrap();
    let plural = kind.row().plural.to_owned();
    let manager = |name: &str, part: &Value| {
        json!({
            "manager": name, "operation": "Apply", "apiVersion": "v1", "time": "2026-11-01T00:00:00Z",
            "fieldsType": "FieldsV1", "fieldsV1": fields(part),
        })
    };
    let managers =
        [manager("sageapi-operator", &object), manager("kube-controller-manager", &object["status"])];
    let metadata = &mut object["metadata"];
    metadata["namespace"] = json!("billing");
    metadata["uid"] = json!(format!("{NAME}-0000-4000-8000-000000000000"));
    metadata["resourceVersion"] = json!("900");
    metadata["creationTimestamp"] = json!("2026-11-01T00:00:00Z");
    metadata["managedFields"] = json!(managers);
    (plural, object.to_string())
}

/// Which fields somebody manages: the object's own shape.
fn fields(object: &Value) -> Value {
    match object {
        Value::Object(members) => {
            members.iter().map(|(name, value)| (format!("f:{name}"), fields(value))).collect()
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(i, item)| (format!("k:{{\"name\":\"{i}\"}}"), fields(item)))
            .collect(),
        _ => json!({}),
    }
}

fn replica_set(deployment: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": format!("{NAME}-5d8c7b9f6"), "labels": deployment["spec"]["template"]["metadata"]["labels"]},
        "spec": {"replicas": 2, "selector": deployment["spec"]["selector"], "template": deployment["spec"]["template"]},
        "status": {"replicas": 2, "readyReplicas": 2, "availableReplicas": 2, "observedGeneration": 1},
    })
}

fn pod(owner: &Value, i: usize) -> Value {
    let template = &owner["spec"]["template"];
    let condition = |kind: &str| json!({"type": kind, "status": "True", "observedGeneration": 1, "lastTransitionTime": "2026-11-01T00:00:00Z"});
    let conditions = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
    let container = |name: &str| {
        json!({
            "name": name, "image": IMAGE, "imageID": format!("{IMAGE}@sha256:{}", "0".repeat(64)), "ready": true,
            "containerID": format!("containerd://{}", "0".repeat(64)), "restartCount": 0, "started": true,
            "state": {"running": {"startedAt": "2026-11-01T00:00:00Z"}},
            "volumeMounts": template["spec"]["containers"][0]["volumeMounts"],
        })
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("{NAME}-5d8c7b9f6-x{i}"), "labels": template["metadata"]["labels"],
            "annotations": template["metadata"]["annotations"],
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": NAME, "uid": format!("{NAME}-1"), "controller": true,
            }],
        },
        "spec": template["spec"],
        "status": {
            "phase": "Running", "hostIP": "192.0.2.10", "podIP": "10.244.0.7", "qosClass": "Burstable",
            "podIPs": [{"ip": "10.244.0.7"}], "hostIPs": [{"ip": "192.0.2.10"}], "startTime": "2026-11-01T00:00:00Z",
            "conditions": conditions.map(condition),
            "containerStatuses": [container("server")],
        },
    })
}

fn status() -> Value {
    let condition = |kind: &str| {
        json!({
            "type": kind, "status": "True", "reason": "Converged", "message": "everything asked for is done",
            "observedGeneration": 1, "lastTransitionTime": "2026-11-01T00:00:00Z",
        })
    };
    let conditions = [
        "Ready",
        "Reconciling",
        "Stalled",
        "SpecValid",
        "CredentialsReady",
        "DatabaseReady",
        "SchemaUpToDate",
        "WorkloadAvailable",
        "SyncHealthy",
        "UpToDate",
        "Paused",
    ];
    json!({
        "observedGeneration": 1, "phase": "Ready", "instances": 2, "readyInstances": 2, "ready": "2/2", "image": IMAGE,
        "url": format!("http://{NAME}.billing.svc"), "conditions": conditions.map(condition),
    })
}
