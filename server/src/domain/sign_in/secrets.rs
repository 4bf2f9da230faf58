//! The secrets that tokens are computed with, and what is computed with them.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::model::Secret;

/// A secret, by the name that tokens carry: what kind of token it signs is part of the key, so that none passes for
/// another.
pub struct SigningSecret {
    kid: String,
    access: Hmac<Sha256>,
    refresh: Hmac<Sha256>,
    device: Hmac<Sha256>,
}

/// The secret in use, and those that are accepted beside it.
pub struct Secrets {
    pub(super) all: Vec<SigningSecret>,
}

/// What is signed.
#[derive(Debug, Clone, Copy)]
pub enum Purpose {
    /// An access token.
    Access,
    /// A refresh token.
    Refresh,
    /// A device token.
    Device,
}

impl SigningSecret {
    fn new(secret: &Secret) -> Self {
        let digest = Sha256::digest([b"sageapi kid\0", secret.expose().as_bytes()].concat());
        let kid = digest[..4].iter().fold(String::new(), |kid, byte| kid + &format!("{byte:02x}"));
        let derived = |purpose: &[u8]| keyed(&keyed_bytes(secret.expose().as_bytes(), purpose));
        Self {
            kid,
            // The secret itself, so that other software that has it can check access tokens.
            access: keyed(secret.expose().as_bytes()),
            refresh: derived(b"sageapi refresh token"),
            device: derived(b"sageapi device token"),
        }
    }

    /// Its name: it tells secrets apart and says nothing about them.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The MAC of some bytes.
    pub fn mac(&self, purpose: Purpose, bytes: &[u8]) -> [u8; 32] {
        self.started(purpose, bytes).finalize().into_bytes().into()
    }

    /// Whether this is the MAC of some bytes, in a time that says nothing about either.
    pub fn is_mac(&self, purpose: Purpose, bytes: &[u8], mac: &[u8]) -> bool {
        self.started(purpose, bytes).verify_slice(mac).is_ok()
    }

    fn started(&self, purpose: Purpose, bytes: &[u8]) -> Hmac<Sha256> {
        let mut mac = match purpose {
            Purpose::Access => &self.access,
            Purpose::Refresh => &self.refresh,
            Purpose::Device => &self.device,
        }
        .clone();
        mac.update(bytes);
        mac
    }
}

impl Secrets {
    /// These secrets.
    pub fn new(current: &Secret, previous: &[Secret]) -> Self {
        Self { all: std::iter::once(current).chain(previous).map(SigningSecret::new).collect() }
    }

    /// The one that new tokens are made with; there always is one.
    pub fn current(&self) -> &SigningSecret {
        &self.all[0]
    }

    /// The one of this name.
    pub fn named(&self, kid: &str) -> Option<&SigningSecret> {
        self.all.iter().find(|secret| secret.kid == kid)
    }

    /// Whether any of them made this MAC.
    pub fn is_mac(&self, purpose: Purpose, bytes: &[u8], mac: &[u8]) -> bool {
        self.all.iter().any(|secret| secret.is_mac(purpose, bytes, mac))
    }
}

#[allow(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn keyed_bytes(key: &[u8], bytes: &[u8]) -> [u8; 32] {
    let mut mac = keyed(key);
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}
