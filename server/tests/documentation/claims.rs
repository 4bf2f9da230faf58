//! Whatever a page calls by its name is there: routes, configuration keys, variables, metrics.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sageapi_contract::{CONFIG_VARIABLE, SECTIONS, TEST_VARIABLE_PREFIX, find, keys};
use sageapi_server::http::openapi::document;
use serde_json::Value;

use crate::{pages, root};

/// What the admin ports of server and operator answer, and the page for people, which is in no interface.
const OTHER_PATHS: &[&str] = &["/livez", "/readyz", "/startupz", "/metrics", "/health", "/docs"];
/// The API server of Kubernetes has an /api/v1 too.
const KUBERNETES: &[&str] = &["/api/v1/namespaces", "/api/v1/secrets"];
const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];

/// The texts of `code` marks on one line.
pub fn marked(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with("    ")).flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// Each run of the characters that a name may have.
fn words(text: &str, part: impl Fn(char) -> bool) -> impl Iterator<Item = &str> {
    text.split(move |c| !part(c)).filter(|word| !word.is_empty())
}

fn routes() -> Vec<String> {
    let document: Value = serde_json::from_str(&document()).unwrap();
    let mut routes = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        routes.extend(operations.as_object().unwrap().keys().map(|m| format!("{} {path}", m.to_uppercase())));
    }
    routes
}

/// Whether there is this route. A path may be without /api/v1, and have an id where the interface has a parameter.
fn is_route(routes: &[String], method: Option<&str>, path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_end_matches(['.', ',']);
    let below = path.strip_prefix("/api/v1").unwrap_or(path);
    let same = |route: &String| {
        let (of, template) = route.split_once(' ').unwrap();
        let template = template.strip_prefix("/api/v1").unwrap_or(template);
        let parts = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
        let (wanted, found) = (parts(below), parts(template));
        let methods_fit = method.is_none_or(|method| method == of || method == "HEAD" && of == "GET");
        methods_fit
            && wanted.len() == found.len()
            && wanted.iter().zip(&found).all(|(a, b)| a == b || b.starts_with('{') && !a.is_empty())
    };
    let kubernetes = KUBERNETES.iter().any(|beginning| path.starts_with(beginning));
    kubernetes || OTHER_PATHS.contains(&below) || routes.iter().any(same)
}

/// `METHOD /path`, wherever it stands in a text.
fn named_routes(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for method in METHODS {
        for (at, _) in text.match_indices(&format!("{method} /")) {
            let before = text[..at].chars().next_back();
            let rest = &text[at + method.len() + 1..];
            let in_path = |c: char| c.is_ascii_alphanumeric() || "/{}_.-?=&,".contains(c);
            let path = &rest[..rest.find(|c| !in_path(c)).unwrap_or(rest.len())];
            if !before.is_some_and(|c| c.is_ascii_alphanumeric()) {
                found.push((*method, path));
            }
        }
    }
    found
}

#[test]
fn every_route_that_a_page_names_is_there() {
    let routes = routes();
    let mut missing = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (method, path) in named_routes(&text) {
            if !is_route(&routes, Some(method), path) {
                missing.push(format!("{}: {method} {path}", page.display()));
            }
        }
        // In the reference of labels a name is shortened to its last part.
        let shortened = ["/instance", "/component"];
        let paths = marked(&text).filter(|code| code.starts_with('/') && !code.contains(' '));
        let shell =
            text.match_indices("$API/").map(|(at, _)| words(&text[at + 4..], |c| !" \"'`\n".contains(c)));
        for path in paths.chain(shell.filter_map(|mut words| words.next())) {
            let file = path.starts_with("/etc/") || path.starts_with("/var/") || path.starts_with("/dev/");
            if !file && !shortened.contains(&path) && !is_route(&routes, None, path) {
                missing.push(format!("{}: {path}", page.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_route_that_a_message_of_ours_names_is_there() {
    let routes = routes();
    let mut missing = Vec::new();
    for folder in ["operator/src", "crds/src", "charts"] {
        for file in files(&root().join(folder)) {
            let text = fs::read_to_string(&file).unwrap();
            for (method, path) in
                named_routes(&text).into_iter().filter(|(_, path)| path.starts_with("/api/v1/"))
            {
                if !is_route(&routes, Some(method), path) {
                    missing.push(format!("{}: {method} {path}", file.display()));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_configuration_key_that_a_page_names_is_there() {
    let sections: BTreeSet<&str> = SECTIONS.iter().map(|section| section.name).collect();
    let mut missing = Vec::new();
    for page in pages() {
        // That page names the fields of a resource, which crds/tests/reference.rs holds to the definition.
        if page.ends_with("OPERATOR.md") {
            continue;
        }
        let text = fs::read_to_string(&page).unwrap();
        let is_key = |code: &&str| {
            let plain = code.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'_' | b'.'));
            plain
                && code
                    .split_once('.')
                    .is_some_and(|(section, key)| sections.contains(section) && !key.is_empty())
        };
        for code in marked(&text).filter(is_key) {
            let beginning = format!("{code}.");
            if find(code).is_none() && !keys().any(|key| key.path.starts_with(&beginning)) {
                missing.push(format!("{}: {code}", page.display()));
            }
        }
        for name in words(&text, |c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_') {
            let known =
                keys().any(|key| key.variable() == name || key.file_variable().as_deref() == Some(name));
            // One with a part left open, like SAGEAPI_<SECTION>_<KEY>, ends with an underscore.
            let ours = name.starts_with("SAGEAPI_") && !name.ends_with('_');
            let operators = name.starts_with("SAGEAPI_OPERATOR_");
            if ours
                && !known
                && name != CONFIG_VARIABLE
                && !name.starts_with(TEST_VARIABLE_PREFIX)
                && !operators
            {
                missing.push(format!("{}: {name}", page.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_metric_that_a_page_names_is_there() {
    let source = |files: &[PathBuf]| -> String {
        files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
    };
    // Each module of the server registers its metrics in its `metrics.rs`.
    let mut registering = files(&root().join("server/src"));
    registering.retain(|file| file.ends_with("metrics.rs"));
    let (server, operator) = (source(&registering), source(&files(&root().join("operator/src"))));
    let is_registered = |source: &str, name: &str| {
        let name = ["_total", "_bucket", "_count", "_sum"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(name);
        source.contains(&format!("\"{name}\""))
            || name.strip_suffix("_info").is_some_and(|name| source.contains(&format!("\"{name}\"")))
    };
    let mut named = 0;
    let mut missing = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for name in words(&text, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
            let there = match (name.strip_prefix("sageapi_operator_"), name.strip_prefix("sageapi_")) {
                (Some(""), _) | (_, Some("" | "operator" | "server")) | (None, None) => continue,
                (Some(name), _) => is_registered(&operator, name),
                (None, Some(name)) => is_registered(&server, name),
            };
            if !there {
                missing.push(format!("{}: {name}", page.display()));
            }
        }
        // A table gives the prefix once.
        let tables = text.split("| metric |").skip(1);
        let rows = tables.flat_map(|table| table.lines().skip(2).take_while(|line| line.starts_with('|')));
        for row in rows {
            for code in row.split('|').nth(1).into_iter().flat_map(marked) {
                named += 1;
                let (name, labels) = code.split_once('{').unwrap_or((code, "}"));
                let source = if page.ends_with("OPERATOR.md") { &operator } else { &server };
                let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
                let known = labels.clone().all(|label| source.contains(label));
                let name = name.trim_start_matches("sageapi_operator_").trim_start_matches("sageapi_");
                if !known || !is_registered(source, name) {
                    missing.push(format!("{}: {code}", page.display()));
                }
            }
        }
    }
    assert!(named > 5, "the tables of metrics were not found");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path
            .extension()
            .is_some_and(|extension| ["rs", "yaml", "txt", "tpl"].iter().any(|e| extension == *e))
        {
            found.push(path);
        }
    }
    found
}
