use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::context::{Context, sealed};
use crate::labels;
use crate::object::Object;

/// How many instances may be away when nodes are drained. Those that are not ready can always be evicted, or a
/// broken one would block a node's drain.
pub fn disruption_budget(context: &Context<'_>) -> Object {
    let budget = PodDisruptionBudget {
        metadata: context.owned(context.name(), labels::COMPONENT_SERVER),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(context.validated.max_unavailable())),
            min_available: None,
            selector: Some(LabelSelector {
                match_labels: Some(labels::selector(context.name())),
                match_expressions: None,
            }),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
        }),
        status: None,
    };
    sealed(&budget, None)
}
