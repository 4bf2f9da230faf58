use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::context::{Context, annotate, arguments, sealed, texts};
use super::pod::{container, pod};
use crate::object::Object;
use crate::{labels, names};

/// The container whose end decides.
pub const CONTAINER: &str = "migrate";
/// How long a Job that ended is kept for its logs. Whether to run again does not depend on it.
const KEPT_SECONDS: i32 = 7 * 24 * 60 * 60;

/// One attempt at the migration. Created, never changed: a Job's template cannot be.
pub fn migration_job(context: &Context<'_>, owner: &str, attempt: u32, retry: Option<&str>) -> Object {
    let component = labels::COMPONENT_MIGRATION;
    let name = names::migration_job(context.name(), &context.schema_hash, attempt);
    let mut metadata = context.owned(&name, component);
    annotate(&mut metadata, labels::SCHEMA_HASH, &context.schema_hash);
    annotate(&mut metadata, labels::CONFIG_HASH, &context.config_hash);
    annotate(&mut metadata, labels::SECRETS_HASH, &context.secrets_hash);
    if let Some(retry) = retry {
        annotate(&mut metadata, labels::RETRY_MIGRATION, retry);
    }
    let mut spec = pod(context, container(context, CONTAINER, arguments(owner)));
    spec.restart_policy = Some("Never".to_owned());
    // The database refuses two migrations at a time; one that was asked to end gets the time to.
    spec.termination_grace_period_seconds = Some(60);
    // A sidecar would keep the Job running.
    let no_sidecars = texts([("sidecar.istio.io/inject", "false")]);
    let mut pod_labels = labels::pod_labels(context.name(), component);
    pod_labels.extend(no_sidecars.clone());
    let mut annotations = no_sidecars;
    annotations.extend(texts([("linkerd.io/inject", "disabled")]));
    let job = Job {
        metadata,
        spec: Some(JobSpec {
            // Attempts are counted here, where exit codes are understood.
            backoff_limit: Some(0),
            active_deadline_seconds: i64::try_from(context.validated.active_deadline.as_secs()).ok(),
            ttl_seconds_after_finished: Some(KEPT_SECONDS),
            pod_replacement_policy: Some("Failed".to_owned()),
            pod_failure_policy: Some(PodFailurePolicy { rules: vec![disruption_is_no_failure()] }),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(pod_labels),
                    annotations: Some(annotations),
                    ..ObjectMeta::default()
                }),
                spec: Some(spec),
            },
            ..JobSpec::default()
        }),
        status: None,
    };
    sealed(&job, None)
}

fn disruption_is_no_failure() -> PodFailurePolicyRule {
    PodFailurePolicyRule {
        action: "Ignore".to_owned(),
        on_exit_codes: None,
        on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
            type_: "DisruptionTarget".to_owned(),
            status: "True".to_owned(),
        }]),
    }
}
