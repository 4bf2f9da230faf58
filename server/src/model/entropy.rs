use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use uuid::Uuid;

use super::Timestamp;

/// Where randomness comes from.
pub trait Entropy: Send + Sync + 'static {
    /// Fills the buffer with random bytes fit for secrets.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's randomness.
#[derive(Debug, Default)]
pub struct SystemEntropy;

impl SystemEntropy {
    /// The operating system's randomness, shared.
    pub fn new() -> Arc<Self> {
        Arc::new(Self)
    }
}

impl Entropy for SystemEntropy {
    #[expect(clippy::disallowed_methods, clippy::expect_used, reason = "the one place that asks the system")]
    fn fill(&self, bytes: &mut [u8]) {
        // Without randomness no nonce and no secret is safe: going on would be worse than stopping.
        getrandom::fill(bytes).expect("the operating system has randomness after boot");
    }
}

/// The same bytes from the same seed, for tests. Not for secrets.
#[derive(Debug)]
pub struct SeededEntropy(Mutex<StdRng>);

impl SeededEntropy {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(StdRng::seed_from_u64(seed))))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes);
    }
}

/// A UUID v7 of the given time (RFC 9562 section 5.7).
pub fn new_uuid(now: Timestamp, entropy: &dyn Entropy) -> Uuid {
    let mut random = [0; 10];
    entropy.fill(&mut random);
    let millis = u64::try_from(now.micros() / 1000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}
