//! The nonces spent here, in front of the database's: a replay that this instance has seen costs no query.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::model::Timestamp;
use crate::store::NonceUse;

/// Nonces of one generation; two are kept.
const GENERATION: usize = 32_768;

/// Spent nonces: at least the last 32,768, at most 65,536. Forgetting one is harmless, the database knows it.
///
/// A cache of entries with their own ages takes three hundred bytes for each; this takes fifty.
#[derive(Debug, Default)]
pub struct SpentNonces {
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<[u8; 16], Timestamp>,
    old: HashMap<[u8; 16], Timestamp>,
}

impl SpentNonces {
    /// Whether a nonce was spent here and must not be used again yet.
    pub fn contains(&self, nonce: &NonceUse, now: Timestamp) -> bool {
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = generations.young.get(&nonce.hash).or_else(|| generations.old.get(&nonce.hash));
        spent.is_some_and(|until| now < *until)
    }

    /// Notes a nonce that is recorded in the database.
    pub fn insert(&self, nonce: NonceUse) {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if generations.young.len() == GENERATION {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(nonce.hash, nonce.expires_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonce(n: usize, expires: i64) -> NonceUse {
        NonceUse::new("ak_1", &format!("nonce-{n:012}"), Timestamp::from_seconds(expires))
    }

    #[test]
    fn a_nonce_is_known_until_it_expires() {
        let spent = SpentNonces::default();
        spent.insert(nonce(1, 100));
        assert!(spent.contains(&nonce(1, 200), Timestamp::from_seconds(99)));
        assert!(!spent.contains(&nonce(1, 200), Timestamp::from_seconds(100)));
        assert!(!spent.contains(&nonce(2, 200), Timestamp::from_seconds(99)));
    }

    #[test]
    fn the_last_generation_is_always_known_and_no_more_than_two_are_kept() {
        let spent = SpentNonces::default();
        let now = Timestamp::from_seconds(1);
        for n in 0..3 * GENERATION {
            spent.insert(nonce(n, 100));
            assert!(n < GENERATION || spent.contains(&nonce(n + 1 - GENERATION, 100), now), "{n}");
        }
        let known = (0..3 * GENERATION).filter(|n| spent.contains(&nonce(*n, 100), now)).count();
        assert_eq!(known, 2 * GENERATION);
    }
}
