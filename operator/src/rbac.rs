//! What the operator asks of the API server, verb by verb: no more than it uses. The chart's roles are compared with
//! it, and a test compares it with what the API server was really asked.

use crate::watch::SecretsAccess;

/// Rights on one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The resource, with its subresource.
    pub resource: &'static str,
    /// The verbs.
    pub verbs: &'static [&'static str],
    /// The one object that they are for; all of them if absent.
    pub name: Option<&'static str>,
}

const fn rule(group: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> Rule {
    Rule { group, resource, verbs, name: None }
}

/// Rights in each namespace that is watched.
pub fn watched(secrets: SecretsAccess) -> Vec<Rule> {
    let secret_verbs: &[&str] = match secrets {
        SecretsAccess::Watch => &["get", "list", "watch", "create", "delete"],
        SecretsAccess::Get => &["get", "create", "delete"],
    };
    vec![
        rule("sageapi.io", "sageapis", &["list", "watch"]),
        rule("sageapi.io", "sageapis/status", &["patch"]),
        // Asked for nothing, but owner references that block deletion need it.
        rule("sageapi.io", "sageapis/finalizers", &["update"]),
        rule("", "serviceaccounts", &["get", "list", "watch", "create", "patch"]),
        rule("", "secrets", secret_verbs),
        rule("", "configmaps", &["get", "list", "watch", "create", "delete"]),
        rule("", "services", &["get", "list", "watch", "create", "patch"]),
        rule("", "pods", &["list", "watch"]),
        rule("batch", "jobs", &["get", "list", "watch", "create", "delete"]),
        rule("apps", "deployments", &["get", "list", "watch", "create", "patch"]),
        rule("apps", "replicasets", &["list", "watch"]),
        rule("networking.k8s.io", "networkpolicies", &["get", "list", "watch", "create", "patch", "delete"]),
        rule("policy", "poddisruptionbudgets", &["get", "list", "watch", "create", "patch"]),
        rule("events.k8s.io", "events", &["create", "patch"]),
    ]
}

/// Rights in the operator's own namespace.
pub const OWN: &[Rule] = &[rule("coordination.k8s.io", "leases", &["get", "create", "update"])];

/// Rights in the whole cluster: only where `--cluster` does not name it.
pub const CLUSTER: &[Rule] =
    &[Rule { group: "", resource: "namespaces", verbs: &["get"], name: Some("kube-system") }];
