//! Finds which keys of the table are set in the file and in the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sageapi_contract::{
    CONFIG_VARIABLE, DEFAULT_CONFIG_FILE, Key, Kind, TEST_VARIABLE_PREFIX, VARIABLE_PREFIX, find, keys,
};

use super::error::ConfigError;
use super::lines;
use super::origin::Origin;
use super::yaml::{self, Node};

/// Largest configuration file, and largest secret file, in bytes.
pub const FILE_MAX_BYTES: usize = 1 << 20;

/// Reads a file for [`load`](super::load); tests pass their own.
pub type ReadFile<'a> = dyn Fn(&Path) -> io::Result<Vec<u8>> + 'a;

/// Reads a file, but not more than one byte beyond [`FILE_MAX_BYTES`].
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(FILE_MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A value that is set.
pub(super) struct Given {
    pub(super) origin: Origin,
    /// `None`: already refused.
    pub(super) value: Option<GivenValue>,
}

pub(super) enum GivenValue {
    Text(String),
    List(Vec<String>),
}

/// The values that are set, by key path.
pub(super) type AllGiven = BTreeMap<&'static str, Given>;

/// Reads the named file (with the option or variable that names it), else the default one if it exists.
pub(super) fn open(
    named: Option<(&Path, &str)>,
    read: &ReadFile<'_>,
) -> Result<Option<(PathBuf, String)>, ConfigError> {
    let (path, origin) = named.unwrap_or((Path::new(DEFAULT_CONFIG_FILE), "the default file"));
    let bytes = match read(path) {
        Ok(bytes) => bytes,
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(origin, path, &error)),
    };
    Ok(Some((path.to_owned(), text(path, bytes)?)))
}

fn unreadable(origin: &str, path: &Path, error: &io::Error) -> ConfigError {
    ConfigError::Unreadable {
        origin: origin.to_owned(),
        file: path.display().to_string(),
        reason: error.to_string(),
    }
}

fn text(path: &Path, bytes: Vec<u8>) -> Result<String, ConfigError> {
    let file = path.display().to_string();
    if bytes.len() > FILE_MAX_BYTES {
        return Err(ConfigError::TooLarge { file });
    }
    String::from_utf8(bytes)
        .map_err(|error| ConfigError::NotUtf8 { file, offset: error.utf8_error().valid_up_to() })
}

/// Collects what the file sets; an error if it is not YAML at all.
pub(super) fn from_file(
    path: &Path,
    text: &str,
    given: &mut AllGiven,
    errors: &mut Vec<ConfigError>,
) -> Result<(), ConfigError> {
    let root = yaml::parse(text).map_err(|yaml::Refused { line, reason }| ConfigError::Syntax {
        origin: Origin::File { path: path.to_owned(), line },
        reason,
    })?;
    let sections = keys().flat_map(|key| ancestors(key.path)).collect();
    Walk { path, lines: lines::of(text), sections, given, errors }.section("", root);
    Ok(())
}

/// `a.b.c` has the ancestors `a` and `a.b`.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('.').map(|(dot, _)| &path[..dot])
}

struct Walk<'a> {
    path: &'a Path,
    lines: BTreeMap<String, u64>,
    sections: BTreeSet<&'static str>,
    given: &'a mut AllGiven,
    errors: &'a mut Vec<ConfigError>,
}

impl Walk<'_> {
    fn origin(&self, path: &str) -> Origin {
        Origin::File { path: self.path.to_owned(), line: self.lines.get(path).copied() }
    }

    fn section(&mut self, section: &str, node: Node) {
        let entries = match node {
            Node::Null => return,
            Node::Map(entries) => entries,
            other => {
                let error = ConfigError::NotASection {
                    origin: self.origin(section),
                    section: if section.is_empty() { "the file" } else { section }.to_owned(),
                    found: other.name(),
                    accepted: accepted(section).join(", "),
                };
                self.errors.push(error);
                return;
            }
        };
        for (name, node) in entries {
            let path = if section.is_empty() { name.clone() } else { format!("{section}.{name}") };
            if let Some(key) = find(&path) {
                self.key(key, node);
            } else if self.sections.contains(path.as_str()) {
                self.section(&path, node);
            } else {
                let accepted = accepted(section);
                self.errors.push(ConfigError::UnknownKey {
                    origin: self.origin(&path),
                    path: path.escape_debug().to_string(),
                    nearest: nearest(&name, accepted.iter().copied()).map(str::to_owned),
                    accepted: accepted.join(", "),
                });
            }
        }
    }

    /// Nothing after the colon is the same as no line at all.
    fn key(&mut self, key: &'static Key, node: Node) {
        let origin = self.origin(key.path);
        let value = match (key.kind.is_list(), node) {
            (_, Node::Null) => return,
            (false, Node::Text(text)) => Ok(GivenValue::Text(text)),
            (false, Node::Plain(text)) if !needs_quotes(key.kind) => Ok(GivenValue::Text(text)),
            (false, Node::Plain(_)) => {
                Err(("an unquoted number or flag".to_owned(), Some("put quotes around it to make it text")))
            }
            (true, Node::List(items)) => items
                .into_iter()
                .map(|item| match item {
                    Node::Text(text) | Node::Plain(text) => Ok(text),
                    other => Err((format!("a list with {} in it", other.name()), None)),
                })
                .collect::<Result<_, _>>()
                .map(GivenValue::List),
            (_, other) => Err((other.name().to_owned(), None)),
        };
        let value = match value {
            Ok(value) => Some(value),
            Err((found, reason)) => {
                self.errors.push(ConfigError::BadValue { origin: origin.clone(), key, found, reason });
                None
            }
        };
        self.given.insert(key.path, Given { origin, value });
    }
}

/// Names that may stand in a section, in the order of the table.
fn accepted(section: &str) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = keys()
        .filter_map(|key| match section {
            "" => Some(key.path),
            _ => key.path.strip_prefix(section)?.strip_prefix('.'),
        })
        .filter_map(|rest| rest.split('.').next())
        .collect();
    names.dedup();
    names
}

/// Whether YAML may have changed an unquoted value on the way: `007` or `1e3` as a password.
fn needs_quotes(kind: Kind) -> bool {
    matches!(kind, Kind::Text(_) | Kind::File | Kind::Host)
}

/// Collects what the environment sets, over what the file set.
pub(super) fn from_env(
    env: &BTreeMap<String, String>,
    read: &ReadFile<'_>,
    given: &mut AllGiven,
    errors: &mut Vec<ConfigError>,
) {
    let known: BTreeMap<String, &'static Key> = keys()
        .flat_map(|key| {
            [Some(key.variable()), key.file_variable()].into_iter().flatten().map(move |name| (name, key))
        })
        .collect();
    let ours =
        env.range(VARIABLE_PREFIX.to_owned()..).take_while(|(name, _)| name.starts_with(VARIABLE_PREFIX));
    for (name, text) in ours {
        if name == CONFIG_VARIABLE || name.starts_with(TEST_VARIABLE_PREFIX) {
            continue;
        }
        let Some(key) = known.get(name).copied() else {
            let plain = name.strip_suffix("_FILE").filter(|plain| known.contains_key(*plain));
            let nearest =
                plain.or_else(|| nearest(name, known.keys().map(String::as_str))).map(str::to_owned);
            errors.push(ConfigError::UnknownVariable { variable: name.escape_debug().to_string(), nearest });
            continue;
        };
        let (origin, text) = if key.file_variable().as_ref() == Some(name) {
            if env.contains_key(&key.variable()) {
                errors.push(ConfigError::Exclusive { first: key.variable(), second: name.clone() });
                continue;
            }
            let path = PathBuf::from(text);
            let text = match secret_file(name, &path, read) {
                Ok(text) => Some(text),
                Err(error) => {
                    errors.push(error);
                    None
                }
            };
            (Origin::SecretFile { variable: name.clone(), path }, text)
        } else {
            (Origin::Variable(name.clone()), Some(text.clone()))
        };
        let value = text.map(|text| {
            if key.kind.is_list() { GivenValue::List(split(&text)) } else { GivenValue::Text(text) }
        });
        given.insert(key.path, Given { origin, value });
    }
}

fn secret_file(variable: &str, path: &Path, read: &ReadFile<'_>) -> Result<String, ConfigError> {
    let bytes = read(path).map_err(|error| unreadable(variable, path, &error))?;
    let mut text = text(path, bytes)?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

/// The items of a comma-separated list; an empty text is the empty list.
pub(super) fn split(text: &str) -> Vec<String> {
    if text.trim().is_empty() {
        Vec::new()
    } else {
        text.split(',').map(|item| item.trim().to_owned()).collect()
    }
}

/// The candidate that differs from `name` in the fewest letters, if it resembles it at all.
fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > 100 {
        return None;
    }
    let limit = (name.trim_start_matches(VARIABLE_PREFIX).len() / 3).max(2);
    let (distance, best) = candidates.map(|candidate| (distance(name, candidate), candidate)).min()?;
    (distance <= limit).then_some(best)
}

/// Levenshtein's distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, right) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
