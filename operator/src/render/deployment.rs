use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    ContainerPort, HTTPGetAction, Lifecycle, LifecycleHandler, PodTemplateSpec, Probe, SleepAction,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sageapi_contract::{ADMIN_PORT, HTTP_PORT, LIVENESS_PATH, READINESS_PATH, STARTUP_PATH};

use super::context::{ADMIN, Context, HTTP, REVISION, annotate, sealed};
use super::pod::{container, pod};
use crate::object::Object;
use crate::validate::PRE_STOP;
use crate::{hashes, labels};

/// How long new instances may take to get ready before that is called a failure.
const PROGRESS_SECONDS: i32 = 600;
/// Former ReplicaSets kept; each keeps its configuration and secrets alive.
const HISTORY: i32 = 3;

/// The instances. Replaced one by one with none missing; each leaves the Service before it stops.
pub fn deployment(context: &Context<'_>) -> Object {
    let validated = context.validated;
    let mut container = container(context, "server", vec!["serve".to_owned()]);
    container.ports = Some(vec![port(HTTP, HTTP_PORT), port(ADMIN, ADMIN_PORT)]);
    container.startup_probe = Some(probe(STARTUP_PATH, 1, 300));
    container.liveness_probe = Some(probe(LIVENESS_PATH, 10, 3));
    container.readiness_probe = Some(probe(READINESS_PATH, 2, 2));
    container.lifecycle = Some(Lifecycle {
        pre_stop: Some(LifecycleHandler {
            sleep: Some(SleepAction { seconds: seconds(PRE_STOP) }),
            ..LifecycleHandler::default()
        }),
        ..Lifecycle::default()
    });
    let mut spec = pod(context, container);
    spec.termination_grace_period_seconds = Some(seconds(validated.termination_grace()));
    // Whatever else varied here would roll pods for nothing; a foreign annotation stays.
    let mut annotations = validated.spec.pod_annotations.clone();
    for (name, value) in [
        (labels::CONFIG_HASH, context.config_hash.clone()),
        (labels::SECRETS_HASH, context.secrets_hash.clone()),
        (labels::SCHEMA_HASH, context.schema_hash.clone()),
        (labels::REVISION, REVISION.to_string()),
    ] {
        annotations.insert(name.to_owned(), value);
    }
    let mut deployment = Deployment {
        metadata: context.owned(context.name(), labels::COMPONENT_SERVER),
        spec: Some(DeploymentSpec {
            replicas: Some(validated.spec.instances),
            selector: LabelSelector {
                match_labels: Some(labels::selector(context.name())),
                match_expressions: None,
            },
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_unavailable: Some(IntOrString::Int(0)),
                    max_surge: Some(IntOrString::String("25%".to_owned())),
                }),
            }),
            progress_deadline_seconds: Some(PROGRESS_SECONDS),
            revision_history_limit: Some(HISTORY),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels::pod_labels(context.name(), labels::COMPONENT_SERVER)),
                    annotations: Some(annotations),
                    ..ObjectMeta::default()
                }),
                spec: Some(spec),
            },
            ..DeploymentSpec::default()
        }),
        status: None,
    };
    let template = deployment.spec.as_ref().map(|spec| serde_json::to_value(&spec.template));
    let template = template.and_then(Result::ok).unwrap_or_default();
    annotate(&mut deployment.metadata, labels::TEMPLATE_HASH, &hashes::of(&template));
    sealed(&deployment, None)
}

fn port(name: &str, number: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(number),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(ADMIN.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        failure_threshold: Some(failures),
        timeout_seconds: Some(5),
        ..Probe::default()
    }
}

/// Whole seconds, rounded up.
fn seconds(span: std::time::Duration) -> i64 {
    let whole = i64::try_from(span.as_secs()).unwrap_or(i64::MAX - 1);
    whole + i64::from(span.subsec_nanos() > 0)
}
