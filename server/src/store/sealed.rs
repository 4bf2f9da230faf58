//! Secrets at rest: AES-256-GCM under the configured encryption keys.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::error::Error;
use crate::model::{Entropy, Secret};

const NONCE: usize = 12;
const KEY_VERSION: usize = 4;

/// Where a sealed value stands; it opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub struct SealedAt<'a> {
    /// The table.
    pub table: &'static str,
    /// The row's key.
    pub row: &'a str,
    /// The column.
    pub column: &'static str,
}

impl SealedAt<'_> {
    fn aad(&self) -> Aad<Vec<u8>> {
        Aad::from([self.table, self.row, self.column].join("\0").into_bytes())
    }
}

/// Why the configured encryption keys are no keys.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyringError {
    /// Not base64 of 32 bytes.
    #[error("an encryption key must be the base64 form of 32 bytes (make one with: openssl rand -base64 32)")]
    Malformed,
}

struct SealKey {
    /// Which key sealed a value: the first bytes of the key's fingerprint.
    version: [u8; KEY_VERSION],
    fingerprint: String,
    aead: LessSafeKey,
}

/// The encryption keys: one seals, it and the earlier ones open.
#[derive(Clone)]
pub struct Keyring {
    keys: Arc<[SealKey]>,
    cursor_key: Arc<Zeroizing<[u8; 32]>>,
}

impl Keyring {
    /// Takes the current key and those before it, each as base64 of 32 bytes.
    pub fn new(current: &Secret, previous: &[Secret]) -> Result<Self, KeyringError> {
        let mut keys = Vec::with_capacity(previous.len() + 1);
        let mut cursor_key = Zeroizing::new([0; 32]);
        for (i, text) in std::iter::once(current).chain(previous).enumerate() {
            let bytes = STANDARD.decode(text.expose().trim()).map(Zeroizing::new);
            let bytes = bytes.ok().filter(|b| b.len() == 32).ok_or(KeyringError::Malformed)?;
            let fingerprint = derive(&bytes, b"sageapi encryption key fingerprint")?;
            let unbound = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| KeyringError::Malformed)?;
            if i == 0 {
                *cursor_key = derive(&bytes, b"sageapi list cursors")?;
            }
            let mut version = [0; KEY_VERSION];
            version.copy_from_slice(&fingerprint[..KEY_VERSION]);
            let hex = fingerprint[..16].iter().map(|b| format!("{b:02x}")).collect();
            keys.push(SealKey { version, fingerprint: hex, aead: LessSafeKey::new(unbound) });
        }
        Ok(Self { keys: keys.into(), cursor_key: Arc::new(cursor_key) })
    }

    /// Names the current key without telling it: 32 hex digits, kept in the database.
    pub fn fingerprint(&self) -> &str {
        self.keys.first().map_or("", |k| &k.fingerprint)
    }

    /// Whether the key of this fingerprint is among the configured ones.
    pub fn knows(&self, fingerprint: &str) -> bool {
        self.keys.iter().any(|k| k.fingerprint == fingerprint)
    }

    /// The key that signs list cursors, the same on every instance.
    pub fn cursor_key(&self) -> &[u8; 32] {
        &self.cursor_key
    }

    /// Seals a value for one place: key version, nonce, ciphertext and tag.
    pub fn seal(&self, at: SealedAt<'_>, plain: &[u8], entropy: &dyn Entropy) -> Result<Vec<u8>, Error> {
        let key = self.keys.first().ok_or(Error::Sealed(at.table))?;
        let mut nonce = [0; NONCE];
        entropy.fill(&mut nonce);
        let mut body = plain.to_vec();
        key.aead
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), at.aad(), &mut body)
            .map_err(|_| Error::Sealed(at.table))?;
        Ok([&key.version[..], &nonce, &body].concat())
    }

    /// Opens what was sealed for this place.
    pub fn open(&self, at: SealedAt<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let broken = || Error::Sealed(at.table);
        let (version, rest) = sealed.split_at_checked(KEY_VERSION).ok_or_else(broken)?;
        let (nonce, body) = rest.split_at_checked(NONCE).ok_or_else(broken)?;
        let key = self.keys.iter().find(|k| k.version == version).ok_or(Error::UnknownKey(at.table))?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| broken())?;
        let mut body = Zeroizing::new(body.to_vec());
        let length = key.aead.open_in_place(nonce, at.aad(), &mut body).map_err(|_| broken())?.len();
        body.truncate(length);
        Ok(body)
    }

    /// Opens a text.
    pub fn open_text(&self, at: SealedAt<'_>, sealed: &[u8]) -> Result<Secret, Error> {
        let plain = self.open(at, sealed)?;
        let text = std::str::from_utf8(&plain).map_err(|_| Error::Sealed(at.table))?;
        Ok(Secret::new(text))
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

fn derive(key: &[u8], label: &[u8]) -> Result<[u8; 32], KeyringError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| KeyringError::Malformed)?;
    mac.update(label);
    Ok(mac.finalize().into_bytes().into())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::SeededEntropy;

    pub(crate) fn key(byte: u8) -> Secret {
        Secret::new(STANDARD.encode([byte; 32]))
    }

    const AT: SealedAt<'static> = SealedAt { table: "dapi_keys", row: "ak_1", column: "secret" };

    #[test]
    fn what_is_sealed_opens_in_its_place_only() {
        let ring = Keyring::new(&key(1), &[]).unwrap();
        let entropy = SeededEntropy::new(1);
        let sealed = ring.seal(AT, b"hush", &*entropy).unwrap();
        assert_eq!(ring.open(AT, &sealed).unwrap().as_slice(), b"hush");
        assert!(ring.open(SealedAt { row: "ak_2", ..AT }, &sealed).is_err());
        assert!(ring.open(SealedAt { column: "previous_secret", ..AT }, &sealed).is_err());
        for i in 0..sealed.len() {
            let mut broken = sealed.clone();
            broken[i] ^= 1;
            assert!(ring.open(AT, &broken).is_err(), "byte {i}");
            assert!(ring.open(AT, &sealed[..i]).is_err(), "cut at {i}");
        }
    }

    #[test]
    fn an_earlier_key_opens_but_no_longer_seals() {
        let entropy = SeededEntropy::new(1);
        let old = Keyring::new(&key(1), &[]).unwrap();
        let sealed = old.seal(AT, b"hush", &*entropy).unwrap();
        let new = Keyring::new(&key(2), &[key(1)]).unwrap();
        assert_eq!(new.open(AT, &sealed).unwrap().as_slice(), b"hush");
        assert!(new.knows(old.fingerprint()));
        let resealed = new.seal(AT, b"hush", &*entropy).unwrap();
        assert!(old.open(AT, &resealed).is_err());
    }

    #[test]
    fn a_key_that_is_not_32_bytes_is_refused() {
        for bad in ["", "abc", "AAAA"] {
            assert_eq!(Keyring::new(&Secret::new(bad), &[]).err(), Some(KeyringError::Malformed));
        }
    }
}
