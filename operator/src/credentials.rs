//! The referenced Secrets: which entries are read, and which files they become in a pod.

use std::collections::BTreeMap;
use std::fmt;

use sageapi_contract::SECRET_FILES;
use sageapi_crds::{AuthScheme, Reason, SecretKeyRef, Upstream};

use crate::observed::Referenced;
use crate::render::Keys;
use crate::validate::Validated;

/// The default entry of a CA.
const CA: &str = "ca.crt";

/// Everything secret that pods get.
#[derive(Clone, PartialEq)]
pub struct Credentials {
    /// Contents by file name.
    pub files: BTreeMap<&'static str, Vec<u8>>,
    /// The database: host:port/name.
    pub identity: String,
}

/// Never the contents.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("files", &self.files.keys().collect::<Vec<_>>())
            .field("identity", &self.identity)
            .finish()
    }
}

/// What is missing or wrong, without any content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// SecretNotFound, KeyMissing, InvalidCredentials or Forbidden.
    pub reason: Reason,
    /// Which Secret, which entry, and what to do.
    pub message: String,
}

/// One entry of a referenced Secret, and the file that it becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The file ([`SECRET_FILES`]).
    pub file: &'static str,
    /// The Secret's name.
    pub secret: &'a str,
    /// The entry's name.
    pub key: &'a str,
}

/// All entries that a specification refers to.
pub fn entries(validated: &Validated) -> Vec<Entry<'_>> {
    fn reference<'a>(
        file: &'static str,
        SecretKeyRef { name, key }: &'a SecretKeyRef,
        default: &'static str,
    ) -> Entry<'a> {
        Entry { file, secret: name, key: key.as_deref().unwrap_or(default) }
    }
    let mysql = &validated.spec.database.mysql;
    let mut entries = vec![reference("database_url", &mysql.url_secret_ref, "url")];
    entries.extend(mysql.tls.as_ref().map(|tls| reference("database_ca", &tls.ca_secret_ref, CA)));
    if let Some(Upstream { url: _, auth, events, ca_secret_ref, timeout: _ }) = &validated.spec.upstream {
        let secret = auth.secret_ref.name.as_str();
        match auth.scheme.unwrap_or_default() {
            AuthScheme::Signed => {
                entries.push(Entry { file: "dapi_key", secret, key: "key" });
                entries.push(Entry { file: "dapi_secret", secret, key: "secret" });
            }
            AuthScheme::Bearer => entries.push(Entry { file: "dapi_secret", secret, key: "token" }),
        }
        entries.extend(events.as_ref().map(|events| Entry {
            file: "uapi_secret",
            secret: &events.secret_ref.name,
            key: "signingSecret",
        }));
        entries.extend(ca_secret_ref.as_ref().map(|ca| reference("upstream_ca", ca, CA)));
    }
    entries
}

/// Reads what the specification refers to.
pub fn resolve(
    validated: &Validated,
    secrets: &BTreeMap<String, Referenced>,
) -> Result<Credentials, Missing> {
    let mut files = BTreeMap::new();
    let mut database = None;
    for Entry { file, secret, key } in entries(validated) {
        let value = entry(secrets, secret, key)?;
        if file == "database_url" {
            let named = std::str::from_utf8(&value).ok().and_then(identity);
            database = Some(named.ok_or_else(|| Missing {
                reason: Reason::InvalidCredentials,
                message: format!(
                    "entry {key} of Secret {secret} is not a URL like mysql://user:password@host:3306/name"
                ),
            })?);
        }
        files.insert(file, value);
    }
    Ok(Credentials { files, identity: database.unwrap_or_default() })
}

/// Adds the installation's own keys, as far as the server uses them yet: it warns of others.
pub fn with_keys(mut files: BTreeMap<&'static str, Vec<u8>>, keys: &Keys) -> BTreeMap<&'static str, Vec<u8>> {
    files.extend(own_files().filter_map(|file| Some((file, keys.get(file)?.to_vec()))));
    files
}

/// Files that the installation's own keys become.
pub fn own_files() -> impl Iterator<Item = &'static str> {
    let built = |key| sageapi_contract::find(key).is_some_and(|key| key.built);
    SECRET_FILES
        .iter()
        .filter(move |file| Keys::NAMES.contains(&file.name) && built(file.key))
        .map(|file| file.name)
}

fn entry(secrets: &BTreeMap<String, Referenced>, name: &str, key: &str) -> Result<Vec<u8>, Missing> {
    let missing = |reason, message| Err(Missing { reason, message });
    match secrets.get(name) {
        None | Some(Referenced::Missing) => missing(
            Reason::SecretNotFound,
            format!("Secret {name} does not exist; create it with an entry {key}"),
        ),
        Some(Referenced::Forbidden) => missing(
            Reason::Forbidden,
            format!("reading Secret {name} is forbidden; allow the operator's service account to get it"),
        ),
        Some(Referenced::Found(entries)) => {
            // The server drops line ends at the end of a file, and so does the hash.
            let value = entries.get(key).map(|value| trimmed(value)).filter(|value| !value.is_empty());
            value.map(<[u8]>::to_vec).ok_or_else(|| Missing {
                reason: Reason::KeyMissing,
                message: format!("Secret {name} has no entry {key}, or an empty one; add it"),
            })
        }
    }
}

fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [rest @ .., b'\n' | b'\r'] = value {
        value = rest;
    }
    value
}

/// Cut to what the status can hold.
const IDENTITY_MAX: usize = 512;

/// host:port/name of a MySQL URL; nothing of user and password.
fn identity(url: &str) -> Option<String> {
    let (authority, name) = url.strip_prefix("mysql://")?.split_once('/')?;
    let (user, server) = authority.rsplit_once('@')?;
    let port_at = match server.rfind(']') {
        Some(bracket) => server[bracket..].find(':').map(|colon| bracket + colon),
        None => server.find(':'),
    };
    let (host, port) = match port_at {
        Some(at) => (&server[..at], server[at + 1..].parse().ok()?),
        None => (server, 3306_u16),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    let sound = !host.is_empty()
        && host.chars().all(plain)
        && port != 0
        && !user.starts_with(':')
        && !user.is_empty()
        && !name.is_empty()
        && !name.contains(['/', '?', '#'])
        && !url.chars().any(|c| c.is_control() || c == ' ');
    sound
        .then(|| format!("{}:{port}/{name}", host.to_ascii_lowercase()))
        .filter(|identity| identity.len() <= IDENTITY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_named_without_user_and_password() {
        for (url, expected) in [
            ("mysql://u:p@db.example.com:3307/sage", Some("db.example.com:3307/sage")),
            ("mysql://u@DB/sage", Some("db:3306/sage")),
            ("mysql://u:p%40@[fd00::1]:3307/sage", Some("[fd00::1]:3307/sage")),
            ("mysql://u:p@[fd00::1]/sage", Some("[fd00::1]:3306/sage")),
            ("mysql://u:p@:p@db/sage", Some("db:3306/sage")),
            ("mysql://db/sage", None),
            ("mysql://u:p@db", None),
            ("mysql://u:p@db/", None),
            ("mysql://u:p@db:0/sage", None),
            ("mysql://u:p@db:x/sage", None),
            ("mysql://:p@db/sage", None),
            ("mysql://u:p@db/sage?ssl=1", None),
            ("sqlite:data.db", None),
            ("", None),
        ] {
            assert_eq!(identity(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn line_ends_at_the_end_of_a_secret_do_not_count() {
        assert_eq!(trimmed(b"a\nb\r\n\n"), b"a\nb");
        assert_eq!(trimmed(b"\n"), b"");
    }
}
