use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sageapi_crds::NetworkPolicy as Asked;

use super::context::{ADMIN, Context, HTTP, sealed, texts};
use crate::labels;
use crate::object::Object;
use crate::observed::Settings;

/// Who may reach the instances: the API everyone or those who are named, the admin port the operator and monitoring.
/// `None`: it is switched off. Migrations are not selected; they take no connections.
pub fn network_policy(context: &Context<'_>, settings: &Settings) -> Option<Object> {
    let default = Asked::default();
    let Asked { enabled, ingress_from } = context.validated.spec.network_policy.as_ref().unwrap_or(&default);
    if !enabled.unwrap_or(true) {
        return None;
    }
    let port = |name: &str| {
        Some(vec![NetworkPolicyPort {
            port: Some(IntOrString::String(name.to_owned())),
            protocol: Some("TCP".to_owned()),
            end_port: None,
        }])
    };
    let mut namespaces = settings.monitoring_namespaces.clone();
    namespaces.insert(0, settings.namespace.clone());
    namespaces.dedup();
    let callers = (!ingress_from.is_empty()).then(|| ingress_from.clone());
    let policy = NetworkPolicy {
        metadata: context.owned(context.name(), labels::COMPONENT_SERVER),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(labels::selector(context.name())),
                match_expressions: None,
            }),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![
                NetworkPolicyIngressRule { from: callers, ports: port(HTTP) },
                NetworkPolicyIngressRule {
                    from: Some(namespaces.iter().map(|namespace| namespace_of(namespace)).collect()),
                    ports: port(ADMIN),
                },
            ]),
            egress: None,
        }),
    };
    Some(sealed(&policy, None))
}

fn namespace_of(name: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector {
            match_labels: Some(texts([("kubernetes.io/metadata.name", name)])),
            match_expressions: None,
        }),
        ..NetworkPolicyPeer::default()
    }
}
