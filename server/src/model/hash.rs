use sha2::{Digest as _, Sha256};

/// SHA-256 over parts, each with its length in front, so that bytes cannot slide from one part into the next.
///
/// The hashes are stored: what goes in, and how, stays as it is.
#[derive(Debug, Clone, Default)]
pub struct LengthPrefixedHasher(Sha256);

impl LengthPrefixedHasher {
    /// A part whose length is the same in every input, without its length.
    pub fn fixed(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// A 64-bit number, without its length.
    pub fn int(&mut self, n: i64) {
        self.fixed(&n.to_be_bytes());
    }

    /// Bytes that are always present.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.fixed(&(bytes.len() as u64).to_be_bytes());
        self.fixed(bytes);
    }

    /// Bytes that may be absent, which differs from empty ones.
    pub fn option(&mut self, bytes: Option<&[u8]>) {
        self.fixed(&[u8::from(bytes.is_some())]);
        self.bytes(bytes.unwrap_or_default());
    }

    /// Text that may be absent.
    pub fn text(&mut self, text: Option<&str>) {
        self.option(text.map(str::as_bytes));
    }

    /// A 64-bit number that may be absent.
    pub fn number(&mut self, n: Option<i64>) {
        self.option(n.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice));
    }

    /// The hash of all parts.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_hash_stays_as_it_is() {
        let mut hash = LengthPrefixedHasher::default();
        hash.fixed(&[7]);
        hash.bytes(b"ab");
        hash.int(-1);
        hash.option(None);
        hash.text(Some(""));
        hash.text(Some("c"));
        hash.number(Some(5));
        let hex: String = hash.finish().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "7312cb18c79aa025dac5e5f470a519e6850a641828135f91214464a44dcc8c5f");
    }
}
