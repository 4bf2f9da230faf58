use std::fmt;

use sageapi_contract::Key;

use super::origin::Origin;

/// One thing wrong with the configuration. No variant ever carries the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file that was named, or that exists, cannot be read.
    #[error("{origin}: {file:?} cannot be read: {reason}; name a readable file")]
    Unreadable {
        /// Who named the file.
        origin: String,
        /// The file.
        file: String,
        /// What the system says.
        reason: String,
    },
    /// A file is larger than any configuration.
    #[error("{file}: larger than 1 MiB; is this the right file?")]
    TooLarge {
        /// The file.
        file: String,
    },
    /// A file is not UTF-8.
    #[error("{file}: not UTF-8 from byte {offset} on; save it as UTF-8")]
    NotUtf8 {
        /// The file.
        file: String,
        /// Count of bytes before the first bad one.
        offset: usize,
    },
    /// A variable is not UTF-8.
    #[error("{variable}: its value is not UTF-8; set it again or unset it")]
    VariableNotUtf8 {
        /// The variable.
        variable: String,
    },
    /// The file is not valid YAML.
    #[error("{origin}: invalid YAML: {reason}")]
    Syntax {
        /// File and line.
        origin: Origin,
        /// What the parser says.
        reason: String,
    },
    /// A value in the place of a section.
    #[error("{origin}: {section}: must be a mapping, not {found}; accepted keys: {accepted}")]
    NotASection {
        /// File and line.
        origin: Origin,
        /// Path of the section.
        section: String,
        /// What was found.
        found: &'static str,
        /// The section's keys.
        accepted: String,
    },
    /// An unknown key.
    #[error("{origin}: {path}: unknown key{}; accepted here: {accepted}", suggest(.nearest.as_deref()))]
    UnknownKey {
        /// File and line.
        origin: Origin,
        /// Path of the key.
        path: String,
        /// The accepted key that looks most like it.
        nearest: Option<String>,
        /// The section's keys.
        accepted: String,
    },
    /// A `SAGEAPI_` variable without a key.
    #[error("{variable}: unknown variable{}; every SAGEAPI_ name must be a configuration key: correct or unset it", suggest(.nearest.as_deref()))]
    UnknownVariable {
        /// The variable.
        variable: String,
        /// The known variable that looks most like it.
        nearest: Option<String>,
    },
    /// A value that the key does not accept.
    #[error("{origin}: {}: {found} is not accepted{}; give {}", .key.path, because(*.reason), .key.kind.accepts())]
    BadValue {
        /// Where the value stands.
        origin: Origin,
        /// The key.
        key: &'static Key,
        /// The value, or "the value" for a secret.
        found: String,
        /// Details, if there are any.
        reason: Option<&'static str>,
    },
    /// A key that the value of another key excludes.
    #[error("{origin}: {key}: not accepted {why}; remove it")]
    Misplaced {
        /// Where the key stands.
        origin: Origin,
        /// Path of the key.
        key: &'static str,
        /// The other value.
        why: &'static str,
    },
    /// Two keys, or two ways to set one, that exclude each other.
    #[error("{first} and {second} exclude each other; remove one")]
    Exclusive {
        /// One key and where it stands.
        first: String,
        /// The other.
        second: String,
    },
    /// A key is needed because of another.
    #[error("{}: required {why}; set it in the file or as {}; give {}", .key.path, variables(.key), .key.kind.accepts())]
    Missing {
        /// The key.
        key: &'static Key,
        /// Why it is needed.
        why: &'static str,
    },
}

fn suggest(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}

fn because(reason: Option<&str>) -> String {
    reason.map(|reason| format!(" ({reason})")).unwrap_or_default()
}

/// The variables that set a key.
fn variables(key: &Key) -> String {
    match key.file_variable() {
        Some(file) => format!("{} or {file}", key.variable()),
        None => key.variable(),
    }
}

/// Everything wrong with the configuration, one line each. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
