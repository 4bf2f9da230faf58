//! The referenced Secrets: which entries are read, and what they become in a pod.

use std::collections::BTreeMap;
use std::fmt;

use sageapi_contract::SECRET_FILES;
use sageapi_crds::{AuthScheme, Reason};

use crate::observed::Referenced;
use crate::render::Keys;
use crate::validate::Validated;

/// All that pods get of secrets.
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

/// Reads what the specification refers to.
pub fn resolve(asked: &Validated, secrets: &BTreeMap<String, Referenced>) -> Result<Credentials, Missing> {
    let read = |name: &str, key: &str| entry(secrets, name, key);
    let mut files = BTreeMap::new();
    let mysql = &asked.spec.database.mysql;
    let (name, key) = (&mysql.url_secret_ref.name, mysql.url_secret_ref.key.as_deref().unwrap_or("url"));
    let url = read(name, key)?;
    let identity = std::str::from_utf8(&url).ok().and_then(identity).ok_or_else(|| Missing {
        reason: Reason::InvalidCredentials,
        message: format!("entry {key} of Secret {name} is no URL like mysql://user:password@host:3306/name"),
    })?;
    files.insert("database_url", url);
    if let Some(tls) = &mysql.tls {
        let ca = &tls.ca_secret_ref;
        files.insert("database_ca", read(&ca.name, ca.key.as_deref().unwrap_or("ca.crt"))?);
    }
    if let Some(upstream) = &asked.spec.upstream {
        let secret = &upstream.auth.secret_ref.name;
        match upstream.auth.scheme.unwrap_or_default() {
            AuthScheme::Signed => {
                files.insert("dapi_key", read(secret, "key")?);
                files.insert("dapi_secret", read(secret, "secret")?);
            }
            AuthScheme::Bearer => {
                files.insert("dapi_secret", read(secret, "token")?);
            }
        }
        if let Some(events) = &upstream.events {
            files.insert("uapi_secret", read(&events.secret_ref.name, "signingSecret")?);
        }
        if let Some(ca) = &upstream.ca_secret_ref {
            files.insert("upstream_ca", read(&ca.name, ca.key.as_deref().unwrap_or("ca.crt"))?);
        }
    }
    Ok(Credentials { files, identity })
}

/// Adds the installation's own keys, as far as the server acts on them yet: it warns of what it does not.
pub fn with_keys(mut files: BTreeMap<&'static str, Vec<u8>>, keys: &Keys) -> BTreeMap<&'static str, Vec<u8>> {
    for file in SECRET_FILES {
        let built = sageapi_contract::find(file.key).is_some_and(|key| key.built);
        if let Some(key) = keys.get(file.name).filter(|_| built) {
            files.insert(file.name, key.to_vec());
        }
    }
    files
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
            format!("Secret {name} may not be read; allow the operator's service account to get it"),
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
    sound.then(|| format!("{}:{port}/{name}", host.to_ascii_lowercase()))
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
