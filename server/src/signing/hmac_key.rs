//! An HMAC-SHA256 key with its two key blocks already hashed.

use std::fmt;
use std::sync::LazyLock;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A secret ready for HMAC-SHA256. The secret itself is not kept, only the hash states derived from it.
#[derive(Clone)]
pub struct HmacKey(Hmac<Sha256>);

impl HmacKey {
    /// The key of a shared secret: its UTF-8 bytes.
    pub fn new(secret: &str) -> Self {
        Self::from_bytes(secret.as_bytes())
    }

    /// The key of raw bytes, of any length.
    #[expect(clippy::expect_used, reason = "the Result exists for MACs with keys of fixed length")]
    pub fn from_bytes(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes keys of any length (RFC 2104 section 2)"))
    }

    /// The 32-byte tag of a message given in parts, as if they were joined.
    pub fn tag(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// A key that belongs to nobody, so that a missing secret costs as much time as a wrong one.
    pub(super) fn dummy() -> &'static Self {
        static DUMMY: LazyLock<HmacKey> = LazyLock::new(|| HmacKey::from_bytes(&[]));
        &DUMMY
    }
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_that_of_rfc_4231_case_2() {
        let tag = HmacKey::new("Jefe").tag(&[b"what do ya want ", b"for nothing?"]);
        let expected = [
            0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24, 0x26, 0x08, 0x95, 0x75, 0xc7,
            0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27, 0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43,
        ];
        assert_eq!(tag, expected);
    }

    #[test]
    fn debug_shows_nothing_of_the_secret() {
        assert_eq!(format!("{:?}", HmacKey::new("sk_test_secret")), "HmacKey(redacted)");
    }
}
