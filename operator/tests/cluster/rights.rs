use std::collections::BTreeSet;

use sageapi_crds::ConditionType;
use sageapi_operator::rbac::{self, Rule};
use sageapi_operator::watch::SecretsAccess;
use serde_json::{Value, json};

use crate::bench::{Bench, SECRETS, sageapi};
use crate::operator::Operator;

fn rules(rules: &[Rule]) -> Value {
    let rule = |rule: &Rule| {
        let mut value = json!({"apiGroups": [rule.group], "resources": [rule.resource], "verbs": rule.verbs});
        if let Some(name) = rule.name {
            value["resourceNames"] = json!([name]);
        }
        value
    };
    rules.iter().map(rule).collect()
}

/// The roles of the list, bound to the test's user, and that user's kubeconfig.
fn bound(bench: &Bench, secrets: SecretsAccess) -> std::path::PathBuf {
    let (user, namespace) = (bench.user(), bench.namespace.name());
    let subjects = json!([{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}]);
    let group = "rbac.authorization.k8s.io";
    let mut in_namespace = rbac::watched(secrets);
    in_namespace.extend(rbac::own());
    for (kind, in_namespace, rules) in
        [("", true, rules(&in_namespace)), ("Cluster", false, rules(&rbac::cluster()))]
    {
        let metadata =
            if in_namespace { json!({"name": user, "namespace": namespace}) } else { json!({"name": user}) };
        let api_version = format!("{group}/v1");
        let role = json!({
            "apiVersion": api_version, "kind": format!("{kind}Role"), "metadata": metadata, "rules": rules,
        });
        let binding = json!({
            "apiVersion": api_version, "kind": format!("{kind}RoleBinding"), "metadata": metadata,
            "subjects": subjects,
            "roleRef": {"apiGroup": group, "kind": format!("{kind}Role"), "name": user},
        });
        bench.plane.apply(&role.to_string()).unwrap();
        bench.plane.apply(&binding.to_string()).unwrap();
    }
    bench.plane.kubeconfig_as(&user, &[]).unwrap()
}

/// What was asked of the API server, as group-less `verb resource`; an apply that made its object needed `create` too.
/// A watch is in the audit log only when it ends: of those the operator's own count tells.
fn asked(bench: &Bench, operator: &Operator) -> BTreeSet<String> {
    let user = bench.user();
    let requests = bench.plane.requests().unwrap();
    let watched = |line: &str| {
        let rest = line.strip_prefix("sageapi_operator_api_requests_total{verb=\"watch\",resource=\"")?;
        let (resource, code) = rest.split_once("\",code=\"")?;
        code.starts_with("200\"").then(|| format!("watch {resource}"))
    };
    let mut asked: BTreeSet<String> = operator.get("/metrics").lines().filter_map(watched).collect();
    for request in requests.iter().filter(|request| request.user == user && !request.resource.is_empty()) {
        assert!(request.code != 403, "refused: {request:?}");
        let mut resource = request.resource.clone();
        if !request.subresource.is_empty() {
            resource = format!("{resource}/{}", request.subresource);
        }
        if request.verb == "patch" && request.code == 201 {
            asked.insert(format!("create {resource}"));
        }
        asked.insert(format!("{} {resource}", request.verb));
    }
    asked
}

fn granted(secrets: SecretsAccess) -> BTreeSet<String> {
    let all = [rbac::watched(secrets), rbac::own(), rbac::cluster()].concat();
    all.iter()
        .flat_map(|rule| rule.verbs.iter().map(move |verb| format!("{verb} {}", rule.resource)))
        .collect()
}

#[tokio::test]
async fn every_right_is_used_and_no_other_is_needed() {
    let bench = Bench::new("rights").await;
    let kubeconfig = bound(&bench, SecretsAccess::Watch);
    let operator = bench.operator_with(&kubeconfig, "first", &[]);
    bench.apply(&sageapi(""));
    bench.phase("Resolving").await;
    bench.apply(SECRETS);
    bench.phase("Ready").await;
    bench.until("the lease is renewed", async || asked(&bench, &operator).contains("update leases")).await;
    let used = asked(&bench, &operator);
    let granted = granted(SecretsAccess::Watch);
    assert!(used.is_subset(&granted), "not granted: {:?}", used.difference(&granted).collect::<Vec<_>>());
    // Asked for only by the garbage collector's admission, by repeated events, and when old objects are cleared away.
    let rarely = [
        "update sageapis/finalizers",
        "patch events",
        "delete secrets",
        "delete configmaps",
        "delete jobs",
        "delete networkpolicies",
        "get jobs",
        "get configmaps",
    ];
    let unused: Vec<&String> =
        granted.difference(&used).filter(|right| !rarely.contains(&right.as_str())).collect();
    assert!(unused.is_empty(), "granted but not used: {unused:?}");
}

#[tokio::test]
async fn without_the_right_to_list_secrets_it_comes_to_the_same() {
    let bench = Bench::new("get").await;
    let kubeconfig = bound(&bench, SecretsAccess::Get);
    let mut operator = bench.operator_with(&kubeconfig, "first", &["--secrets", "get"]);
    bench.apply(SECRETS);
    bench.apply(&sageapi(""));
    bench.phase("Ready").await;
    let used = asked(&bench, &operator);
    assert!(!used.contains("list secrets") && !used.contains("watch secrets"));
    bench.condition(ConditionType::SyncHealthy, "True", "Healthy").await;
    bench.settled(&operator).await;
    let before = bench.writes().await.len();
    assert!(operator.terminate().success());
    let again = bench.operator_with(&kubeconfig, "second", &["--secrets", "get"]);
    bench.until("the operator leads", async || again.leads()).await;
    bench.settled(&again).await;
    assert_eq!(bench.writes().await.split_off(before), []);
}

#[tokio::test]
async fn a_missing_right_is_said_and_its_grant_is_followed() {
    let bench = Bench::new("forbidden").await;
    let kubeconfig = bound(&bench, SecretsAccess::Watch);
    let user = bench.user();
    let rules = rbac::watched(SecretsAccess::Watch);
    let policies = rules.iter().position(|rule| rule.resource == "networkpolicies").unwrap();
    let role = |verbs: &str| {
        let patch = format!(
            r#"[{{"op":"replace","path":"/rules/{policies}/verbs","value":["get","list","watch"{verbs}]}}]"#
        );
        let args = ["patch", "role", &user, "-n", bench.namespace.name(), "--type=json", "-p", &patch];
        bench.plane.kubectl(args).unwrap();
    };
    role("");
    let operator = bench.operator_with(&kubeconfig, "first", &[]);
    bench.apply(SECRETS);
    bench.apply(&sageapi(""));
    let condition = bench.condition(ConditionType::Ready, "False", "Forbidden").await;
    assert!(condition.message.contains("NetworkPolicy prod"), "{}", condition.message);
    role(r#","create","patch""#);
    bench.settled(&operator).await;
    bench.phase("Ready").await;
}
