//! Whatever a page says to type is there: commands of the server and their options.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use crate::claims::marked;
use crate::{pages, root};

/// What `--help` of each command says; the program itself is the empty path.
type Helps = BTreeMap<Vec<String>, String>;

fn helps() -> Helps {
    let mut helps = Helps::new();
    collect(&mut Vec::new(), &mut helps);
    helps
}

fn collect(path: &mut Vec<String>, helps: &mut Helps) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_sageapi-server")).args(&*path).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    helps.insert(path.clone(), help.clone());
    let commands = help.split_once("\nCommands:\n").map_or("", |(_, commands)| commands);
    for line in commands.lines().take_while(|line| line.starts_with("  ")) {
        let name = line.split_whitespace().next().unwrap();
        // A description that is too long goes on in the next line, further in.
        if name != "help" && !line.starts_with("   ") {
            path.push(name.to_owned());
            collect(path, helps);
            path.pop();
        }
    }
}

/// What is wrong with the words that follow the program's name.
fn problem(helps: &Helps, words: &str) -> Option<String> {
    let mut path = Vec::new();
    for word in words.split_whitespace() {
        if let Some(option) = word.trim_start_matches('[').strip_prefix("--") {
            let option: String = option.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
            if !helps[&path].contains(&format!("--{option} "))
                && !helps[&path].contains(&format!("--{option}\n"))
            {
                return Some(format!("--{option} is not an option of {path:?}"));
            }
            continue;
        }
        let mut deeper = path.clone();
        deeper.push(word.to_owned());
        if helps.contains_key(&deeper) {
            path = deeper;
        } else if helps[&path].contains("\nCommands:\n")
            && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
        {
            return Some(format!("{word} is not a command of {path:?}"));
        }
    }
    None
}

#[test]
fn every_command_and_option_that_a_page_says_to_type_is_there() {
    let helps = helps();
    assert!(helps.len() > 15, "the help was not understood: {:?}", helps.keys());
    let mut wrong = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        // A drawing is not code.
        let blocks = text.lines().filter(|line| line.starts_with("    ") && !line.contains('─'));
        for code in marked(&text).chain(blocks) {
            for (at, name) in code.match_indices("sageapi-server ") {
                let words =
                    code[at + name.len()..].split(['#', '|', ';', ')', '>', '"']).next().unwrap_or_default();
                let paths = code[..at].ends_with("cargo run -p ") || code[..at].ends_with("-p ");
                if let Some(problem) = problem(&helps, words).filter(|_| !paths) {
                    wrong.push(format!("{}: {code}: {problem}", page.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_readme_lists_every_command_and_no_other() {
    let helps = helps();
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, table) = text.split_once("| `sageapi-server ...` |").unwrap();
    let mut listed = Vec::new();
    for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let row = row.replace("\\|", "/");
        for code in row.split('|').nth(1).into_iter().flat_map(marked) {
            let words: Vec<&str> = code.split_whitespace().collect();
            let parts = words.get(1).into_iter().flat_map(|word| word.split('/'));
            let parts = parts.filter(|part| part.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
            let parts: Vec<&str> = parts.filter(|part| !part.starts_with('-')).collect();
            for part in parts.iter().filter(|_| helps[&vec![words[0].to_owned()]].contains("\nCommands:\n")) {
                listed.push(vec![words[0].to_owned(), (*part).to_owned()]);
            }
            listed.push(vec![words[0].to_owned()]);
        }
    }
    for command in &listed {
        assert!(helps.contains_key(command), "README.md: {command:?} is not a command");
    }
    for command in helps.keys().filter(|command| !command.is_empty()) {
        assert!(listed.contains(command), "README.md does not list {command:?}");
    }
}

#[test]
fn every_option_that_a_page_names_by_itself_is_one_of_some_command() {
    let helps = helps();
    for page in pages().into_iter().filter(|page| !page.ends_with("OPERATOR.md")) {
        let text = fs::read_to_string(&page).unwrap();
        for code in marked(&text).filter(|code| code.starts_with("--")) {
            let option = code.split([' ', '=']).next().unwrap();
            assert!(helps.values().any(|help| help.contains(option)), "{}: {option}", page.display());
        }
    }
}

#[test]
fn completions_know_every_command_and_bash_can_read_them() {
    let script = |shell: &str| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_sageapi-server"));
        let output = program.args(["completion", shell]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for shell in ["bash", "zsh", "fish"] {
        for word in ["serve", "reencrypt", "completion", "take-over"] {
            assert!(script(shell).contains(word), "{shell}: {word}");
        }
    }
    let bash = Command::new("bash").args(["-n", "-c", &script("bash")]).output().unwrap();
    assert!(bash.status.success(), "{}", String::from_utf8_lossy(&bash.stderr));
}
