//! A configuration for people: `config check` and `config print`.

use std::fmt::Write;
use std::path::PathBuf;

use sageapi_contract::{Key, Kind, SECTIONS, keys};
use serde_json::{Map, Value};

use super::origin::Origin;
use super::source::{AllGiven, GivenValue};
use super::types::Config;
use super::value::default_of;

/// A configuration and where its values come from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is accepted but has no effect, in the order of the table.
    pub warnings: Vec<String>,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// Every key with its effective value, in the order of the table. Secrets are already `***`.
    pub settings: Vec<Setting>,
}

/// The effective value of one key.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The key.
    pub key: &'static Key,
    /// Its value as written, `***` for a secret; `None`: unset, without a default.
    pub value: Option<serde_json::Value>,
    /// Where the value comes from; `None`: the default.
    pub origin: Option<Origin>,
}

/// Shown instead of a secret.
const HIDDEN: &str = "***";

/// The effective value of every key.
pub(super) fn settings(given: &AllGiven) -> Vec<Setting> {
    let setting = |key: &'static Key| {
        let given = given.get(key.path);
        let default = default_of(key);
        let value = match given {
            Some(given) => given.value.as_ref(),
            None => default.as_ref(),
        };
        Setting {
            key,
            value: value.map(|value| shown(key, value)),
            origin: given.map(|given| given.origin.clone()),
        }
    };
    keys().map(setting).collect()
}

fn shown(key: &Key, value: &GivenValue) -> Value {
    match value {
        GivenValue::Text(_) if key.secret => HIDDEN.into(),
        GivenValue::List(items) if key.secret => items.iter().map(|_| HIDDEN).collect(),
        GivenValue::List(items) => items.iter().map(String::as_str).collect(),
        GivenValue::Text(text) => scalar(key.kind, text),
    }
}

/// A value as JSON, numbers and flags as such.
pub(super) fn scalar(kind: Kind, text: &str) -> Value {
    let bare = matches!(kind, Kind::Flag | Kind::Integer(..) | Kind::Size(..) | Kind::Ratio);
    let parsed = if bare { serde_json::from_str(text).ok() } else { None };
    parsed.filter(|value: &Value| value.is_number() || value.is_boolean()).unwrap_or_else(|| text.into())
}

/// One line for a valid configuration, and one for each warning.
pub fn check_report(loaded: &Loaded) -> String {
    let mut text = match &loaded.file {
        Some(file) => format!("{}: the configuration is valid\n", file.display()),
        None => "the configuration is valid; no file was read\n".to_owned(),
    };
    for warning in &loaded.warnings {
        text.push_str("warning: ");
        text.push_str(warning);
        text.push('\n');
    }
    text
}

/// The effective configuration as YAML, each value with where it comes from. Secrets are `***`.
pub fn print(loaded: &Loaded) -> String {
    let mut text = String::new();
    let mut open: Vec<&str> = Vec::new();
    for setting in &loaded.settings {
        let mut parts: Vec<&str> = setting.key.path.split('.').collect();
        let Some(name) = parts.pop() else { continue };
        let common = open.iter().zip(&parts).take_while(|(one, other)| one == other).count();
        for (depth, section) in parts.iter().enumerate().skip(common) {
            let _ = writeln!(text, "{:width$}{section}:", "", width = 2 * depth);
        }
        let width = 2 * parts.len();
        let _ = match (&setting.value, &setting.origin) {
            (Some(value), Some(origin)) => {
                let origin = origin.to_string().replace(char::is_control, "?");
                writeln!(text, "{:width$}{name}: {value} # {origin}", "")
            }
            (Some(value), None) => writeln!(text, "{:width$}{name}: {value} # default", ""),
            (None, _) => writeln!(text, "{:width$}# {name}: unset", ""),
        };
        open = parts;
    }
    text
}

/// The effective configuration as JSON of the file's shape. Secrets are `***`; what is unset is null.
pub fn values(loaded: &Loaded) -> Value {
    let mut root = Map::new();
    for section in SECTIONS {
        root.insert(section.name.to_owned(), Map::new().into());
    }
    for setting in &loaded.settings {
        nest(&mut root, setting.key.path, setting.value.clone().unwrap_or(Value::Null));
    }
    root.into()
}

/// Puts a value at a path of nested objects, making those that are missing.
pub(super) fn nest(object: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            object.insert(path.to_owned(), value);
        }
        Some((name, rest)) => {
            let inner = object.entry(name).or_insert_with(|| Map::new().into());
            if let Value::Object(inner) = inner {
                nest(inner, rest, value);
            }
        }
    }
}
