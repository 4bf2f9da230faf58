//! The JSON Schema of the configuration file: `config schema`.

use sageapi_contract::{Key, Kind, SECTIONS};
use serde_json::{Map, Value, json};

use super::report::scalar;
use super::source::split;

/// The schema of the file (JSON Schema 2020-12), for editors and for checks before a deployment. What concerns
/// several keys at once only the server checks.
pub fn schema() -> Value {
    let mut sections = Map::new();
    for section in SECTIONS {
        let mut properties = Map::new();
        for key in section.groups.iter().copied().flatten() {
            let path = key.path.split('.').skip(1).collect::<Vec<_>>();
            insert(&mut properties, &path, property(key));
        }
        sections.insert(section.name.to_owned(), object(section.doc, &properties));
    }
    let mut schema = object("Configuration of sageapi-server.", &sections);
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "sageapi-server".into();
    schema
}

fn object(doc: &str, properties: &Map<String, Value>) -> Value {
    json!({"type": ["object", "null"], "description": doc, "additionalProperties": false, "properties": properties})
}

fn insert(properties: &mut Map<String, Value>, path: &[&str], value: Value) {
    match path {
        [] => {}
        [name] => {
            properties.insert((*name).to_owned(), value);
        }
        [name, rest @ ..] => {
            let inner = properties.entry(*name).or_insert_with(|| object("A group of keys.", &Map::new()));
            if let Some(inner) = inner["properties"].as_object_mut() {
                insert(inner, rest, value);
            }
        }
    }
}

fn property(key: &Key) -> Value {
    let mut schema = match key.kind {
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Integer(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
        Kind::Ratio => json!({"type": "number", "minimum": 0, "maximum": 1}),
        Kind::Size(..) => {
            json!({"type": ["integer", "string"], "minimum": 0, "pattern": "^[0-9]+(k|M|G|kB|KB|MB|GB|Ki|Mi|Gi|KiB|MiB|GiB)?$"})
        }
        Kind::Time(..) => json!({"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$"}),
        Kind::Choice(words) => json!({"type": "string", "enum": words}),
        Kind::Text(least) => json!({"type": "string", "minLength": least}),
        Kind::Currency => json!({"type": "string", "pattern": "^[A-Z]{3,8}$"}),
        kind if kind.is_list() => json!({"type": "array", "items": {"type": "string"}}),
        _ => json!({"type": "string"}),
    };
    schema["description"] = format!("{} Accepts {}.", key.doc, key.kind.accepts()).into();
    if let Some(default) = key.default {
        let list = key.kind.is_list();
        schema["default"] = if list { split(default).into() } else { scalar(key.kind, default) };
    }
    if key.secret {
        schema["writeOnly"] = true.into();
    }
    schema
}
