//! The chart `charts/sageapi-operator` on a real API server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is code of tests")]

use std::path::{Path, PathBuf};

use sageapi_test_cluster::ControlPlane;
use serde::Deserialize as _;
use serde_json::Value;

fn file(path: &str) -> String {
    let root: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned();
    root.join(path).display().to_string()
}

fn chart() -> String {
    file("charts/sageapi-operator")
}

/// The chart as it would be installed into `sageapi-system` with these values.
fn rendered(values: &[&str]) -> Result<String, String> {
    let values: Vec<_> = values.iter().flat_map(|value| ["--set", value]).collect();
    rendered_as("sageapi-operator", "sageapi-system", &values)
}

/// The chart as a release of this name and namespace.
fn rendered_as(release: &str, namespace: &str, more: &[&str]) -> Result<String, String> {
    let chart = chart();
    let args =
        ["template", release, &chart, "--namespace", namespace].into_iter().chain(more.iter().copied());
    ControlPlane::shared().helm(args).map_err(|why| why.to_string())
}

fn documents(manifest: &str) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(manifest).map(|one| Value::deserialize(one).unwrap());
    documents.filter(Value::is_object).collect()
}

/// The documents of a kind.
fn of_kind(manifest: &str, kind: &str) -> Vec<Value> {
    documents(manifest).into_iter().filter(|document| document["kind"] == kind).collect()
}

/// The arguments of the operator.
fn arguments(manifest: &str) -> Vec<String> {
    let deployment = of_kind(manifest, "Deployment").remove(0);
    let arguments =
        deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap().clone();
    arguments.iter().map(|argument| argument.as_str().unwrap().to_owned()).collect()
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
        let within =
            |namespace| documents.iter().filter(|one| one["metadata"]["namespace"] == namespace).count();
        ["one", "two", "sageapi-system"].map(within)
    };
    assert_eq!(namespaces("Role"), [1, 1, 1]);
    assert_eq!(namespaces("RoleBinding"), [1, 1, 1]);
}

#[test]
fn monitoring_is_let_through_the_network_policies_that_the_operator_makes() {
    let manifest = rendered(&["monitoring.namespaces={prometheus,grafana}"]).unwrap();
    let argument = "--monitoring-namespaces=prometheus,grafana".to_owned();
    assert!(arguments(&manifest).contains(&argument), "{manifest}");
    assert!(!rendered(&[]).unwrap().contains("--monitoring-namespaces"), "nothing is let through unasked");
}

#[test]
fn an_operator_that_may_not_list_secrets_is_not_given_that_right() {
    let rules = |access: &str| {
        let manifest = rendered(&[&format!("secrets.access={access}")]).unwrap();
        let role = of_kind(&manifest, "ClusterRole").remove(0);
        let rules = role["rules"].as_array().unwrap().clone();
        let secrets = rules.iter().find(|rule| rule["resources"] == serde_json::json!(["secrets"])).unwrap();
        secrets["verbs"].to_string()
    };
    assert_eq!(rules("get"), r#"["get","create","delete"]"#);
    assert_eq!(rules("watch"), r#"["get","list","watch","create","delete"]"#);
}

/// Every text of the chart that is a name or a value of somebody's, as something that YAML takes for no text.
const ODD: &[&str] = &[
    "clusterName=3",
    "watchNamespaces={7,0x1f}",
    "monitoring.namespaces={8,true}",
    "image.pullSecrets={4,null}",
    "image.repository=9",
    "image.tag=1.2",
    "serverImage.tag=1e3",
    "serviceAccount.name=5",
    "serviceAccount.annotations.a=true",
    "priorityClassName=6",
    "podLabels.a=1",
    "podAnnotations.a=0x1f",
    "nodeSelector.a=1",
    "log.level=info",
    "telemetry.otlpEndpoint=http://a#b: c",
];

/// Fields that Kubernetes wants as numbers or booleans.
const NOT_TEXT: &[&str] = &[
    "replicas",
    "maxSurge",
    "maxUnavailable",
    "weight",
    "port",
    "containerPort",
    "periodSeconds",
    "timeoutSeconds",
    "runAsUser",
    "runAsGroup",
    "runAsNonRoot",
    "allowPrivilegeEscalation",
    "readOnlyRootFilesystem",
    "enableServiceLinks",
    "automountServiceAccountToken",
];

fn scalars(path: &str, value: &Value, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| scalars(&format!("{path}.{name}"), value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| scalars(path, value, found)),
        scalar => found.push((path.to_owned(), scalar.clone())),
    }
}

#[test]
fn every_text_of_every_template_is_text_whatever_it_looks_like() {
    let odd: Vec<_> = ODD.iter().flat_map(|value| ["--set-string", value]).collect();
    for (values, release) in
        [(&odd[..], "1"), (&[][..], "1"), (&[], "true"), (&[], "0x1f"), (&[], "1e3"), (&[], "a.b")]
    {
        let manifest = rendered_as(release, "2", values).unwrap();
        for template in std::fs::read_dir(file("charts/sageapi-operator/templates")).unwrap() {
            let path = template.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let shown = path.extension().is_none_or(|extension| extension != "yaml")
                || manifest.contains(&format!("/templates/{name}\n"));
            assert!(shown, "{name} is not rendered, and so not tested");
        }
        for document in documents(&manifest) {
            let kind = document["kind"].as_str().unwrap();
            let mut found = Vec::new();
            if kind != "CustomResourceDefinition" {
                scalars(kind, &document, &mut found);
            }
            for (path, value) in found {
                let field = path.rsplit('.').next().unwrap();
                assert!(value.is_string() || NOT_TEXT.contains(&field), "{release}: {path} is {value}");
            }
        }
        let name = of_kind(&manifest, "Service")[0]["metadata"]["name"].as_str().unwrap().to_owned();
        assert!(
            name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.contains('.'),
            "{release}: {name}"
        );
    }
}

/// What a parser of YAML 1.2 takes for text may be none for one of 1.1.
#[test]
fn every_expression_of_a_template_that_becomes_a_scalar_is_quoted() {
    let folder = file("charts/sageapi-operator/templates");
    for path in ["", "tests/"].iter().flat_map(|sub| std::fs::read_dir(format!("{folder}/{sub}")).unwrap()) {
        let path = path.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !path.is_file() || matches!(name, "NOTES.txt" | "crds.yaml") {
            continue;
        }
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let scalar = line.split_once(": {{ ").or_else(|| line.split_once("- {{ "));
            let quoted = scalar.is_none_or(|(_, expression)| expression.contains("quote }}"));
            assert!(quoted || line.contains("replicas: {{ .Values.replicas }}"), "{name}: {line}");
            assert!(!line.contains("={{ ") && !line.contains("}}-"), "{name}: {line}");
        }
    }
}

#[test]
fn a_value_that_is_null_is_as_if_left_out_or_is_refused_and_says_which() {
    let values = std::fs::read_to_string(file("charts/sageapi-operator/values.yaml")).unwrap();
    let values: Value = serde_yaml::from_str(&values).unwrap();
    let mut paths: Vec<String> = Vec::new();
    for (section, value) in values.as_object().unwrap() {
        paths.push(section.clone());
        paths.extend(value.as_object().into_iter().flatten().map(|(key, _)| format!("{section}.{key}")));
    }
    assert!(paths.len() > 30, "{paths:?}");
    for path in paths {
        let null = format!("{path}=null");
        if let Err(why) = rendered(&[&null]) {
            let key = path.rsplit('.').next().unwrap();
            assert!(why.contains(&format!("missing property '{key}'")), "{null}: {why}");
        }
    }
    for optional in
        ["global", "monitoring", "telemetry", "serviceAccount", "resources", "affinity", "image.tag"]
    {
        rendered(&[&format!("{optional}=null")]).unwrap();
    }
}

#[test]
fn an_amount_of_cpu_or_memory_that_cannot_be_meant_is_refused() {
    for wrong in [
        "limits.memory=500m",
        "limits.memory=1",
        "requests.memory=1Ki",
        "requests.cpu=500Mi",
        "limits.cpu=500",
    ] {
        let why = rendered(&[&format!("resources.{wrong}")]).expect_err(wrong);
        assert!(why.contains("values don't meet the specifications"), "{wrong}: {why}");
    }
    for right in [
        "limits.memory=256Mi",
        "limits.memory=268435456",
        "requests.cpu=100m",
        "limits.cpu=1",
        "limits.cpu=0.5",
    ] {
        rendered(&[&format!("resources.{right}")]).unwrap();
    }
}

/// One test: a release brings the definition of the resource, of which a cluster has one.
#[test]
fn the_chart_installs_upgrades_and_uninstalls_and_the_definition_outlives_it() {
    // A control plane of its own: the shared one has the definition already, from the first test that ran.
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
