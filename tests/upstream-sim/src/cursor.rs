//! The feed's cursor: where a walk stands, opaque to who holds it.

use base64::Engine;
// With padding on purpose: '=', '+' and '/' must survive the client's query encoding.
use base64::engine::general_purpose::STANDARD;

use crate::entity::Entity;

/// A position in one entity's changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) seed: u64,
    pub(crate) entity: Entity,
    /// Rises when all cursors given out before are told to expire.
    pub(crate) epoch: u32,
    /// The last version told.
    pub(crate) position: u64,
    /// The highest version when the snapshot that is under way began.
    pub(crate) snapshot: Option<u64>,
}

impl Cursor {
    pub(crate) fn encode(&self) -> String {
        let mut bytes = [0; LENGTH];
        bytes[0] = self.entity as u8;
        bytes[1..9].copy_from_slice(&self.seed.to_be_bytes());
        bytes[9..13].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[13..21].copy_from_slice(&self.position.to_be_bytes());
        // Versions stay below 2^63, so the highest number can stand for "none".
        bytes[21..29].copy_from_slice(&self.snapshot.unwrap_or(u64::MAX).to_be_bytes());
        STANDARD.encode(bytes)
    }

    pub(crate) fn decode(text: &str) -> Option<Self> {
        let bytes: [u8; LENGTH] = STANDARD.decode(text).ok()?.try_into().ok()?;
        let number =
            |at: usize| bytes[at..at + 8].iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        let snapshot = number(21);
        Some(Self {
            seed: number(1),
            entity: Entity::ALL.get(usize::from(bytes[0])).copied()?,
            epoch: u32::from_be_bytes([bytes[9], bytes[10], bytes[11], bytes[12]]),
            position: number(13),
            snapshot: (snapshot != u64::MAX).then_some(snapshot),
        })
    }
}

/// One byte of entity, eight of seed, four of epoch, twice eight of versions: not a multiple of three, so that the
/// text always ends in '='.
const LENGTH: usize = 29;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was_given_out() {
        for (epoch, position, snapshot) in [(0, 0, None), (7, 1 << 62, Some(3)), (u32::MAX, 5, Some(0))] {
            let cursor = Cursor { seed: u64::MAX, entity: Entity::Uapi, epoch, position, snapshot };
            let text = cursor.encode();
            assert!(text.ends_with('='));
            assert_eq!(Cursor::decode(&text), Some(cursor));
        }
    }

    #[test]
    fn other_text_is_no_cursor() {
        for text in ["", "abc", "AAAA", "////////////////////////////////////////", "ü"] {
            assert_eq!(Cursor::decode(text), None, "{text}");
        }
    }
}
