//! Whether an object already is what we want it to be: every leaf that we want equals the live one. What others
//! added stays, and does not count.

use serde_json::Value;

use crate::validate::Quantity;

/// Lists whose elements have a name of their own, by the path that ends like this. An element that only the live
/// list has was added by someone else: an injected container, a variable, a port.
const KEYED: &[(&str, &str)] = &[
    ("metadata.ownerReferences", "uid"),
    ("imagePullSecrets", "name"),
    ("containers", "name"),
    ("containers.env", "name"),
    ("containers.volumeMounts", "mountPath"),
    ("containers.ports", "containerPort"),
    ("volumes", "name"),
    ("spec.ports", "port"),
];

/// Where `live` differs from what is wanted, as a path.
pub fn first_difference(desired: &Value, live: &Value) -> Option<String> {
    differs(desired, live, &mut Vec::new())
}

fn differs<'a>(desired: &'a Value, live: &Value, path: &mut Vec<&'a str>) -> Option<String> {
    match (desired, live) {
        (Value::Object(wanted), Value::Object(found)) => wanted.iter().find_map(|(name, wanted)| {
            path.push(name);
            let found = found.get(name).unwrap_or(&Value::Null);
            let difference = differs(wanted, found, path);
            path.pop();
            difference
        }),
        (Value::Array(wanted), Value::Array(found)) => match key_of(path) {
            Some(key) => wanted.iter().find_map(|wanted| {
                let same = found.iter().find(|found| found.get(key) == wanted.get(key));
                differs(wanted, same.unwrap_or(&Value::Null), path)
            }),
            None if wanted.len() != found.len() => Some(path.join(".")),
            None => wanted.iter().zip(found).find_map(|(wanted, found)| differs(wanted, found, path)),
        },
        // The API server leaves out what is empty.
        (Value::Object(wanted), Value::Null) if wanted.is_empty() => None,
        (Value::Array(wanted), Value::Null) if wanted.is_empty() => None,
        (Value::String(wanted), Value::Null) if wanted.is_empty() => None,
        (Value::String(wanted), Value::String(found)) if is_quantity(path) => {
            let same =
                wanted == found || Quantity::parse(wanted).is_some_and(|q| Some(q) == Quantity::parse(found));
            (!same).then(|| path.join("."))
        }
        _ => (desired != live).then(|| path.join(".")),
    }
}

fn key_of(path: &[&str]) -> Option<&'static str> {
    let ends_like = |end: &str| {
        let end: Vec<&str> = end.split('.').collect();
        path.ends_with(&end)
    };
    // The longest ending decides: `containers.ports` is not `spec.ports`.
    let matching = KEYED.iter().filter(|(end, _)| ends_like(end));
    matching.max_by_key(|(end, _)| end.len()).map(|(_, key)| *key)
}

fn is_quantity(path: &[&str]) -> bool {
    path.contains(&"limits") || path.contains(&"requests") || path.last() == Some(&"sizeLimit")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn difference(desired: &Value, live: &Value) -> Option<String> {
        first_difference(desired, live)
    }

    fn covers(desired: &Value, live: &Value) -> bool {
        difference(desired, live).is_none()
    }

    #[test]
    fn what_others_added_does_not_count() {
        let desired = json!({
            "metadata": {"labels": {"a": "1"}},
            "spec": {"template": {"spec": {
                "containers": [{"name": "server", "image": "s:1", "env": [{"name": "A", "value": "1"}]}],
                "volumes": [{"name": "config", "configMap": {"name": "c"}}],
            }}},
        });
        let live = json!({
            "metadata": {"labels": {"a": "1", "b": "2"}, "uid": "u"},
            "spec": {"replicas": 3, "template": {
                "metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}},
                "spec": {
                    "restartPolicy": "Always",
                    "containers": [
                        {"name": "sidecar", "image": "x"},
                        {"name": "server", "image": "s:1", "env": [{"name": "B"}, {"name": "A", "value": "1"}]},
                    ],
                    "volumes": [
                        {"name": "injected", "emptyDir": {}},
                        {"name": "config", "configMap": {"name": "c", "defaultMode": 420}},
                    ],
                },
            }},
        });
        assert_eq!(difference(&desired, &live), None);
    }

    #[test]
    fn a_leaf_that_was_changed_or_taken_away_is_found() {
        let desired = json!({"spec": {"a": 1, "b": {"c": false}, "args": ["x"]}});
        for (live, at) in [
            (json!({"spec": {"a": 2, "b": {"c": false}, "args": ["x"]}}), "spec.a"),
            (json!({"spec": {"a": 1, "b": {"c": true}, "args": ["x"]}}), "spec.b.c"),
            (json!({"spec": {"a": 1, "b": {}, "args": ["x"]}}), "spec.b.c"),
            (json!({"spec": {"a": 1, "args": ["x"]}}), "spec.b"),
            (json!({"spec": {"a": 1, "b": {"c": false}, "args": ["x", "y"]}}), "spec.args"),
            (json!({"spec": {"a": 1, "b": {"c": false}, "args": ["y"]}}), "spec.args"),
        ] {
            assert_eq!(difference(&desired, &live).as_deref(), Some(at));
        }
    }

    #[test]
    fn a_list_without_names_must_be_the_same_list() {
        let rule = |ports: Value| json!({"spec": {"ingress": [{"ports": ports}]}});
        let desired = rule(json!([{"port": "http"}]));
        assert_eq!(difference(&desired, &rule(json!([{"port": "http", "protocol": "TCP"}]))), None);
        let opened = rule(json!([{"port": "http"}, {"port": "admin"}]));
        assert_eq!(difference(&desired, &opened).as_deref(), Some("spec.ingress.ports"));
    }

    #[test]
    fn quantities_are_compared_by_what_they_amount_to() {
        let limits =
            |cpu: &str, memory: &str| json!({"resources": {"limits": {"cpu": cpu, "memory": memory}}});
        assert!(covers(&limits("1000m", "1Gi"), &limits("1", "1024Mi")));
        assert!(covers(&limits("0.1", "64Mi"), &limits("100m", "67108864")));
        assert!(covers(&limits("1e3", "64M"), &limits("1k", "64000k")));
        for (written, kept) in [("0.7", "700m"), ("0.35", "350m"), ("1.15", "1150m"), ("2.3", "2300m")] {
            assert!(covers(&limits(written, "1Gi"), &limits(kept, "1Gi")), "{written}");
        }
        assert!(!covers(&limits("1", "64M"), &limits("1", "64Mi")));
        assert!(!covers(&json!({"name": "1000m"}), &json!({"name": "1"})), "a name is no quantity");
    }

    #[test]
    fn what_is_empty_may_be_left_out() {
        let desired = json!({"spec": {"podSelector": {}, "egress": [], "x": null, "value": ""}});
        assert!(covers(&desired, &json!({"spec": {}})));
        assert!(!covers(&json!({"automount": false}), &json!({})), "false is not nothing");
    }
}
