//! docs/OPERATOR.md: the reference of fields is made from the definition, the tables of words are complete.

#![expect(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

use std::fmt::Write as _;

use sageapi_crds::{ConditionType, Phase, Reason, SyncState};
use serde_json::Value;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/OPERATOR.md");

fn schema() -> Value {
    let definition = serde_json::to_value(sageapi_crds::crd()).unwrap();
    definition.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap().clone()
}

/// A field's type and bounds in a few words.
fn accepts(schema: &Value) -> String {
    let number = |name: &str| schema[name].as_f64().map(|bound| bound.to_string());
    let words = schema["enum"].as_array().map(|words| {
        words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
    });
    if let Some(words) = words {
        return words;
    }
    if schema["x-kubernetes-int-or-string"] == true {
        return "quantity".to_owned();
    }
    match schema["type"].as_str() {
        Some("integer" | "number") => match (number("minimum"), number("maximum")) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            (Some(least), None) => format!("at least {least}"),
            _ => "number".to_owned(),
        },
        Some("boolean") => "`true`, `false`".to_owned(),
        Some("string") if schema["format"] == "date-time" => "time".to_owned(),
        Some("string") => "text".to_owned(),
        Some("array") => match schema["maxItems"].as_u64() {
            Some(most) => format!("list, at most {most}"),
            None => "list".to_owned(),
        },
        Some("object") if schema["additionalProperties"].is_object() => "map".to_owned(),
        _ => "object".to_owned(),
    }
}

fn rows(path: &str, schema: &Value, text: &mut String) {
    let required: Vec<_> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let at = format!("{path}{name}");
        let must = if required.contains(&name.as_str()) { " (required)" } else { "" };
        let says = field["description"].as_str().unwrap_or_default().replace('|', "\\|").replace('*', "\\*");
        writeln!(text, "| `{at}` | {}{must} | {says} |", accepts(field)).unwrap();
        // Types of Kubernetes are described by Kubernetes.
        if !matches!(at.as_str(), "tolerations" | "networkPolicy.ingressFrom") {
            rows(&format!("{at}."), field, text);
            rows(&format!("{at}[]."), &field["items"], text);
        }
    }
}

fn table(part: &str) -> String {
    let mut text = "| field | accepts | |\n|---|---|---|\n".to_owned();
    rows("", &schema()["properties"][part], &mut text);
    text
}

/// The text with the content between the two markers of `part` regenerated.
fn with_table(text: &str, part: &str) -> String {
    let (begin, end) = (format!("<!-- {part}: generated -->\n"), format!("<!-- {part}: end -->"));
    let (head, rest) =
        text.split_once(&begin).unwrap_or_else(|| panic!("{begin} is not in docs/OPERATOR.md"));
    let (_, tail) = rest.split_once(&end).unwrap_or_else(|| panic!("{end} is not in docs/OPERATOR.md"));
    format!("{head}{begin}\n{}\n{end}{tail}", table(part))
}

#[test]
fn the_reference_of_fields_is_up_to_date() {
    let committed = std::fs::read_to_string(FILE).unwrap();
    let text = with_table(&with_table(&committed, "spec"), "status");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(FILE, &text).unwrap();
        return;
    }
    assert!(committed == text, "run `UPDATE=1 cargo test -p sageapi-crds`");
}

#[test]
fn every_word_of_the_status_is_explained() {
    let text = std::fs::read_to_string(FILE).unwrap();
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| `")).collect();
    let explained = |word: &str| rows.iter().any(|row| row.starts_with(&format!("| `{word}` |")));
    let words = (ConditionType::ALL.iter().map(|word| word.as_str()))
        .chain(Reason::ALL.iter().map(|word| word.as_str()))
        .chain(Phase::ALL.iter().map(|word| word.as_str()))
        .chain(SyncState::ALL.iter().map(|word| word.as_str()));
    let silent: Vec<_> = words.filter(|word| !explained(word)).collect();
    assert!(silent.is_empty(), "docs/OPERATOR.md does not explain {silent:?}");
}

#[test]
fn no_word_is_explained_that_does_not_exist() {
    let text = std::fs::read_to_string(FILE).unwrap();
    let (_, reasons) = text.split_once("## Reasons").unwrap();
    let reasons = reasons.split("\n## ").next().unwrap();
    for row in reasons.lines().filter_map(|line| line.strip_prefix("| `")) {
        let word = row.split('`').next().unwrap();
        assert!(Reason::parse(word).is_some(), "{word} is no reason");
    }
}
