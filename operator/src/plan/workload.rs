//! The state of the instances, from the Deployment and its pods.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use sageapi_crds::Reason;
use serde_json::Value;

use super::children::{annotation, label};
use crate::labels;
use crate::object::Object;
use crate::observed::Observed;

/// A pod that is not ready may still be starting so long.
const STARTING: Duration = Duration::from_mins(2);

/// The state of the instances.
#[derive(Debug, Clone, Default)]
pub(super) struct Workload<'a> {
    /// The live Deployment, if it is ours.
    pub(super) live: Option<&'a Deployment>,
    /// Pods that exist.
    pub(super) instances: i32,
    /// Pods that have been ready for a moment.
    pub(super) available: i32,
    /// Whether the Deployment's controller has seen the last change and completed it.
    pub(super) complete: bool,
    /// New pods did not get ready in time.
    pub(super) overdue: bool,
    /// What prevents pods from getting ready.
    pub(super) problem: Option<(Reason, String)>,
    /// Whether pods that are not ready are just starting.
    pub(super) starting: bool,
}

pub(super) fn look<'a>(observed: &'a Observed, name: &str, uid: &str) -> Workload<'a> {
    let Some(live) = observed.children.deployment(name, uid) else { return Workload::default() };
    let Some(status) = &live.status else { return Workload { live: Some(live), ..Workload::default() } };
    let desired = live.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let count = |count: Option<i32>| count.unwrap_or(0);
    let seen = status.observed_generation >= live.metadata.generation;
    let condition = |type_: &str| status.conditions.iter().flatten().find(|c| c.type_ == type_);
    let overdue = seen
        && condition("Progressing").is_some_and(|progressing| {
            progressing.status == "False" && progressing.reason.as_deref() == Some("ProgressDeadlineExceeded")
        });
    // No condition yet: the Deployment has never got its pods.
    let rolled = condition("Progressing")
        .is_some_and(|progressing| progressing.reason.as_deref() == Some("NewReplicaSetAvailable"));
    let replaced = count(status.updated_replicas) == count(status.replicas);
    let complete = seen && rolled && replaced && count(status.replicas) >= desired;
    let quota = condition("ReplicaFailure").filter(|failure| failure.status == "True").map(|failure| {
        let why = failure.message.as_deref().unwrap_or_default();
        // The text before it names a pod that was never created, another one each time.
        let why = why.split_once("forbidden: ").map_or(why, |(_, why)| why);
        (Reason::QuotaExceeded, format!("pods cannot be created: {why}"))
    });
    let pods: Vec<&Pod> = observed.children.all().filter(|pod| serves(pod, name)).collect();
    let unready = || pods.iter().filter(|pod| !is_ready(pod));
    let problem = quota.or_else(|| unready().find_map(|pod| trouble(pod, "server")));
    let starting = problem.is_none() && unready().any(|pod| is_young(pod, observed.now));
    Workload {
        live: Some(live),
        instances: count(status.replicas),
        available: count(status.available_replicas),
        complete,
        overdue,
        problem,
        starting,
    }
}

/// A pod of the Deployment that is not ending.
fn serves(pod: &Pod, name: &str) -> bool {
    label(&pod.metadata, labels::COMPONENT) == Some(labels::COMPONENT_SERVER)
        && label(&pod.metadata, labels::INSTANCE) == Some(name)
        && pod.metadata.deletion_timestamp.is_none()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn is_young(pod: &Pod, now: Timestamp) -> bool {
    let made = pod.metadata.creation_timestamp.as_ref();
    made.is_some_and(|made| {
        now.duration_since(made.0) < jiff::SignedDuration::try_from(STARTING).unwrap_or_default()
    })
}

/// What blocks a pod, in words that stay the same while it does.
pub(super) fn trouble(pod: &Pod, container: &str) -> Option<(Reason, String)> {
    let status = pod.status.as_ref()?;
    let unscheduled = status.conditions.iter().flatten().find(|condition| {
        condition.type_ == "PodScheduled" && condition.reason.as_deref() == Some("Unschedulable")
    });
    if let Some(unscheduled) = unscheduled {
        let why = unscheduled.message.as_deref().unwrap_or("the scheduler finds no node");
        return Some((Reason::Unschedulable, format!("no node can run a pod: {why}")));
    }
    let status = status.container_statuses.iter().flatten().find(|status| status.name == container)?;
    let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
    match waiting.and_then(|waiting| waiting.reason.as_deref()) {
        Some(
            "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull"
            | "ImageInspectError",
        ) => Some((Reason::ImagePullError, format!("image {} cannot be pulled", status.image))),
        Some("CreateContainerConfigError" | "CreateContainerError" | "RunContainerError") => {
            let message = waiting.and_then(|waiting| waiting.message.as_deref()).unwrap_or_default();
            Some((Reason::ContainerConfigError, format!("the container cannot be created: {message}")))
        }
        _ if status.restart_count > 0 => Some((Reason::CrashLooping, crash(status))),
        _ => None,
    }
}

fn crash(status: &ContainerStatus) -> String {
    let last = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let code = last.map(|last| format!(" with exit code {}", last.exit_code)).unwrap_or_default();
    format!("instances exit soon after they start{code}; see `kubectl logs --previous`")
}

/// Why the live pods are not those that are wanted; `None`: they are.
pub(super) fn outdated(live: &Deployment, wanted: &Object) -> Option<Reason> {
    let hash = |metadata, name| annotation(metadata, name).map(str::to_owned);
    let differs = |name| hash(&live.metadata, name) != hash(wanted.metadata(), name);
    if annotation(&live.metadata, labels::SPEC_HASH).is_some() && !differs(labels::SPEC_HASH) {
        return None;
    }
    let template = live.spec.as_ref().map(|spec| &spec.template);
    let container = template.and_then(|template| template.spec.as_ref()?.containers.first());
    let image = container.and_then(|container| container.image.as_deref());
    let body = wanted.body();
    if image != body.pointer("/spec/template/spec/containers/0/image").and_then(Value::as_str) {
        return Some(Reason::ImageChanged);
    }
    let secrets = template.and_then(|template| annotation(template.metadata.as_ref()?, labels::SECRETS_HASH));
    if secrets != body["spec"]["template"]["metadata"]["annotations"][labels::SECRETS_HASH].as_str() {
        return Some(Reason::SecretChanged);
    }
    differs(labels::TEMPLATE_HASH).then_some(Reason::SpecChanged)
}
