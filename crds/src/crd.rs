use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use crate::SageApi;

/// The definition that a cluster needs before it accepts resources.
///
/// The derived schema is tidied: a field that is `null` is one left out, and is not admitted as
/// a value of its own; doc comments lose their line ends.
pub fn crd() -> CustomResourceDefinition {
    let definition = SageApi::crd();
    let Ok(mut value) = serde_json::to_value(&definition) else { return definition };
    tidy(&mut value);
    serde_json::from_value(value).unwrap_or(definition)
}

/// The definition as YAML, as it is committed and shipped.
pub fn yaml() -> Result<String, serde_yaml::Error> {
    Ok(format!(
        "# Generated from crds/src; to regenerate: UPDATE=1 cargo test -p sageapi-crds.\n{}",
        serde_yaml::to_string(&crd())?
    ))
}

fn tidy(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.remove("nullable");
            if let Some(Value::Array(words)) = members.get_mut("enum") {
                words.retain(|word| !word.is_null());
            }
            if let Some(Value::String(text)) = members.get_mut("description") {
                *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            }
            members.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A quantity as Kubernetes writes them: text like 64Mi, or a number.
pub(crate) fn quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "x-kubernetes-int-or-string": true,
        "pattern": "^[+]?[0-9]{1,18}([.][0-9]{1,9})?([eE][-+]?[0-9]{1,3}|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$",
        "maxLength": 32,
    })
}

/// Quantities by resource name.
pub(crate) fn quantities(generator: &mut SchemaGenerator) -> Schema {
    let quantity = quantity(generator);
    json_schema!({"type": "object", "additionalProperties": quantity, "maxProperties": 16})
}

fn texts(most: u32, longest: u32) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": {"type": "string", "maxLength": longest},
        "maxProperties": most,
    })
}

pub(crate) fn annotations(_: &mut SchemaGenerator) -> Schema {
    texts(64, 4096)
}

pub(crate) fn node_selector(_: &mut SchemaGenerator) -> Schema {
    texts(32, 63)
}

pub(crate) fn networks(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 64, "items": {"type": "string", "maxLength": 64}})
}

pub(crate) fn tolerations(_: &mut SchemaGenerator) -> Schema {
    list_of::<k8s_openapi::api::core::v1::Toleration>(32)
}

pub(crate) fn peers(_: &mut SchemaGenerator) -> Schema {
    list_of::<k8s_openapi::api::networking::v1::NetworkPolicyPeer>(32)
}

/// A bounded list of a type of Kubernetes, without its descriptions: they would be half of the manifest.
fn list_of<T: JsonSchema>(most: u32) -> Schema {
    let settings = schemars::generate::SchemaSettings::openapi3().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut items = settings.into_generator().into_root_schema_for::<T>().to_value();
    strip(&mut items);
    json_schema!({"type": "array", "maxItems": most, "items": items})
}

fn strip(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            for name in ["description", "title", "$schema"] {
                // A property may be called the same; only text is a description.
                if members.get(name).is_some_and(Value::is_string) {
                    members.remove(name);
                }
            }
            members.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
