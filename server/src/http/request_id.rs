//! Request ids: unique, not secret.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::model::Entropy;

/// The header with our id of the request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The header with the client's own id of it, which is returned.
pub const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-client-request-id");

const MAX_CLIENT_BYTES: usize = 128;

/// Makes request ids: 16 hexadecimal digits, unique within the process and random in appearance, so that those of
/// several instances do not collide.
#[derive(Debug)]
pub struct RequestIds {
    seed: u64,
    made: AtomicU64,
}

impl RequestIds {
    /// Starts from a random seed.
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut seed = [0; 8];
        entropy.fill(&mut seed);
        Self { seed: u64::from_ne_bytes(seed), made: AtomicU64::new(0) }
    }

    /// The next one.
    pub fn next(&self) -> RequestId {
        // SplitMix64 (Steele, Lea, Flood 2014): a bijection, so no number comes twice.
        let n = self.made.fetch_add(1, Ordering::Relaxed);
        let mut z = self.seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let mut text = [0; 16];
        for (i, digit) in text.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(z >> (60 - 4 * i) & 0xf) as usize];
        }
        RequestId(text)
    }
}

/// One id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; 16]);

impl RequestId {
    /// As text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// As a header.
    pub fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_bytes(&self.0).ok()
    }
}

/// The client's own id of a request, if it is `[!-~]{1,128}`.
pub fn of_client(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(REQUEST_ID)?;
    let fits = (1..=MAX_CLIENT_BYTES).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
    fits.then(|| id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SeededEntropy;

    #[test]
    fn ids_are_sixteen_digits_and_differ() {
        let ids = RequestIds::new(&*SeededEntropy::new(1));
        let made: std::collections::HashSet<_> = (0..10_000).map(|_| ids.next()).collect();
        assert_eq!(made.len(), 10_000);
        assert!(made.iter().all(|id| id.as_str().bytes().all(|b| b.is_ascii_hexdigit())));
    }

    #[test]
    fn another_process_makes_other_ids() {
        let first = |seed| RequestIds::new(&*SeededEntropy::new(seed)).next();
        assert_ne!(first(1), first(2));
    }

    #[test]
    fn a_clients_id_is_bounded() {
        let given = |id: &[u8]| {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_bytes(id).unwrap())]);
            of_client(&headers).is_some()
        };
        assert!(given(b"abc-1") && given(&[b'x'; 128]));
        assert!(!given(&[b'x'; 129]) && !given(b"") && !given(b"a b") && !given(b"\xff"));
    }
}
