use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::context::{Context, owned, sealed};
use crate::object::Object;
use crate::observed::KeySeed;
use crate::validate::Validated;
use crate::{hashes, labels, names};

const ENCRYPTION_KEY: &str = "encryption_key";
const JWT_SECRET: &str = "jwt_secret";
const TOKEN_PEPPER: &str = "token_pepper";
const HASH_KEY: &str = "hash_key";

/// The installation's own keys.
#[derive(Clone)]
pub struct Keys {
    entries: BTreeMap<&'static str, Vec<u8>>,
}

/// Never the keys.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(***)")
    }
}

impl Keys {
    /// Their names.
    pub const NAMES: [&str; 4] = [ENCRYPTION_KEY, JWT_SECRET, TOKEN_PEPPER, HASH_KEY];

    /// New keys: 32 random bytes each, in base64.
    pub fn generate(seed: &KeySeed) -> Self {
        let keys = seed.0.chunks(32).map(|bytes| STANDARD.encode(bytes).into_bytes());
        Self { entries: Self::NAMES.into_iter().zip(keys).collect() }
    }

    /// The keys in a Secret, or the first entry that it lacks.
    pub fn read(secret: &Secret) -> Result<Self, &'static str> {
        let data = secret.data.as_ref();
        let entry = |name: &'static str| {
            let value = data.and_then(|data| data.get(name)).filter(|value| !value.0.is_empty());
            value.map(|value| (name, value.0.clone())).ok_or(name)
        };
        Ok(Self { entries: Self::NAMES.into_iter().map(entry).collect::<Result<_, _>>()? })
    }

    /// The key of one of these names.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.entries.get(name).map(Vec::as_slice)
    }

    /// The key that hashes over secrets are made with.
    pub fn hash_key(&self) -> &[u8] {
        self.get(HASH_KEY).unwrap_or_default()
    }

    /// Identifies the encryption key without revealing it, as the server does in the database. `None`: it is not a key.
    pub fn fingerprint(&self) -> Option<String> {
        let key = STANDARD.decode(self.get(ENCRYPTION_KEY)?.trim_ascii()).ok()?;
        let mac = hashes::mac(&key, b"sageapi encryption key fingerprint")?;
        Some(hashes::hex(&mac[..16]))
    }
}

/// The Secret with the installation's own keys. It has no owner: losing it with the resource would make every
/// secret in the database unreadable.
pub fn keys_secret(validated: &Validated, keys: &Keys) -> Object {
    let mut labels = labels::child_labels(&validated.name, labels::COMPONENT_SERVER, &validated.uid);
    labels.remove(labels::OWNER_UID);
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(names::keys(&validated.name)),
            namespace: Some(validated.namespace.clone()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        data: Some(
            keys.entries.iter().map(|(name, key)| ((*name).to_owned(), ByteString(key.clone()))).collect(),
        ),
        ..Secret::default()
    };
    sealed(&secret, Some(keys.hash_key()))
}

/// The immutable copy of everything secret that pods get.
pub fn secrets(context: &Context<'_>, files: &BTreeMap<&'static str, Vec<u8>>, hash_key: &[u8]) -> Object {
    let name = names::secrets(context.name(), &context.secrets_hash);
    let secret = Secret {
        metadata: owned(context.validated, &name, labels::COMPONENT_SERVER),
        type_: Some("Opaque".to_owned()),
        immutable: Some(true),
        data: Some(
            files.iter().map(|(name, value)| ((*name).to_owned(), ByteString(value.clone()))).collect(),
        ),
        ..Secret::default()
    };
    sealed(&secret, Some(hash_key))
}
