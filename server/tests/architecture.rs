//! Holds the code to docs/ARCHITECTURE.md: reads the table of modules there and the paths in
//! server/src, so that neither can drift from the other.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What the table says of a module.
struct Rule {
    rank: u8,
    must_not_know: Vec<String>,
}

/// A path of the code: where it stands, and its first segments.
struct Reference {
    module: String,
    place: String,
    /// A module of this crate, or another crate.
    target: Target,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Module(String),
    Crate(String),
}

#[test]
fn every_module_uses_only_modules_above_it_in_the_table() {
    let rules = table();
    let mut wrong = Vec::new();
    for reference in references() {
        let Target::Module(used) = &reference.target else { continue };
        if *used == reference.module {
            continue;
        }
        let (Some(user), Some(target)) = (rules.get(&reference.module), rules.get(used)) else {
            wrong.push(format!("{}: {} is not in the table", reference.place, reference.module));
            continue;
        };
        if target.rank >= user.rank {
            wrong.push(format!("{}: {} may not use {used}", reference.place, reference.module));
        }
    }
    assert!(wrong.is_empty(), "against docs/ARCHITECTURE.md:\n{}", wrong.join("\n"));
}

#[test]
fn no_module_knows_what_the_table_forbids() {
    let rules = table();
    let mut wrong = Vec::new();
    for reference in references() {
        let Some(rule) = rules.get(&reference.module) else { continue };
        for word in &rule.must_not_know {
            if forbidden_by(word).contains(&reference.target) {
                wrong.push(format!("{}: {} must not know {word}", reference.place, reference.module));
            }
        }
    }
    assert!(wrong.is_empty(), "against docs/ARCHITECTURE.md:\n{}", wrong.join("\n"));
}

#[test]
fn sql_is_spoken_in_the_store_alone_and_the_store_knows_no_http_at_all() {
    for reference in references() {
        let (place, target) = (&reference.place, &reference.target);
        if *target == crate_of("sqlx") {
            assert_eq!(reference.module, "store", "{place}");
        }
        if reference.module == "store" {
            assert!(*target != crate_of("http") && *target != module_of("http"), "{place}");
        }
    }
}

#[test]
fn the_table_and_the_folder_name_the_same_modules() {
    let named: BTreeSet<_> = table().into_keys().collect();
    let present: BTreeSet<_> = sources().iter().filter_map(|(path, _)| module_of_file(path)).collect();
    assert_eq!(named, present);
}

#[test]
fn the_server_depends_on_the_runtime_and_the_contract_alone_and_the_contract_on_nothing_of_ours() {
    assert_eq!(our_dependencies("contract"), [""; 0]);
    assert_eq!(our_dependencies("runtime"), ["sageapi-contract"]);
    assert_eq!(our_dependencies("server"), ["sageapi-contract", "sageapi-runtime"]);
    assert_eq!(our_dependencies("tests/demo"), ["sageapi-contract"]);
}

#[test]
fn the_runtime_knows_neither_sql_nor_kubernetes() {
    let manifest = fs::read_to_string(root().join("runtime/Cargo.toml")).unwrap();
    for foreign in ["sqlx", "kube", "k8s-openapi"] {
        assert!(!manifest.contains(&format!("\n{foreign}.")), "{foreign}");
    }
}

#[test]
fn both_kinds_of_database_have_the_same_migrations() {
    let names = |kind: &str| {
        let files = fs::read_dir(root().join("migrations").join(kind)).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let mysql = names("mysql");
    assert_eq!(mysql, names("sqlite"));
    for (nth, name) in mysql.iter().enumerate() {
        let number = format!("{:04}_", nth + 1);
        let is_next = name.starts_with(&number) && name.strip_suffix(".sql").is_some();
        assert!(is_next, "{name} should begin with {number} and end with .sql");
    }
}

#[test]
fn a_migration_for_mysql_is_one_statement_so_that_an_interrupted_one_can_be_run_again() {
    for file in fs::read_dir(root().join("migrations/mysql")).unwrap() {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let code: String = text.lines().map(|line| line.split("--").next().unwrap()).collect();
        let statements = code.split(';').filter(|part| !part.trim().is_empty()).count();
        assert_eq!(statements, 1, "{}", path.display());
    }
}

#[test]
fn paths_are_read_through_groups_and_supers_and_not_from_comments_or_texts() {
    let code = r#"
        // use crate::comment;
        /* use crate::block /* nested */ ; */
        use crate::{config::{self, Config}, model};
        use super::super::store::Store;
        use super::sibling;
        use ::sqlx::Row as _;
        fn f() -> hyper::Body { let _ = "crate::text"; let _ = ('"', 'x', r"crate::raw"); crate::sync::run() }
        mod tests {
            use super::super::inner;
            use super::super::super::{env::{ServerEnv, load}};
        }
    "#;
    let expected = [
        module_of("config"),
        module_of("model"),
        module_of("store"),
        crate_of("sqlx"),
        crate_of("hyper"),
        module_of("sync"),
        module_of("env"),
    ];
    let found: Vec<_> = paths(code, 2).into_iter().map(|(_, target)| target).collect();
    assert_eq!(found, expected);
    assert_eq!(paths(code, 2)[0].0, 4, "the line of the first path");
}

/// What a word of the column "must not know" means in code.
fn forbidden_by(word: &str) -> Vec<Target> {
    match word {
        // Rank 0 already says so: there is nothing above it in the table.
        "anything" => Vec::new(),
        "store" => vec![module_of("store")],
        "rules" => vec![module_of("domain")],
        "SQL" => vec![crate_of("sqlx")],
        // Not the crate `http`: its header map is a plain data type, without a server behind it.
        "HTTP" | "HTTP server" => {
            let crates = ["hyper", "hyper_util", "tower", "tower_http"].map(crate_of);
            [&crates[..], &[module_of("http")]].concat()
        }
        other => panic!("docs/ARCHITECTURE.md forbids {other:?}: teach this test what that means"),
    }
}

fn module_of(name: &str) -> Target {
    Target::Module(name.to_owned())
}

fn crate_of(name: &str) -> Target {
    Target::Crate(name.to_owned())
}

/// The table "Modules of the server": | rank | `module` | concern | must not know |
fn table() -> BTreeMap<String, Rule> {
    let text = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let (_, section) = text.split_once("## Modules of the server").expect("the section is there");
    let mut rules = BTreeMap::new();
    for line in section.lines().take_while(|line| !line.starts_with("## ")) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, rank, module, _, must_not_know, _] = cells[..] else { continue };
        let Ok(rank) = rank.parse() else { continue };
        let must_not_know = must_not_know.split(", ").map(str::to_owned).collect();
        rules.insert(module.trim_matches('`').to_owned(), Rule { rank, must_not_know });
    }
    assert!(rules.len() >= 9, "the table was not understood");
    rules
}

/// Every path in the sources that leaves its module.
fn references() -> Vec<Reference> {
    let mut references = Vec::new();
    for (path, text) in sources() {
        let Some(module) = module_of_file(&path) else { continue };
        let depth = path.components().count() - usize::from(path.ends_with("mod.rs"));
        for (line, target) in paths(&text, depth) {
            let place = format!("server/src/{}:{line}", path.display());
            references.push(Reference { module: module.clone(), place, target });
        }
    }
    assert!(references.len() > 300, "the sources were not understood");
    references
}

/// The top-level module that a file belongs to; none for the crate's own two files.
fn module_of_file(path: &Path) -> Option<String> {
    let first = path.iter().next()?.to_str()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (name != "lib" && name != "main").then(|| name.to_owned())
}

/// The modules of this crate and the other crates that a file names by path, with line numbers.
/// `depth` is how often `super` leads from the file's module to the crate's root.
fn paths(text: &str, depth: usize) -> Vec<(usize, Target)> {
    let mut found = Vec::new();
    let (mut level, mut inline) = (0, Vec::new());
    for (number, code) in statements(&strip(text)) {
        let words = code.trim_start().trim_start_matches("pub ");
        let depth = depth + inline.len();
        let targets = match words.strip_prefix("use ") {
            Some(path) => root_of(path, depth),
            None => named_in(&code, depth),
        };
        found.extend(targets.into_iter().map(|target| (number, target)));
        if words.starts_with("mod ") && words.contains('{') {
            inline.push(level);
        }
        level += code.matches('{').count();
        level -= code.matches('}').count();
        inline.retain(|outer| *outer < level);
    }
    found
}

/// Lines with their numbers; a `use` declaration is one, however long it is.
fn statements(code: &str) -> Vec<(usize, String)> {
    let mut parts: Vec<(usize, String)> = Vec::new();
    let mut in_use = false;
    for (nth, line) in code.lines().enumerate() {
        match parts.last_mut().filter(|_| in_use) {
            Some((_, part)) => *part += line,
            None => parts.push((nth + 1, line.to_owned())),
        }
        let begins = line.trim_start().trim_start_matches("pub ").starts_with("use ");
        in_use = (in_use || begins) && !line.contains(';');
    }
    parts
}

/// What the paths in a line of code lead to.
fn named_in(code: &str, depth: usize) -> Vec<Target> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("::") {
        let start = code[..at].rfind(|c| !is_name(c)).map_or(0, |before| before + 1);
        let is_first = !code[..start].ends_with("::");
        if is_first && start < at {
            found.extend(root_of(&code[start..], depth));
        }
    }
    found
}

/// Where a path begins that is as good as absolute: at a module of this crate, or in another crate.
fn root_of(path: &str, depth: usize) -> Vec<Target> {
    let (first, rest) = path.trim_start_matches("::").split_once("::").unwrap_or((path, ""));
    let modules = |rest| firsts(rest).into_iter().map(Target::Module).collect();
    match first {
        "crate" => modules(rest),
        "super" => {
            let inner = rest.trim_start_matches("super::");
            let climbed = 1 + (rest.len() - inner.len()) / "super::".len();
            if climbed == depth { modules(inner) } else { Vec::new() }
        }
        "self" | "Self" => Vec::new(),
        name if name.starts_with(|c: char| c.is_ascii_lowercase()) => vec![crate_of(name)],
        _ => Vec::new(),
    }
}

/// The first segments that follow `crate::`, a group's members included.
fn firsts(rest: &str) -> Vec<String> {
    let name = |text: &str| text.trim_start().chars().take_while(|c| is_name(*c)).collect::<String>();
    let (mut names, mut level, mut start) = (Vec::new(), 0, 0);
    let group = rest.strip_prefix('{').unwrap_or_else(|| {
        names.push(name(rest));
        ""
    });
    for (at, c) in group.char_indices() {
        match c {
            '{' => level += 1,
            '}' if level == 0 => {
                names.push(name(&group[start..at]));
                break;
            }
            '}' => level -= 1,
            ',' if level == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty() && name.starts_with(|c: char| c.is_ascii_lowercase()));
    names
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Code without comments and texts; its lines stay where they are.
fn strip(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw_text(rest).filter(|_| !out.ends_with(is_name)) {
            length
        } else if c == '"' {
            text(rest)
        } else {
            // A quote begins a character if another one follows it, and a lifetime otherwise.
            let mut after = rest.chars().skip(1);
            match (c, after.next(), after.next()) {
                ('\'', Some('\\'), _) => 3 + rest[3..].find('\'').map_or(0, |end| end + 1),
                ('\'', Some(it), Some('\'')) => 2 + it.len_utf8(),
                _ => 0,
            }
        };
        if skipped == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            out.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
            out.push(' ');
            rest = &rest[skipped..];
        }
    }
    out
}

fn block_comment(rest: &str) -> usize {
    let (mut level, mut at) = (0_usize, 0);
    while at < rest.len() {
        let here = &rest[at..];
        if here.starts_with("/*") {
            (level, at) = (level + 1, at + 2);
        } else if here.starts_with("*/") {
            (level, at) = (level - 1, at + 2);
            if level == 0 {
                break;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

fn text(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of `r"..."`, `r#"..."#` or `br"..."`, if one begins here.
fn raw_text(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = rest.len() - body.len();
    Some(length + body.find(&end).map_or(body.len(), |at| at + end.len()))
}

/// Paths below server/src, and what the files hold.
fn sources() -> Vec<(PathBuf, String)> {
    let source = root().join("server/src");
    let (mut folders, mut files) = (vec![source.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path.strip_prefix(&source).unwrap().to_owned(), text));
            }
        }
    }
    files.sort();
    files
}

/// The crates of this workspace that a crate needs to be built, tests aside.
fn our_dependencies(folder: &str) -> Vec<String> {
    let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
    let (_, after) = manifest.split_once("[dependencies]").unwrap_or_default();
    let lines = after.lines().take_while(|line| !line.starts_with('['));
    let names = lines.filter_map(|line| line.split(['.', ' ', '=']).next());
    names.filter(|name| name.starts_with("sageapi-")).map(str::to_owned).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
