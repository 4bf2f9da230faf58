use std::collections::BTreeSet;

use super::*;

#[test]
fn the_committed_document_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, document()).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == document(), "docs/openapi.json is out of date: run this test with UPDATE=1");
}

fn parsed() -> Value {
    serde_json::from_str(&document()).unwrap()
}

/// Every `$ref` in the document.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                found.push(reference.clone());
            }
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let document = parsed();
    let mut found = Vec::new();
    references(&document, &mut found);
    for reference in &found {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(found.contains(&format!("#/components/schemas/{name}")), "{name}");
    }
}

#[test]
fn every_route_and_its_parameters_are_described() {
    let document = parsed();
    for route in routes() {
        let operation = &document["paths"][route.path][method(route)];
        assert_eq!(operation["operationId"], route.id);
        let described = operation["parameters"].as_array().map_or(0, Vec::len);
        let open = route.path.matches('{').count();
        let headers = usize::from(route.if_match != IfMatch::Ignored);
        assert_eq!(described, route.parameters().count() + open + headers, "{}", route.id);
        let responses: BTreeSet<_> = operation["responses"].as_object().unwrap().keys().cloned().collect();
        let counted: BTreeSet<_> = statuses(route).map(|status| status.to_string()).collect();
        assert_eq!(responses, counted, "{}", route.id);
    }
}

/// Every schema within a value, with its path.
fn schemas<'a>(value: &'a Value, path: &str, found: &mut Vec<(String, &'a Value)>) {
    match value {
        Value::Object(members) => {
            if members.contains_key("type") {
                found.push((path.to_owned(), value));
            }
            members.iter().for_each(|(name, member)| schemas(member, &format!("{path}/{name}"), found));
        }
        Value::Array(items) => {
            let item = |(n, item)| schemas(item, &format!("{path}/{n}"), &mut *found);
            items.iter().enumerate().for_each(item);
        }
        _ => {}
    }
}

#[test]
fn every_number_has_a_width() {
    let document = parsed();
    let mut found = Vec::new();
    schemas(&document, "", &mut found);
    let mut numbers = 0;
    for (path, schema) in found {
        let is = |kind: &str| {
            let types = &schema["type"];
            types == kind || types.as_array().is_some_and(|types| types.contains(&json!(kind)))
        };
        let formats: &[&str] = match () {
            () if is("integer") => &["int32", "int64"],
            () if is("number") => &["double"],
            () => continue,
        };
        numbers += 1;
        let format = schema["format"].as_str().unwrap_or_default();
        assert!(formats.contains(&format), "{path}: {schema}");
        let most = schema["maximum"].as_i64().unwrap_or_default();
        assert!(format != "int32" || i32::try_from(most).is_ok(), "{path}: {schema}");
    }
    assert!(numbers > 30, "{numbers} were found");
    let booking = &document["components"]["schemas"]["Booking"]["properties"];
    assert_eq!(booking["input_tokens"]["format"], "int64");
    let quantity = &document["components"]["schemas"]["Quantities"]["additionalProperties"]["oneOf"][0];
    assert_eq!(quantity["format"], "double");
}

#[test]
fn generators_find_a_server_and_a_tag_for_every_operation() {
    let document = parsed();
    assert_eq!(document["servers"][0]["url"], "/");
    let tags: Vec<_> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    let mut used = Vec::new();
    for route in routes() {
        let operation = &document["paths"][route.path][method(route)];
        let [tag] = &operation["tags"].as_array().unwrap()[..] else { panic!("{}", route.id) };
        assert!(tags.contains(&tag), "{}", route.id);
        used.push(tag.clone());
    }
    assert!(tags.iter().all(|tag| used.contains(tag)));
}

#[test]
fn a_choice_of_schemas_is_only_between_one_and_null_or_between_two_types() {
    let document = parsed();
    let mut found = Vec::new();
    let mut walk = vec![(String::new(), &document)];
    while let Some((path, value)) = walk.pop() {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let path = format!("{path}/{name}");
                    if ["anyOf", "oneOf"].contains(&name.as_str()) {
                        found.push((path.clone(), member));
                    }
                    walk.push((path, member));
                }
            }
            Value::Array(items) => walk.extend(items.iter().map(|item| (path.clone(), item))),
            _ => {}
        }
    }
    assert!(!found.is_empty());
    for (path, choices) in found {
        let choices = choices.as_array().unwrap();
        let plain = |choice: &Value| choice["type"].is_string() && choice["type"] != "object";
        let is_null = |choice: &Value| choice["type"] == "null";
        let simple = choices.iter().all(plain) || choices.iter().any(is_null);
        assert!(choices.len() == 2 && simple, "{path}");
    }
}

#[test]
fn each_media_type_of_a_batch_has_a_schema_of_its_own() {
    let document = parsed();
    let batch = &document["paths"]["/api/v1/accounting/batch"]["post"];
    for content in [&batch["requestBody"]["content"], &batch["responses"]["200"]["content"]] {
        assert!(content["application/json"]["schema"]["type"] != "string", "{content}");
        let lines = &content[NDJSON]["schema"];
        assert_eq!(lines["type"], "string");
        assert!(lines["contentSchema"]["items"]["$ref"].is_string());
    }
}

#[test]
fn members_that_are_always_written_are_required() {
    let document = parsed();
    let required =
        |schema: &str| document["components"]["schemas"][schema]["required"].as_array().unwrap().clone();
    assert!(required("Record").contains(&json!("note")));
    assert!(!required("Balance").contains(&json!("stale")));
}
