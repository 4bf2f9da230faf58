//! The committed manifest, and what must hold of it.

#![expect(clippy::unwrap_used, reason = "this is a test")]

use std::path::Path;

use serde_json::Value;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sageapi.io_sageapis.yaml");

fn definition() -> Value {
    serde_json::to_value(sageapi_crds::crd()).unwrap()
}

fn schema() -> Value {
    definition().pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap().clone()
}

#[test]
fn the_committed_manifest_is_up_to_date() {
    let text = sageapi_crds::yaml().unwrap();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(FILE, &text).unwrap();
    }
    let committed = std::fs::read_to_string(Path::new(FILE)).unwrap_or_default();
    assert!(committed == text, "run `UPDATE=1 cargo test -p sageapi-crds`");
}

#[test]
fn the_manifest_stays_far_below_what_kubectl_apply_can_take() {
    let size = sageapi_crds::yaml().unwrap().len();
    assert!(size < 100_000, "{size} bytes");
}

/// Calls `check` with the path and the value of every schema within.
fn walk(path: &str, schema: &Value, check: &mut dyn FnMut(&str, &Value)) {
    check(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), property, check);
    }
    if schema["items"].is_object() {
        walk(&format!("{path}[]"), &schema["items"], check);
    }
    if schema["additionalProperties"].is_object() {
        walk(&format!("{path}{{}}"), &schema["additionalProperties"], check);
    }
}

/// Types of Kubernetes that are taken as they are; none of our rules walks them.
fn embedded(path: &str) -> bool {
    [".spec.tolerations[]", ".spec.networkPolicy.ingressFrom[]", ".metadata"]
        .iter()
        .any(|e| path.starts_with(e))
}

#[test]
fn every_list_map_and_string_of_our_own_is_bounded() {
    let mut unbounded = Vec::new();
    walk("", &schema(), &mut |path, schema| {
        if embedded(path) || matches!(path, ".apiVersion" | ".kind") {
            return;
        }
        let bounded = match schema["type"].as_str() {
            Some("string") => {
                schema["maxLength"].is_u64() || schema["enum"].is_array() || schema["format"] == "date-time"
            }
            Some("array") => schema["maxItems"].is_u64(),
            Some("object") if schema["additionalProperties"].is_object() => schema["maxProperties"].is_u64(),
            _ => true,
        };
        if !bounded {
            unbounded.push(path.to_owned());
        }
    });
    assert!(unbounded.is_empty(), "{unbounded:?}");
}

#[test]
fn integers_are_signed_and_nothing_is_nullable() {
    walk("", &schema(), &mut |path, schema| {
        let format = schema["format"].as_str().unwrap_or_default();
        assert!(!format.starts_with("uint"), "{path} has the format {format}, which prints warnings");
        assert!(schema["nullable"].is_null(), "{path}");
        let null = schema["enum"].as_array().is_some_and(|words| words.iter().any(Value::is_null));
        assert!(!null, "{path} admits null");
    });
}

#[test]
fn every_field_of_our_own_is_described() {
    let mut silent = Vec::new();
    walk("", &schema(), &mut |path, schema| {
        let field = path.starts_with(".spec") || path.starts_with(".status");
        let item = path.ends_with("[]") || path.ends_with("{}");
        if field && !item && !embedded(path) && !schema["description"].is_string() {
            silent.push(path.to_owned());
        }
    });
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn lists_that_are_written_entry_by_entry_have_keys() {
    let schema = schema();
    for (list, key) in [
        ("/properties/status/properties/conditions", "type"),
        ("/properties/status/properties/sync", "entity"),
        ("/properties/spec/properties/extraEnv", "name"),
        ("/properties/spec/properties/image/properties/pullSecrets", "name"),
    ] {
        let list = schema.pointer(list).unwrap();
        assert_eq!(list["x-kubernetes-list-type"], "map");
        assert_eq!(list["x-kubernetes-list-map-keys"], serde_json::json!([key]));
    }
}

#[test]
fn kubectl_scale_and_autoscalers_find_their_fields() {
    let version = definition()["spec"]["versions"][0].clone();
    assert_eq!(
        version["subresources"],
        serde_json::json!({
            "scale": {
                "specReplicasPath": ".spec.instances",
                "statusReplicasPath": ".status.instances",
                "labelSelectorPath": ".status.selector"
            },
            "status": {}
        })
    );
    let schema = schema();
    assert_eq!(schema.pointer("/properties/spec/properties/instances/default"), Some(&1.into()));
    for field in ["instances", "selector"] {
        assert!(schema.pointer(&format!("/properties/status/properties/{field}")).is_some(), "{field}");
    }
}

#[test]
fn every_column_shows_a_field_that_exists() {
    let definition = definition();
    let columns = definition["spec"]["versions"][0]["additionalPrinterColumns"].as_array().unwrap().clone();
    let names: Vec<_> = columns.iter().map(|column| column["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Ready", "Phase", "Instances", "Version", "Schema", "Sync", "Age"]);
    for column in &columns {
        let path = column["jsonPath"].as_str().unwrap();
        if path == ".metadata.creationTimestamp" {
            continue;
        }
        let path = path.replace(".conditions[?(@.type==\"Ready\")]", ".conditions[]");
        let mut found = None;
        walk("", &schema(), &mut |at, schema| {
            if at == path {
                found = Some(schema["type"].clone());
            }
        });
        assert_eq!(found.as_ref(), Some(&column["type"]), "{path}");
    }
}

#[test]
fn currency_and_scale_are_compared_by_the_servers_defaults() {
    let rules = schema().pointer("/properties/spec/x-kubernetes-validations").unwrap().to_string();
    let default = |key| sageapi_contract::find(key).unwrap().default.unwrap();
    let (currency, scale) = (default("accounting.currency"), default("accounting.scale"));
    for object in ["self", "oldSelf"] {
        assert!(rules.contains(&format!("{object}.accounting.currency : '{currency}')")), "{rules}");
        assert!(rules.contains(&format!("{object}.accounting.scale : {scale})")), "{rules}");
    }
}
