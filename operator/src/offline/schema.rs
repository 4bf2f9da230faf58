//! What the API server would refuse before the operator sees it: the schema and the rules of the resource's own
//! definition, read as the API server reads them, so that there is one check and not two.

use regex::Regex;
use serde_json::{Map, Value};

use crate::validate::Problem;

/// Checks an object against the definition of SageApi as a cluster does when it is created. A member that is null and has
/// a default is taken out of it, so that it gets that default; none of the others may be null.
pub fn check(object: &mut Value) -> Vec<Problem> {
    let definition = serde_json::to_value(sageapi_crds::crd()).unwrap_or_default();
    let Some(schema) = definition.pointer("/spec/versions/0/schema/openAPIV3Schema") else {
        return Vec::new();
    };
    let mut check = Check { problems: Vec::new() };
    check.metadata(object);
    check.value("", schema, object);
    check.problems
}

/// A rule of the definition, written here once more: CEL needs an interpreter.
struct Rule {
    text: &'static str,
    holds: fn(&Value) -> bool,
}

const RULES: &[Rule] = &[
    Rule {
        text: "self.metadata.name.matches('^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$')",
        holds: |object| object["metadata"]["name"].as_str().is_some_and(is_name),
    },
    Rule {
        text: "!(has(self.every) && has(self.schedule))",
        holds: |sync| sync.get("every").is_none() || sync.get("schedule").is_none(),
    },
    Rule {
        text: "!has(self.timeZone) || has(self.schedule)",
        holds: |sync| sync.get("timeZone").is_none() || sync.get("schedule").is_some(),
    },
];

fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    name.len() <= 40
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last().copied().is_some_and(plain)
        && bytes.iter().all(|b| plain(*b) || *b == b'-')
}

struct Check {
    problems: Vec<Problem>,
}

impl Check {
    fn problem(&mut self, path: &str, message: impl Into<String>) {
        let path = if path.is_empty() { "the resource" } else { path };
        self.problems.push(Problem { path: path.to_owned(), message: message.into() });
    }

    /// Metadata has a schema of its own in every cluster.
    fn metadata(&mut self, object: &Value) {
        let known = ["name", "namespace", "labels", "annotations", "finalizers", "ownerReferences"];
        // What `kubectl get -o yaml` shows besides; the API server sets or ignores it.
        let shown = [
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "managedFields",
            "selfLink",
            "generateName",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ];
        let members = object["metadata"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        for name in members.filter(|name| !known.contains(name) && !shown.contains(name)) {
            self.problem(&format!("metadata.{name}"), "unknown field");
        }
        if !object["metadata"]["name"].is_string() {
            self.problem("metadata.name", "required");
        }
    }

    fn value(&mut self, path: &str, schema: &Value, value: &mut Value) {
        if !self.type_fits(path, schema, value) {
            return;
        }
        if let Some(words) = schema["enum"].as_array()
            && !words.contains(value)
        {
            let words: Vec<String> = words.iter().map(Value::to_string).collect();
            self.problem(path, format!("{value} is not supported; write one of {}", words.join(", ")));
        }
        match value {
            Value::Object(members) => self.members(path, schema, members),
            Value::Array(items) => {
                self.count(path, schema, "Items", items.len(), "entries");
                for (i, item) in items.iter_mut().enumerate() {
                    self.value(&format!("{path}[{i}]"), &schema["items"], item);
                }
                self.keys(path, schema, items);
            }
            Value::String(text) => self.text(path, schema, text),
            Value::Number(_) => self.number(path, schema, value),
            Value::Null | Value::Bool(_) => {}
        }
        self.rules(path, schema, value);
    }

    fn type_fits(&mut self, path: &str, schema: &Value, value: &Value) -> bool {
        let wanted = schema["type"].as_str().unwrap_or_default();
        let whole = value.is_i64() || value.is_u64();
        let fits = match wanted {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => whole,
            "number" => value.is_number(),
            _ if schema["x-kubernetes-int-or-string"] == true => whole || value.is_string(),
            _ => true,
        };
        if !fits {
            let wanted = if wanted.is_empty() { "integer or string" } else { wanted };
            self.problem(path, format!("{value} is not of type {wanted}"));
        }
        fits
    }

    fn members(&mut self, path: &str, schema: &Value, members: &mut Map<String, Value>) {
        let has_default = |name: &str| schema["properties"][name].get("default").is_some();
        members.retain(|name, value| !value.is_null() || !has_default(name));
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let known = schema["properties"].as_object();
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !members.contains_key(name) {
                self.problem(&below(name), "required");
            }
        }
        self.count(path, schema, "Properties", members.len(), "entries");
        for (name, value) in members {
            // These every object has, and the definition leaves out; a status is not read.
            if path.is_empty() && matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "status") {
                continue;
            }
            let own = known.and_then(|known| known.get(name));
            match (own, schema.get("additionalProperties")) {
                (Some(schema), _) => self.value(&below(name), schema, value),
                (None, Some(schema @ Value::Object(_))) => self.value(&below(name), schema, value),
                (None, _) if schema["x-kubernetes-preserve-unknown-fields"] == true || known.is_none() => {}
                (None, _) => self.problem(&below(name), "unknown field"),
            }
        }
    }

    /// `minItems` and `maxItems`, or those of another kind of value.
    fn count(&mut self, path: &str, schema: &Value, of: &str, count: usize, what: &str) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        if let Some(least) = schema[format!("min{of}")].as_u64().filter(|least| count < *least) {
            self.problem(path, format!("it has fewer than {least} {what}"));
        }
        if let Some(most) = schema[format!("max{of}")].as_u64().filter(|most| count > *most) {
            self.problem(path, format!("it has more than {most} {what}"));
        }
    }

    fn keys(&mut self, path: &str, schema: &Value, items: &[Value]) {
        let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
        let keys: Vec<&str> = keys.filter_map(Value::as_str).collect();
        let of = |item: &Value| keys.iter().map(|key| item[*key].clone()).collect::<Vec<_>>();
        for (i, item) in items.iter().enumerate().filter(|_| !keys.is_empty()) {
            if items[..i].iter().any(|before| of(before) == of(item)) {
                self.problem(&format!("{path}[{i}]"), "an entry before it has the same name");
            }
        }
    }

    fn text(&mut self, path: &str, schema: &Value, text: &str) {
        self.count(path, schema, "Length", text.chars().count(), "characters");
        let pattern = schema["pattern"].as_str().and_then(|pattern| Regex::new(pattern).ok());
        if pattern.as_ref().is_some_and(|pattern| !pattern.is_match(text)) {
            self.problem(path, format!("{text:?} does not match {}", schema["pattern"]));
        }
    }

    fn number(&mut self, path: &str, schema: &Value, value: &Value) {
        let Some(number) = value.as_f64() else { return };
        if let Some(least) = schema["minimum"].as_f64().filter(|least| number < *least) {
            self.problem(path, format!("{value} should be greater than or equal to {least}"));
        }
        if let Some(most) = schema["maximum"].as_f64().filter(|most| number > *most) {
            self.problem(path, format!("{value} should be less than or equal to {most}"));
        }
        let in_32_bits = value.as_i64().is_some_and(|number| i32::try_from(number).is_ok());
        if schema["format"] == "int32" && !in_32_bits {
            self.problem(path, format!("{value} is too large"));
        }
    }

    fn rules(&mut self, path: &str, schema: &Value, value: &Value) {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let text = rule["rule"].as_str().unwrap_or_default();
            let broken = RULES.iter().any(|known| known.text == text && !(known.holds)(value));
            if broken {
                let path = if path.is_empty() { "metadata.name" } else { path };
                self.problem(path, rule["message"].as_str().unwrap_or(text));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object() -> Value {
        json!({
            "apiVersion": "sageapi.io/v1alpha1", "kind": "SageApi", "metadata": {"name": "prod"},
            "spec": {"database": {"mysql": {"urlSecretRef": {"name": "db"}}}},
        })
    }

    fn problems(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut object = object();
        change(&mut object);
        check(&mut object).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_the_definition_admits_is_admitted_and_null_is_its_default() {
        let mut object = object();
        object["spec"]["image"] = json!({"repository": "a"});
        object["spec"]["instances"] = Value::Null;
        object["spec"]["resources"] = json!({"limits": {"cpu": 2, "memory": "64Mi"}});
        object["spec"]["tolerations"] = json!([{"key": "a", "operator": "Exists"}]);
        object["spec"]["nodeSelector"] = json!({"disk": "ssd"});
        object["metadata"]["labels"] = json!({"team": "billing"});
        assert_eq!(check(&mut object), []);
        assert_eq!(object["spec"].get("instances"), None);
    }

    #[test]
    fn what_the_definition_refuses_is_refused_with_its_path() {
        let users = |sync: Value| move |object: &mut Value| object["spec"]["sync"] = json!({"users": sync});
        let spec = |name: &'static str, value: Value| move |object: &mut Value| object["spec"][name] = value;
        for (problems, path) in [
            (
                problems(|object| object["metadata"]["name"] = json!("1prod")),
                "metadata.name: the name must begin",
            ),
            (problems(|object| object["metadata"] = json!({})), "metadata.name: required"),
            (problems(|object| object["metadata"]["lables"] = json!({})), "metadata.lables: unknown field"),
            (problems(|object| object["spcc"] = json!({})), "spcc: unknown field"),
            (problems(|object| object["spec"] = Value::Null), "spec: null is not of type object"),
            (problems(spec("image", json!({"tag": null}))), "spec.image.tag: null is not of type string"),
            (problems(spec("instances", json!(0))), "spec.instances: 0 should be greater than or equal to 1"),
            (problems(spec("instances", json!(1.5))), "spec.instances: 1.5 is not of type integer"),
            (problems(spec("instance", json!(2))), "spec.instance: unknown field"),
            (problems(spec("database", json!({}))), "spec.database.mysql: required"),
            (problems(spec("paused", json!("yes"))), "spec.paused: \"yes\" is not of type boolean"),
            (
                problems(spec("extraEnv", json!([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]))),
                "spec.extraEnv[1]",
            ),
            (
                problems(spec("extraEnv", json!([{"name": "1A", "value": ""}]))),
                "spec.extraEnv[0].name: \"1A\" does not match",
            ),
            (
                problems(spec("accounting", json!({"mode": "Lax"}))),
                "spec.accounting.mode: \"Lax\" is not supported",
            ),
            (
                problems(spec("nodeSelector", json!({"disk": true}))),
                "spec.nodeSelector.disk: true is not of type string",
            ),
            (problems(spec("resources", json!({"limits": {"cpu": "lots"}}))), "spec.resources.limits.cpu"),
            (
                problems(spec("resources", json!({"limits": {"cpu": 0.5}}))),
                "spec.resources.limits.cpu: 0.5 is not of type integer or string",
            ),
            (
                problems(users(json!({"every": "1m", "schedule": "* * * * *"}))),
                "spec.sync.users: give at most one",
            ),
            (problems(users(json!({"timeZone": "UTC"}))), "spec.sync.users: timeZone is that of schedule"),
        ] {
            assert!(problems.first().map_or("", String::as_str).starts_with(path), "{path}: {problems:?}");
        }
    }

    #[test]
    fn every_rule_about_one_state_of_a_resource_is_known_here() {
        fn rules(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(members) => {
                    for rule in members
                        .get("x-kubernetes-validations")
                        .and_then(Value::as_array)
                        .into_iter()
                        .flatten()
                    {
                        found.extend(rule["rule"].as_str().map(str::to_owned));
                    }
                    members.values().for_each(|value| rules(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| rules(value, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        rules(&serde_json::to_value(sageapi_crds::crd()).unwrap(), &mut found);
        assert!(!found.is_empty());
        // A rule about a change has nothing to say of a new installation.
        for rule in found.iter().filter(|rule| !rule.contains("oldSelf")) {
            assert!(RULES.iter().any(|known| known.text == rule), "{rule}");
        }
    }

    #[test]
    fn every_word_that_the_definition_checks_with_is_one_that_is_read_here() {
        fn words(schema: &Value, found: &mut std::collections::BTreeSet<String>) {
            for (name, value) in schema.as_object().into_iter().flatten() {
                found.insert(name.clone());
                match name.as_str() {
                    "properties" => value.as_object().unwrap().values().for_each(|one| words(one, found)),
                    "items" | "additionalProperties" => words(value, found),
                    _ => {}
                }
            }
        }
        let mut found = std::collections::BTreeSet::new();
        let definition = serde_json::to_value(sageapi_crds::crd()).unwrap();
        words(definition.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap(), &mut found);
        let read = [
            "additionalProperties",
            "enum",
            "format",
            "items",
            "maxItems",
            "maxLength",
            "maxProperties",
            "maximum",
            "minItems",
            "minLength",
            "minimum",
            "pattern",
            "properties",
            "required",
            "type",
            "x-kubernetes-int-or-string",
            "x-kubernetes-list-map-keys",
            "x-kubernetes-validations",
        ];
        // `anyOf` and `format` add nothing to the keywords beside them.
        let silent = ["anyOf", "default", "description", "title", "x-kubernetes-list-type"];
        for word in found {
            assert!(read.contains(&word.as_str()) || silent.contains(&word.as_str()), "{word}");
        }
    }
}
