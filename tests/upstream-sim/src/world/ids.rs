//! Ids that are computed from a row's number, and row numbers that are computed back from ids.
//!
//! The platform's ids are nanoids: 21 characters of `A-Za-z0-9_-`. Here their 126 bits hold the row's number, mixed
//! with the seed, and a check over it; so any number of ids needs no table. The first rows of each kind have names
//! that a person can type.

/// What an id names. One kind's ids never resolve as another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    User,
    Customer,
    Timing,
    Program,
    ApiMap,
    Llm,
    Uapi,
    UpApp,
    Io,
}

impl Kind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Customer => "org",
            Self::Timing => "price",
            Self::Program => "program",
            Self::ApiMap => "model",
            Self::Llm => "llm",
            Self::Uapi => "uapi",
            Self::UpApp => "upapp",
            Self::Io => "io",
        }
    }

    /// How many of the first rows have a name such as `user_demo_0001`.
    const fn named(self) -> u64 {
        match self {
            // Commands and seed files take customers by id, so all of them can be typed.
            Self::Customer => u64::MAX,
            _ => 10,
        }
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
const LENGTH: usize = 21;

/// The id of row `index` of a kind.
pub(crate) fn id_of(seed: u64, kind: Kind, index: u64) -> String {
    if index < kind.named() {
        return format!("{}_demo_{:04}", kind.prefix(), u128::from(index) + 1);
    }
    nanoid(key(seed, kind), index)
}

fn nanoid(key: u64, index: u64) -> String {
    let low = mix(index.wrapping_add(key));
    let mut bits = (u128::from(check(key, low)) << 64) | u128::from(low);
    let mut id = String::with_capacity(LENGTH);
    for _ in 0..LENGTH {
        id.push(char::from(ALPHABET[(bits & 63) as usize]));
        bits >>= 6;
    }
    id
}

/// The row that an id of this kind names; `None` for text that is no such id.
pub(crate) fn index_of(seed: u64, kind: Kind, id: &str) -> Option<u64> {
    if let Some(number) = id.strip_prefix(kind.prefix()).and_then(|rest| rest.strip_prefix("_demo_")) {
        let index = number.parse::<u64>().ok()?.checked_sub(1)?;
        // "org_demo_1" and "org_demo_+0001" parse too, but are not how the id is written.
        return (index < kind.named() && id_of(seed, kind, index) == id).then_some(index);
    }
    if id.len() != LENGTH {
        return None;
    }
    let mut bits = 0_u128;
    for byte in id.bytes().rev() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'_' => 62,
            b'-' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u128::from(digit);
    }
    let low = u64::try_from(bits & u128::from(u64::MAX)).ok()?;
    let key = key(seed, kind);
    let index = unmix(low).wrapping_sub(key);
    (u128::from(check(key, low)) == bits >> 64 && index >= kind.named()).then_some(index)
}

/// Spreads the bits of a number over all 64: every input has its own output.
pub(crate) const fn mix(number: u64) -> u64 {
    let a = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    b ^ (b >> 31)
}

/// Undoes [`mix`]: the shifts are undone by repeating them, the factors by their inverses modulo 2^64.
const fn unmix(number: u64) -> u64 {
    let b = (number ^ (number >> 31) ^ (number >> 62)).wrapping_mul(0x3196_42b2_d24d_8ec3);
    let a = (b ^ (b >> 27) ^ (b >> 54)).wrapping_mul(0x96de_1b17_3f11_9089);
    a ^ (a >> 30) ^ (a >> 60)
}

const fn key(seed: u64, kind: Kind) -> u64 {
    mix(mix(seed) ^ (kind as u64 + 1))
}

/// 62 bits that only an id of this seed and kind has: no other text is one.
const fn check(key: u64, low: u64) -> u64 {
    mix(low ^ mix(key)) >> 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_back_to_its_row_and_to_no_other_kind_or_seed() {
        for index in (0..50).chain([999_999, 1_999_999, u64::from(u32::MAX)]) {
            let id = id_of(7, Kind::User, index);
            assert_eq!(index_of(7, Kind::User, &id), Some(index), "{id}");
            assert_eq!(index_of(7, Kind::Llm, &id), None);
            if index >= 10 {
                assert_eq!(id.len(), 21);
                assert_eq!(index_of(8, Kind::User, &id), None);
            }
        }
    }

    #[test]
    fn the_first_ids_are_the_same_under_every_seed() {
        assert_eq!(id_of(1, Kind::Customer, 0), "org_demo_0001");
        assert_eq!(id_of(2, Kind::Customer, 12_344), "org_demo_12345");
        assert_eq!(id_of(3, Kind::User, 9), "user_demo_0010");
    }

    #[test]
    fn other_spellings_and_made_up_text_are_no_ids() {
        for text in
            ["org_demo_1", "org_demo_+0001", "org_demo_0000", "org_demo_", "", "V1StGXR8_Z5jdHi6B-myT", "ä"]
        {
            assert_eq!(index_of(1, Kind::Customer, text), None, "{text}");
            assert_eq!(index_of(1, Kind::User, text), None, "{text}");
        }
        let hidden_demo_row = nanoid(key(1, Kind::User), 3);
        assert_eq!(index_of(1, Kind::User, &hidden_demo_row), None, "a row has one id only");
    }
}
