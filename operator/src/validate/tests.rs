use serde_json::{Value, json};

use super::*;

fn settings() -> Settings {
    Settings {
        server_image: "sageapi.io/sageapi-server:0.1.0".to_owned(),
        cluster: "cluster".to_owned(),
        namespace: "sageapi-system".to_owned(),
        monitoring_namespaces: Vec::new(),
    }
}

fn resource(spec: &Value) -> SageApi {
    let mut whole = json!({"database": {"mysql": {"urlSecretRef": {"name": "db"}}}});
    for (name, value) in spec.as_object().unwrap() {
        whole[name] = value.clone();
    }
    let metadata = json!({"name": "prod", "namespace": "billing", "uid": "u1"});
    serde_json::from_value(json!({
        "apiVersion": "sageapi.io/v1alpha1", "kind": "SageApi", "metadata": metadata, "spec": whole
    }))
    .unwrap()
}

fn validated(spec: &Value) -> Validated {
    validate(&resource(spec), &settings()).unwrap()
}

fn problems(spec: &Value) -> Vec<String> {
    let problems = validate(&resource(spec), &settings()).unwrap_err();
    problems.into_iter().map(|problem| problem.path).collect()
}

#[test]
fn the_least_specification_has_the_documented_defaults() {
    let validated = validated(&json!({}));
    assert_eq!(validated.spec.instances, 1);
    assert_eq!(validated.image.reference(), "sageapi.io/sageapi-server:0.1.0");
    assert_eq!(validated.shutdown_grace, Duration::from_secs(35));
    assert_eq!(validated.termination_grace(), Duration::from_secs(45));
    assert_eq!(validated.active_deadline, Duration::from_mins(15));
    assert_eq!((validated.max_attempts, validated.max_unavailable()), (3, 1));
    let resources = serde_json::to_value(&validated.resources).unwrap();
    assert_eq!(
        resources,
        json!({"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}})
    );
}

#[test]
fn every_wrong_value_is_told_with_its_path_and_all_at_once() {
    let upstream = |url: &str| json!({"url": url, "timeout": "1h", "auth": {"secretRef": {"name": "s"}}});
    for (spec, paths) in [
        (json!({"sync": {"users": {"every": "31d"}}}), vec!["spec.sync.users.every"]),
        (json!({"sync": {"pricing": {"schedule": "61 * * * *"}}}), vec!["spec.sync.pricing.schedule"]),
        (json!({"sync": {"pricing": {"schedule": "0 0 30 2 *"}}}), vec!["spec.sync.pricing.schedule"]),
        (json!({"sync": {"pricing": {"schedule": "0 0 * * * *"}}}), vec!["spec.sync.pricing.schedule"]),
        (json!({"sync": {"pricing": {"schedule": "*/61 * * * *"}}}), vec!["spec.sync.pricing.schedule"]),
        (json!({"sync": {"pricing": {"schedule": "0 1,2/24 * * *"}}}), vec!["spec.sync.pricing.schedule"]),
        (json!({"sync": {"timeZone": "Mars/Base"}}), vec!["spec.sync.timeZone"]),
        (
            json!({"sync": {"uapi": {"every": "5m", "schedule": "* * * * *"}}}),
            vec!["spec.sync.uapi.schedule"],
        ),
        (
            json!({"upstream": upstream("http://u:p@host")}),
            vec!["spec.upstream.url", "spec.upstream.timeout"],
        ),
        (json!({"server": {"publicUrl": "https://host/path"}}), vec!["spec.server.publicUrl"]),
        (
            json!({"server": {"trustedProxies": ["10.0.0.0/8", "10.0.0.0/33", "host"]}}),
            vec!["spec.server.trustedProxies[1]", "spec.server.trustedProxies[2]"],
        ),
        (json!({"server": {"requestTimeout": "2h"}}), vec!["spec.server.requestTimeout"]),
        (json!({"cache": {"maxBytes": "1Ki", "ttl": "0s"}}), vec!["spec.cache.ttl", "spec.cache.maxBytes"]),
        (
            json!({"resources": {"requests": {"cpu": "lots", "memory": "2Gi"}, "limits": {"memory": "1Gi"}}}),
            vec!["spec.resources.requests.cpu", "spec.resources.requests.memory"],
        ),
        (json!({"image": {"repository": "Bad Name"}}), vec!["spec.image"]),
        (json!({"podAnnotations": {"sageapi.io/config-hash": "x"}}), vec!["spec.podAnnotations"]),
    ] {
        assert_eq!(problems(&spec), paths, "{spec}");
    }
}

#[test]
fn a_quantity_that_cannot_be_meant_is_refused_in_every_field_of_quantities() {
    let told = |spec: &Value| {
        let problems = validate(&resource(spec), &settings()).unwrap_err();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    for (field, value, meant) in [
        ("memory", json!("500m"), "500Mi"),
        ("memory", json!("0.5"), "0.5Gi"),
        ("memory", json!("1"), "1Gi"),
        ("memory", json!(512), "512Mi"),
        ("ephemeral-storage", json!("2k"), "2Gi"),
        ("cpu", json!("500Mi"), "500m"),
        ("cpu", json!(500), "500m"),
    ] {
        for kind in ["requests", "limits"] {
            let mut spec = json!({"resources": {kind: {}}});
            spec["resources"][kind][field] = value.clone();
            let told = told(&spec);
            assert!(told.starts_with(&format!("spec.resources.{kind}.{field}: ")), "{told}");
            assert!(told.contains(&format!("did you mean {meant}?")), "{told}");
        }
    }
    assert!(told(&json!({"cache": {"maxBytes": "64m"}})).contains("did you mean 64Mi?"));
    assert!(told(&json!({"cache": {"maxBytes": "2Ti"}})).contains("is not from 1Mi to 1Ti"));
    assert!(told(&json!({"resources": {"limits": {"mem": "64Mi"}}})).contains("write cpu, memory"));
    assert!(told(&json!({"resources": {"limits": {"memory": "2Mi"}}})).contains("write at least 32Mi"));
    validated(&json!({"resources": {"requests": {"memory": "16Mi", "cpu": 0}}}));
}

#[test]
fn variables_that_the_operator_sets_or_the_server_does_not_know_are_refused() {
    let extra = |name: &str| json!({"extraEnv": [{"name": name, "value": "x"}]});
    for name in [
        "SAGEAPI_CONFIG",
        "SAGEAPI_DATABASE_URL",
        "SAGEAPI_DATABASE_URL_FILE",
        "SAGEAPI_AUTH_ENCRYPTION_KEY_FILE",
        "SAGEAPI_SERVER_LISTEN",
        "SAGEAPI_NO_SUCH_KEY",
    ] {
        assert_eq!(problems(&extra(name)), ["spec.extraEnv[0].name"], "{name}");
    }
    for name in ["HTTPS_PROXY", "SAGEAPI_ACCOUNTING_WRITERS", "SAGEAPI_TEST_ANYTHING"] {
        validated(&extra(name));
    }
}

#[test]
fn a_default_of_resources_never_contradicts_what_was_asked_for() {
    let of = |resources: Value| {
        serde_json::to_value(validated(&json!({"resources": resources})).resources).unwrap()
    };
    assert_eq!(of(json!({"requests": {"memory": "1Gi"}}))["limits"]["memory"], "1Gi");
    assert_eq!(
        of(json!({"limits": {"memory": "32Mi", "cpu": "50m"}}))["requests"],
        json!({"memory": "32Mi", "cpu": "50m"})
    );
    assert_eq!(of(json!({"requests": {"cpu": 2}}))["requests"]["cpu"], "2");
}

#[test]
fn the_cache_is_asked_for_in_quantities_and_told_in_bytes() {
    assert_eq!(validated(&json!({"cache": {"maxBytes": "1.5Gi"}})).cache_bytes, Some(1536 << 20));
    assert_eq!(validated(&json!({"cache": {"maxBytes": 2_097_152}})).cache_bytes, Some(2 << 20));
}

#[test]
fn a_longer_request_gives_pods_longer_to_end() {
    let validated = validated(&json!({"server": {"requestTimeout": "2m"}}));
    assert_eq!(validated.termination_grace(), Duration::from_secs(5 + 120 + 5 + 5));
}
