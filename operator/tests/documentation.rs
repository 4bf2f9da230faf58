//! Whatever a page says of the operator is there: commands, options, variables, fields of the resource, values of the
//! chart.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is code of tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const COMMANDS: &[&str] = &["run", "crd", "render", "completion", "version"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn pages() -> Vec<(String, String)> {
    let files = ["", "docs", "docs/adr"].iter().flat_map(|folder| fs::read_dir(root().join(folder)).unwrap());
    let paths = files.map(|file| file.unwrap().path());
    let pages: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| (path.display().to_string(), fs::read_to_string(&path).unwrap()))
        .collect();
    assert!(pages.len() >= 8, "the pages were not found");
    pages
}

fn help(command: &str) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_sageapi-operator"));
    let output = program.args([command, "--help"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The texts of `code` marks, and the lines of blocks of code.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let (blocks, prose): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("    "));
    blocks.into_iter().chain(prose.into_iter().flat_map(|line| line.split('`').skip(1).step_by(2)))
}

#[test]
fn every_command_and_option_that_a_page_says_to_type_is_there() {
    for (page, text) in pages() {
        for code in code(&text) {
            for (at, name) in code.match_indices("sageapi-operator ") {
                let words =
                    code[at + name.len()..].split(['#', '|', ';', ')', '"']).next().unwrap_or_default();
                let mut words = words.split_whitespace();
                // A chart, an image and a release are called so too.
                let Some(command) =
                    words.next().filter(|_| !code.contains("helm ") && !code.contains("cargo "))
                else {
                    continue;
                };
                assert!(COMMANDS.contains(&command), "{page}: {code}");
                let help = help(command);
                for option in words.filter(|word| word.starts_with('-')) {
                    let option = option.split('=').next().unwrap();
                    assert!(help.contains(option), "{page}: {code}: {option}");
                }
            }
        }
    }
}

#[test]
fn every_variable_that_a_page_or_the_chart_names_is_read() {
    let help = help("run") + &help("render");
    let chart = root().join("charts/sageapi-operator/templates/deployment.yaml");
    let chart = (chart.display().to_string(), fs::read_to_string(&chart).unwrap());
    for (page, text) in pages().into_iter().chain([chart]) {
        for name in text.split(|c: char| !c.is_ascii_uppercase() && c != '_') {
            let ours = name.starts_with("SAGEAPI_OPERATOR_");
            assert!(!ours || help.contains(&format!("[env: {name}=")), "{page}: {name}");
        }
    }
}

/// Whether a schema, or a map of values, has something at this path.
fn has(schema: &Value, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    let name = first.trim_end_matches("[]");
    let below = schema.pointer(&format!("/properties/{name}")).or_else(|| schema.get(name));
    below.is_some_and(|below| has(below.get("items").unwrap_or(below), rest))
}

#[test]
fn every_field_and_value_that_the_operators_page_names_is_there() {
    let definition = serde_json::to_value(sageapi_crds::crd()).unwrap();
    let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap();
    let values = fs::read_to_string(root().join("charts/sageapi-operator/values.yaml")).unwrap();
    let values: Value = serde_yaml::from_str(&values).unwrap();
    let text = fs::read_to_string(root().join("docs/OPERATOR.md")).unwrap();
    let places = [schema, &schema["properties"]["spec"], &schema["properties"]["status"], &values];
    let mut looked_at = 0;
    for code in code(&text) {
        let plain = code.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'[' | b']'));
        let parts: Vec<&str> = code.split('.').collect();
        let known_beginning = parts.len() > 1 && places.iter().any(|place| has(place, &parts[..1]));
        if plain && known_beginning && parts[0] != "metadata" {
            looked_at += 1;
            assert!(places.iter().any(|place| has(place, &parts)), "docs/OPERATOR.md: {code}");
        }
    }
    assert!(looked_at > 50, "the fields were not found");
}
