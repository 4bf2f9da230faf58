//! No file of the operator imports, through others, itself: each can be read without what is built on it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is code of tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module by its path from the crate's root.
type Module = Vec<String>;

/// The modules of the operator, tests aside, and their code.
fn modules() -> BTreeMap<Module, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut modules) = (vec![root.clone()], BTreeMap::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(&root).unwrap().with_extension("");
            let module: Module = name.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
            let is_code = path.extension().is_some_and(|extension| extension == "rs");
            if is_code && !module.iter().any(|part| ["lib", "main", "tests"].contains(&part.as_str())) {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                modules.insert(
                    module,
                    code.lines().map(|line| line.split("//").next().unwrap().to_owned() + "\n").collect(),
                );
            }
        }
    }
    modules
}

/// The paths of a `use` tree, one by one.
fn leaves(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((prefix, rest)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap().trim().to_owned()];
    };
    let (mut leaves_of, mut level, mut leaf) = (Vec::new(), 0, String::new());
    for c in rest[..rest.rfind('}').unwrap()].chars() {
        level += i32::from(c == '{') - i32::from(c == '}');
        if c == ',' && level == 0 {
            leaves_of.extend(leaves(&std::mem::take(&mut leaf)));
        } else {
            leaf.push(c);
        }
    }
    leaves_of.extend(leaves(&leaf));
    leaves_of.into_iter().map(|leaf| format!("{}{leaf}", prefix.trim())).collect()
}

/// The module that a path leads into, from this one.
fn target(path: &str, from: &Module, modules: &BTreeMap<Module, String>) -> Option<Module> {
    let mut parts: Vec<&str> = path.split("::").collect();
    let mut base: Module = Vec::new();
    if parts[0] == "super" {
        let climbed = parts.iter().take_while(|part| **part == "super").count();
        base = from[..from.len().checked_sub(climbed)?].to_vec();
        parts.drain(..climbed);
    } else if parts[0] == "crate" {
        parts.remove(0);
    } else {
        base.clone_from(from);
        parts.retain(|part| *part != "self");
    }
    base.extend(parts.into_iter().map(str::to_owned));
    (1..=base.len()).rev().map(|length| base[..length].to_vec()).find(|module| modules.contains_key(module))
}

/// Which modules a module imports or names by path.
fn imports(from: &Module, code: &str, modules: &BTreeMap<Module, String>) -> BTreeSet<Module> {
    let mut paths = Vec::new();
    let lines: Vec<&str> = code.lines().collect();
    for (nth, line) in lines.iter().enumerate() {
        let line = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
        if let Some(tree) = line.strip_prefix("use ") {
            let whole = format!("{tree} {}", lines[nth + 1..].join(" "));
            paths.extend(leaves(whole.split(';').next().unwrap()));
        }
    }
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
            let path = code[at..].split(|c| !is_name(c)).next().unwrap();
            // A group belongs to a `use` declaration, which was read above.
            if !code[..at].ends_with("::") && !path.ends_with(':') {
                paths.push(path.to_owned());
            }
        }
    }
    paths.iter().filter_map(|path| target(path, from, modules)).filter(|module| module != from).collect()
}

#[test]
fn no_file_imports_itself_through_others() {
    let modules = modules();
    assert!(modules.len() > 60, "the sources were not found");
    let mut imported: BTreeMap<&Module, BTreeSet<Module>> =
        modules.iter().map(|(module, code)| (module, imports(module, code, &modules))).collect();
    assert!(imported.values().map(BTreeSet::len).sum::<usize>() > 200, "the imports were not understood");
    // A module whose imports are all gone is in no circle; what cannot be taken away so is in one, or leads to one.
    while let Some(free) = imported.iter().find(|(_, imports)| imports.is_empty()).map(|(module, _)| *module)
    {
        imported.remove(free);
        for imports in imported.values_mut() {
            imports.remove(free);
        }
    }
    let circles: Vec<String> = imported
        .iter()
        .map(|(module, imports)| {
            let imports: Vec<String> = imports.iter().map(|module| module.join("/")).collect();
            format!("{} -> {}", module.join("/"), imports.join(", "))
        })
        .collect();
    assert!(circles.is_empty(), "circles of files:\n{}", circles.join("\n"));
}
