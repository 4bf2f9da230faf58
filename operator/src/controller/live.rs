//! Whether an object already is as wanted: every wanted leaf equals the live one, and lists and maps of ours have nothing
//! else in them. What others added elsewhere (labels, annotations, fields) stays, and does not count.

use serde_json::{Map, Value};

use crate::validate::Quantity;

/// Lists that an apply merges by these members of their elements, by the path that ends like this.
const KEYED: &[(&str, &[&str])] = &[
    ("metadata.ownerReferences", &["uid"]),
    ("imagePullSecrets", &["name"]),
    ("containers", &["name"]),
    ("containers.env", &["name"]),
    ("containers.volumeMounts", &["mountPath"]),
    ("containers.ports", &["containerPort", "protocol"]),
    ("volumes", &["name"]),
    ("spec.ports", &["port", "protocol"]),
];

/// Maps of a specification that mean something else with one more entry.
const WHOLE: &[&str] = &["selector", "matchLabels", "nodeSelector", "limits", "requests"];

/// Lists of a specification that the API server or the provider of a load balancer fills in.
const FILLED_IN: &[&str] = &["clusterIPs", "ipFamilies", "externalIPs", "loadBalancerSourceRanges"];

/// Where `live` differs from what is wanted, as a path.
pub fn first_difference(desired: &Value, live: &Value) -> Option<String> {
    differs(desired, live, &mut Vec::new())
}

/// The live object without the elements and entries that are only in its lists and maps, as a merge patch wants it
/// (null is gone); `None` if there are none. An apply would leave them: it removes only what it once put there.
pub fn without_foreign(desired: &Value, live: &Value) -> Option<Value> {
    let mut cleared = live.clone();
    clear(desired, &mut cleared, &mut Vec::new()).then_some(cleared)
}

fn differs<'a>(desired: &'a Value, live: &'a Value, path: &mut Vec<&'a str>) -> Option<String> {
    match (desired, live) {
        (Value::Object(wanted), Value::Object(found)) => {
            let different = wanted.iter().find_map(|(name, wanted)| {
                path.push(name);
                let found = found.get(name).unwrap_or(&Value::Null);
                let difference = differs(wanted, found, path);
                path.pop();
                difference
            });
            different.or_else(|| {
                let (name, _) = found.iter().find(|(name, found)| is_foreign(name, found, wanted, path))?;
                Some(format!("{}.{name}", path.join(".")))
            })
        }
        (Value::Array(wanted), Value::Array(found)) => match key_of(path) {
            Some(key) => {
                let different = wanted.iter().find_map(|wanted| {
                    let same = same_element(wanted, found, key).and_then(|at| found.get(at));
                    differs(wanted, same.unwrap_or(&Value::Null), path)
                });
                let surplus = in_spec(path) && found.len() > wanted.len();
                different.or_else(|| surplus.then(|| path.join(".")))
            }
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

/// Takes out what is foreign. Whether there was anything.
fn clear<'a>(desired: &'a Value, live: &mut Value, path: &mut Vec<&'a str>) -> bool {
    match (desired, live) {
        (Value::Object(wanted), Value::Object(found)) => {
            let mut any = false;
            for (name, found) in found.iter_mut() {
                if is_foreign(name, found, wanted, path) {
                    *found = Value::Null;
                    any = true;
                }
            }
            for (name, wanted) in wanted {
                path.push(name);
                any |= found.get_mut(name).is_some_and(|found| clear(wanted, found, path));
                path.pop();
            }
            any
        }
        (Value::Array(wanted), Value::Array(found)) => {
            let Some(key) = key_of(path).filter(|_| in_spec(path)) else { return false };
            let mut any = false;
            let mut kept = 0;
            for wanted in wanted {
                if let Some(found) = same_element(wanted, found, key).and_then(|at| found.get_mut(at)) {
                    any |= clear(wanted, found, path);
                    kept += 1;
                }
            }
            if found.len() == kept {
                return any;
            }
            // With those that are missing: a list without them may not be allowed, nor one with both.
            let rest = wanted.iter().map(|wanted| {
                let same = same_element(wanted, found, key).and_then(|at| found.get(at));
                same.unwrap_or(wanted).clone()
            });
            *found = rest.collect();
            true
        }
        _ => false,
    }
}

/// Whether a member that only the live object may have is one more entry of a map, or a list, of what is ours.
fn is_foreign(name: &str, found: &Value, wanted: &Map<String, Value>, path: &[&str]) -> bool {
    if wanted.contains_key(name) || !in_spec(path) {
        return false;
    }
    let is_entry = path.last().is_some_and(|last| WHOLE.contains(last));
    match found {
        Value::Null => false,
        _ if is_entry => true,
        Value::Array(list) => !list.is_empty() && !FILLED_IN.contains(&name),
        Value::Object(map) => !map.is_empty() && WHOLE.contains(&name),
        _ => false,
    }
}

/// Metadata, that of pod templates as well, is shared with others.
fn in_spec(path: &[&str]) -> bool {
    path.first() == Some(&"spec") && !path.contains(&"metadata")
}

fn same_element(wanted: &Value, found: &[Value], key: &[&str]) -> Option<usize> {
    found.iter().position(|found| key.iter().all(|key| found.get(key) == wanted.get(key)))
}

fn key_of(path: &[&str]) -> Option<&'static [&'static str]> {
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

    fn deployment(pod: &Value) -> Value {
        json!({"spec": {"template": {"spec": pod}}})
    }

    fn pod() -> Value {
        json!({
            "containers": [{
                "name": "server", "image": "s:1",
                "env": [{"name": "A", "value": "1"}],
                "ports": [{"name": "admin", "containerPort": 9090, "protocol": "TCP"}],
                "volumeMounts": [{"name": "config", "mountPath": "/etc/sageapi"}],
                "resources": {"limits": {"memory": "1Gi"}},
            }],
            "volumes": [{"name": "config", "configMap": {"name": "c"}}],
        })
    }

    #[test]
    fn metadata_and_fields_that_others_added_do_not_count() {
        let desired = json!({
            "metadata": {"labels": {"a": "1"}, "ownerReferences": [{"uid": "u"}]},
            "spec": {"template": {"metadata": {"annotations": {"a": "1"}}, "spec": pod()}},
        });
        let mut live = desired.clone();
        live["metadata"] = json!({
            "labels": {"a": "1", "b": "2"}, "uid": "u", "finalizers": ["x/y"],
            "ownerReferences": [{"uid": "another"}, {"uid": "u"}],
        });
        live["spec"]["replicas"] = 3.into();
        let template = &mut live["spec"]["template"];
        template["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = "now".into();
        template["spec"]["restartPolicy"] = "Always".into();
        template["spec"]["securityContext"] = json!({});
        template["spec"]["volumes"][0]["configMap"]["defaultMode"] = 420.into();
        assert_eq!(difference(&desired, &live), None);
        assert_eq!(without_foreign(&desired, &live), None);
    }

    #[test]
    fn what_was_added_to_a_list_or_map_of_ours_is_seen_and_taken_out() {
        let desired = deployment(&pod());
        let container = "/spec/template/spec/containers/0";
        for (at, element) in [
            ("/spec/template/spec/containers", json!({"name": "sidecar", "image": "x"})),
            ("/spec/template/spec/volumes", json!({"name": "injected", "emptyDir": {}})),
            (&format!("{container}/env"), json!({"name": "B", "value": "2"})),
            (&format!("{container}/env"), json!({"name": "A", "value": "again"})),
            (&format!("{container}/ports"), json!({"containerPort": 9090, "protocol": "UDP"})),
            (&format!("{container}/volumeMounts"), json!({"name": "injected", "mountPath": "/x"})),
        ] {
            let mut live = desired.clone();
            live.pointer_mut(at).unwrap().as_array_mut().unwrap().push(element);
            let path = at.replace("/0", "").replace('/', ".");
            assert_eq!(difference(&desired, &live).as_deref(), path.strip_prefix('.'));
            assert_eq!(without_foreign(&desired, &live), Some(desired.clone()), "{at}");
        }
        for (at, name, added) in [
            ("/spec/template/spec", "tolerations", json!([{"operator": "Exists"}])),
            ("/spec/template/spec", "initContainers", json!([{"name": "x", "image": "x"}])),
            ("/spec/template/spec", "imagePullSecrets", json!([{"name": "x"}])),
            ("/spec/template/spec", "nodeSelector", json!({"disk": "ssd"})),
            (container, "envFrom", json!([{"secretRef": {"name": "x"}}])),
            (container, "command", json!(["sh"])),
            (&format!("{container}/resources/limits"), "cpu", json!("1m")),
        ] {
            let mut live = desired.clone();
            live.pointer_mut(at).unwrap()[name] = added;
            let found = difference(&desired, &live).unwrap();
            assert!(found.ends_with(name), "{found}");
            let mut cleared = without_foreign(&desired, &live).unwrap();
            assert_eq!(cleared.pointer_mut(at).unwrap()[name].take(), Value::Null, "{at} {name}");
            assert!(covers(&desired, &cleared), "{at} {name}");
        }
    }

    #[test]
    fn an_element_under_another_key_makes_place_for_the_one_that_is_missing() {
        let service = |ports: Value| json!({"spec": {"ports": ports, "selector": {"a": "1"}}});
        let desired = service(json!([{"name": "http", "port": 80, "protocol": "TCP"}]));
        let live = service(json!([{"name": "http", "port": 8081, "protocol": "TCP", "nodePort": 30_001}]));
        assert_eq!(without_foreign(&desired, &live), Some(desired.clone()));
        let kept = json!({"name": "http", "port": 80, "protocol": "TCP", "nodePort": 30_001});
        let live = service(json!([{"name": "more", "port": 8081, "protocol": "TCP"}, kept]));
        assert_eq!(without_foreign(&desired, &live), Some(service(json!([kept]))));
        let mut live = desired.clone();
        live["spec"]["selector"]["nothing"] = "has this".into();
        assert_eq!(difference(&desired, &live).as_deref(), Some("spec.selector.nothing"));
    }

    #[test]
    fn what_the_api_server_fills_in_does_not_count() {
        let desired = json!({"spec": {"type": "LoadBalancer"}});
        let live = json!({"spec": {
            "type": "LoadBalancer", "clusterIPs": ["10.0.0.7"], "ipFamilies": ["IPv4"],
            "loadBalancerSourceRanges": ["192.0.2.0/24"],
        }});
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
        let mut narrowed = desired.clone();
        narrowed["spec"]["ingress"][0]["from"] = json!([{"podSelector": {}}]);
        assert_eq!(difference(&desired, &narrowed).as_deref(), Some("spec.ingress.from"));
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
        assert!(!covers(&json!({"name": "1000m"}), &json!({"name": "1"})), "a name is not a quantity");
    }

    #[test]
    fn what_is_empty_may_be_left_out() {
        let desired = json!({"spec": {"podSelector": {}, "egress": [], "x": null, "value": ""}});
        assert!(covers(&desired, &json!({"spec": {}})));
        assert!(!covers(&json!({"automount": false}), &json!({})), "false is not nothing");
    }
}
