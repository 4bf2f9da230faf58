//! The chart `charts/sageapi-operator` on a real API server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is code of tests")]

use std::path::{Path, PathBuf};

use sageapi_test_cluster::ControlPlane;

fn file(path: &str) -> String {
    let root: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned();
    root.join(path).display().to_string()
}

fn chart() -> String {
    file("charts/sageapi-operator")
}

/// The chart as it would be installed into `sageapi-system` with these values.
fn rendered(values: &[&str]) -> Result<String, String> {
    let mut args = vec!["template", "sageapi-operator", "--namespace", "sageapi-system"];
    let chart = chart();
    args.push(&chart);
    for value in values {
        args.extend(["--set", value]);
    }
    ControlPlane::shared().helm(args).map_err(|why| why.to_string())
}

/// The documents of a kind.
fn of_kind<'a>(manifest: &'a str, kind: &str) -> Vec<&'a str> {
    let line = format!("\nkind: {kind}\n");
    manifest.split("\n---").filter(|document| document.contains(&line)).collect()
}

#[test]
fn the_charts_definition_of_the_resource_is_the_generated_one() {
    let generated = file("crds/sageapi.io_sageapis.yaml");
    let copy = file("charts/sageapi-operator/files/sageapi.io_sageapis.yaml");
    let text = std::fs::read_to_string(&generated).unwrap();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&copy, &text).unwrap();
    }
    let same = std::fs::read_to_string(copy).unwrap() == text;
    assert!(same, "copy it: UPDATE=1 cargo test -p sageapi-test-cluster --test chart");
}

#[test]
fn the_chart_is_of_this_version() {
    let chart = std::fs::read_to_string(file("charts/sageapi-operator/Chart.yaml")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(chart.contains(&format!("\nversion: {version}\nappVersion: \"{version}\"\n")), "{chart}");
}

#[test]
fn lint_finds_nothing_even_when_strict() {
    ControlPlane::shared().helm(["lint", "--strict", &chart()]).unwrap();
}

#[test]
fn a_value_that_means_nothing_is_refused() {
    for wrong in ["replica=2", "replicas=0", "secrets.access=list", "image.digest=latest", "log.format=xml"] {
        let why = rendered(&[wrong]).expect_err(wrong);
        assert!(why.contains("values don't meet the specifications"), "{wrong}: {why}");
    }
}

#[test]
fn images_are_named_by_tag_or_digest_and_may_come_from_a_mirror() {
    let digest = "sha256:".to_owned() + &"0".repeat(64);
    let manifest = rendered(&[
        "global.imageRegistry=registry.example.com/mirror",
        &format!("serverImage.digest={digest}"),
        "image.tag=1.2.3",
    ]);
    let manifest = manifest.unwrap();
    assert!(manifest.contains("image: \"registry.example.com/mirror/sageapi-operator:1.2.3\""), "{manifest}");
    let server = format!("--server-image=registry.example.com/mirror/sageapi-server@{digest}");
    assert!(manifest.contains(&server), "{manifest}");
}

#[test]
fn an_operator_of_some_namespaces_has_rights_in_no_other() {
    let manifest =
        rendered(&["watchNamespaces={one,two}", "clusterName=here", "userRoles.enabled=false"]).unwrap();
    assert!(of_kind(&manifest, "ClusterRole").is_empty());
    assert!(of_kind(&manifest, "ClusterRoleBinding").is_empty());
    assert!(manifest.contains("--namespaces=one,two"));
    let namespaces = |kind| {
        let documents = of_kind(&manifest, kind);
        ["one", "two", "sageapi-system"].map(|namespace| {
            let line = format!("\n  namespace: {namespace}\n");
            documents.iter().filter(|document| document.contains(&line)).count()
        })
    };
    assert_eq!(namespaces("Role"), [1, 1, 1]);
    assert_eq!(namespaces("RoleBinding"), [1, 1, 1]);
}

#[test]
fn monitoring_is_let_through_the_network_policies_that_the_operator_makes() {
    let manifest = rendered(&["monitoring.namespaces={prometheus,grafana}"]).unwrap();
    assert!(manifest.contains("- --monitoring-namespaces=prometheus,grafana\n"), "{manifest}");
    assert!(!rendered(&[]).unwrap().contains("--monitoring-namespaces"), "nothing is let through unasked");
}

#[test]
fn an_operator_that_may_not_list_secrets_is_not_given_that_right() {
    let rules = |access: &str| {
        let manifest = rendered(&[&format!("secrets.access={access}")]).unwrap();
        let role = of_kind(&manifest, "ClusterRole")[0].to_owned();
        let secrets = role.split("resources: [secrets]").nth(1).unwrap();
        secrets.lines().nth(1).unwrap().trim().to_owned()
    };
    assert_eq!(rules("get"), "verbs: [get, create, delete]");
    assert_eq!(rules("watch"), "verbs: [get, list, watch, create, delete]");
}

/// One test: a release brings the definition of the resource, of which a cluster has one.
#[test]
fn the_chart_installs_upgrades_and_uninstalls_and_the_definition_outlives_it() {
    // A control plane of its own: the shared one has the definition already, of whoever came first.
    let plane = ControlPlane::start().unwrap();
    let namespace = plane.namespace("chart").unwrap();
    let chart = chart();
    let install = |values: &[&str]| {
        let mut args = vec!["upgrade", "--install", "sageapi-operator", &chart, "--namespace", &namespace];
        for value in values {
            args.extend(["--set", value]);
        }
        plane.helm(args).unwrap()
    };
    let get = |what: &str, path: &str| {
        let path = format!("jsonpath={path}");
        plane.kubectl(["-n", &namespace, "get", what, "-o", &path]).unwrap()
    };

    let notes = install(&[]);
    assert!(notes.contains("kubectl --namespace"), "{notes}");
    plane
        .kubectl(["wait", "--for=condition=Established", "--timeout=60s", "crd/sageapis.sageapi.io"])
        .unwrap();
    let replicas = "{.spec.replicas}";
    assert_eq!(get("deployment/sageapi-operator", replicas), "2");
    let account = format!("--as=system:serviceaccount:{}:sageapi-operator", &*namespace);
    let may = |verb: &str, what: &str, part: &str, namespace: &str| {
        let part = format!("--subresource={part}");
        plane.kubectl(["auth", "can-i", verb, what, &part, "-n", namespace, &account]).is_ok()
    };
    assert!(may("patch", "sageapis.sageapi.io", "status", "default"));
    assert!(may("create", "deployments.apps", "", "default"));
    assert!(!may("patch", "sageapis.sageapi.io", "", "default"), "a specification is its author's");
    assert!(!may("create", "clusterroles.rbac.authorization.k8s.io", "", "default"));

    install(&["replicas=3", "clusterName=here", &format!("watchNamespaces={{{}}}", &*namespace)]);
    assert_eq!(get("deployment/sageapi-operator", replicas), "3");
    assert!(may("create", "deployments.apps", "", &namespace));
    assert!(!may("create", "deployments.apps", "", "default"), "the rights in all namespaces are gone");

    plane.helm(["uninstall", "sageapi-operator", "--namespace", &namespace]).unwrap();
    assert!(plane.kubectl(["-n", &namespace, "get", "deployment/sageapi-operator"]).is_err());
    plane.kubectl(["get", "crd/sageapis.sageapi.io"]).unwrap();

    // And a later release of the same name and namespace takes it over.
    install(&["crds.keep=false"]);
    plane.helm(["uninstall", "sageapi-operator", "--namespace", &namespace, "--wait"]).unwrap();
    assert!(plane.kubectl(["get", "crd/sageapis.sageapi.io"]).is_err());
}
