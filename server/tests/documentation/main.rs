//! Holds the pages for people to the code: the table of routes, the links, the make targets, and what they say there is.
//! `make generate` rewrites the table.

#![expect(clippy::unwrap_used, reason = "this is a test")]

mod claims;
mod commands;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use sageapi_server::http::openapi::document;
use serde_json::Value;

const BEGIN: &str = "<!-- routes: written by `make generate` -->\n";
const END: &str = "<!-- end of routes -->\n";

#[test]
fn the_readme_lists_every_route() {
    let path = root().join("README.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the beginning is marked");
    let (table, after) = rest.split_once(END).expect("the end is marked");
    let made = routes();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{made}{END}{after}")).unwrap();
    } else {
        assert!(table == made, "README.md's table of routes is out of date: run `make generate`");
    }
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut dead = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (at, _) in text.match_indices("](") {
            let link = text[at + 2..].split([')', '#', ' ']).next().unwrap_or_default();
            let outside = link.is_empty() || link.contains("://");
            if !outside && !page.with_file_name(link).exists() {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

#[test]
fn every_make_target_that_a_page_names_is_there() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let targets: BTreeSet<_> =
        makefile.lines().filter_map(|line| line.split_once(": ## ")).map(|(t, _)| t).collect();
    assert!(targets.contains("run") && targets.contains("test"), "the Makefile was not understood");
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (at, _) in text.match_indices("`make ") {
            let target = text[at + 6..].split(['`', ' ', '\n']).next().unwrap_or_default();
            assert!(targets.contains(target), "{}: make {target}", page.display());
        }
    }
}

/// The table of routes, from the description of the interface: what, who may, what for.
fn routes() -> String {
    let document: Value = serde_json::from_str(&document()).unwrap();
    let mut table = String::from("| under /api/v1 | needs | |\n|---|---|---|\n");
    for (path, operations) in document["paths"].as_object().unwrap() {
        let below = path.strip_prefix("/api/v1");
        let (path, aside) = below.map_or((path.as_str(), " (at the root)"), |below| (below, ""));
        for (method, operation) in operations.as_object().unwrap() {
            let scope =
                operation["description"].as_str().and_then(|text| text.strip_prefix("Needs the scope "));
            let needs = match (scope, operation["security"][0].as_object()) {
                (Some(scope), _) => scope.trim_end_matches('.'),
                (None, None) => "nothing",
                (None, Some(schemes)) if schemes.contains_key("webhook") => "an event's signature",
                (None, Some(schemes)) if !schemes.contains_key("signature") => "the token of a user",
                (None, Some(_)) => "a key",
            };
            let (method, summary) = (method.to_uppercase(), operation["summary"].as_str().unwrap());
            writeln!(table, "| `{method} {path}`{aside} | {needs} | {summary} |").unwrap();
        }
    }
    table
}

fn pages() -> Vec<PathBuf> {
    let folders = ["", "docs", "docs/adr", "docs/clients", "migrations"];
    let files = folders.iter().flat_map(|folder| fs::read_dir(root().join(folder)).unwrap());
    let mut pages: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.sort();
    assert!(pages.len() >= 8, "the pages were not found");
    pages
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
