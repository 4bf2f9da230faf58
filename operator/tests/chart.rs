//! The chart's roles are what the operator's list says: no more, so that nothing is granted for nothing,
//! and no less.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is code of tests")]

use std::collections::BTreeSet;

use sageapi_operator::rbac::{self, Rule};
use sageapi_operator::watch::SecretsAccess;
use sageapi_test_cluster::ControlPlane;
use serde::Deserialize as _;
use serde_json::Value;

/// Group, resource, verb, and the object's name.
type Right = (String, String, String, String);

fn listed(rules: &[Rule]) -> BTreeSet<Right> {
    let rights = rules.iter().flat_map(|rule| {
        let name = rule.name.unwrap_or_default();
        rule.verbs.iter().map(move |verb| [rule.group, rule.resource, *verb, name].map(str::to_owned))
    });
    rights.map(|[group, resource, verb, name]| (group, resource, verb, name)).collect()
}

/// The documents of the chart with these values.
fn rendered(values: &[&str]) -> Vec<Value> {
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/sageapi-operator");
    let mut args = vec!["template", "sageapi-operator", chart, "--namespace", "system"];
    for value in values {
        args.extend(["--set", value]);
    }
    let text = ControlPlane::shared().helm(args).unwrap();
    let documents = serde_yaml::Deserializer::from_str(&text).map(|one| Value::deserialize(one).unwrap());
    documents.filter(Value::is_object).collect()
}

/// What the role of this kind and name grants.
fn granted(documents: &[Value], kind: &str, name: &str) -> BTreeSet<Right> {
    let role = documents.iter().find(|one| one["kind"] == kind && one["metadata"]["name"] == name);
    let role = role.unwrap_or_else(|| panic!("the chart has no {kind} {name}"));
    let mut rights = BTreeSet::new();
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    for rule in role["rules"].as_array().unwrap() {
        let mut names = texts(&rule["resourceNames"]);
        if names.is_empty() {
            names.push(String::new());
        }
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    for name in &names {
                        rights.insert((group.clone(), resource.clone(), verb.clone(), name.clone()));
                    }
                }
            }
        }
    }
    rights
}

#[test]
fn in_the_whole_cluster_the_chart_grants_what_the_operator_uses() {
    for (access, word) in [(SecretsAccess::Watch, "watch"), (SecretsAccess::Get, "get")] {
        let documents = rendered(&[&format!("secrets.access={word}")]);
        let role = granted(&documents, "ClusterRole", "system-sageapi-operator");
        assert_eq!(role, listed(&rbac::watched(access)));
        let identity = granted(&documents, "ClusterRole", "system-sageapi-operator-identity");
        assert_eq!(identity, listed(&rbac::cluster()));
    }
}

#[test]
fn in_some_namespaces_the_chart_grants_what_the_operator_uses() {
    let documents = rendered(&["watchNamespaces={one}", "clusterName=here"]);
    let role = granted(&documents, "Role", "system-sageapi-operator");
    assert_eq!(role, listed(&rbac::watched(SecretsAccess::Watch)));
    let named =
        |one: &Value| one["metadata"]["name"].as_str().is_some_and(|name| name.ends_with("-identity"));
    assert!(!documents.iter().any(named), "with a name there is nothing to ask of the cluster");
}

#[test]
fn the_chart_grants_the_one_lease_and_no_other() {
    let role = granted(&rendered(&[]), "Role", "sageapi-operator-leader");
    let all = role.iter().map(|(group, resource, verb, _)| (group, resource, verb)).collect::<BTreeSet<_>>();
    let used = listed(&rbac::own());
    let used = used.iter().map(|(group, resource, verb, _)| (group, resource, verb)).collect();
    assert_eq!(all, used);
    // What is made has no name yet.
    assert!(role.iter().all(|(.., verb, name)| (name == "sageapi-operator") == (verb != "create")));
}
