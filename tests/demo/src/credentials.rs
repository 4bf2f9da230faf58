//! The demo's keys. A secret is shown once, when its key is made: it is kept here for the next run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::place::{Place, write_private};

/// A key of init/data.json.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Credential {
    /// The key's id.
    pub key_id: String,
    /// Its secret.
    pub secret: String,
}

/// What `seed` says of a key.
#[derive(Debug, Deserialize)]
pub struct SeededKey {
    /// Its name in the seed file.
    pub name: String,
    /// Its id.
    pub key_id: String,
    /// Only when the key was made just now.
    pub secret: Option<String>,
}

/// The keys, by name.
pub struct Credentials(BTreeMap<String, Credential>);

impl Credentials {
    /// What the runs before have kept; nothing that can be read is nothing kept.
    pub fn load(place: &Place) -> Self {
        let text = std::fs::read_to_string(place.file("credentials.json")).unwrap_or_default();
        Self(serde_json::from_str(&text).unwrap_or_default())
    }

    /// The secret of a key, if it is known for the key of this id.
    pub fn knows(&self, key: &SeededKey) -> bool {
        self.0.get(&key.name).is_some_and(|kept| kept.key_id == key.key_id)
    }

    /// Takes a key in.
    pub fn put(&mut self, name: &str, credential: Credential) {
        self.0.insert(name.to_owned(), credential);
    }

    /// Keeps everything for the next run, and each secret in a file for `sign --secret-file`.
    pub fn save(&self, place: &Place) -> Result<(), Failure> {
        for (name, credential) in &self.0 {
            write_private(&Self::secret_file(place, name), &credential.secret)?;
        }
        write_private(&place.file("credentials.json"), &(serde_json::to_string_pretty(&self.0)? + "\n"))
    }

    /// The file of a key's secret.
    pub fn secret_file(place: &Place, name: &str) -> PathBuf {
        place.file(&format!("{name}.secret"))
    }

    /// The key of this name.
    pub fn get(&self, name: &str) -> Result<&Credential, Failure> {
        self.0.get(name).ok_or_else(|| format!("the seed file has no key of the name {name}").into())
    }

    /// All keys.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Credential)> {
        self.0.iter().map(|(name, credential)| (name.as_str(), credential))
    }
}
