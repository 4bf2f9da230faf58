//! Ids without any order, as random ones are, but the same for the same number.

/// What a number is made into.
#[expect(clippy::cast_possible_truncation, reason = "its halves")]
pub fn random(n: u128) -> u128 {
    let (high, low) = (mixed((n >> 64) as u64), mixed(n as u64));
    u128::from(mixed(high ^ low)) << 64 | u128::from(mixed(high.wrapping_add(low)))
}

/// The same as the text of a UUID.
pub fn uuid(n: u128) -> String {
    text(random(n))
}

/// An id as the text of a UUID.
pub fn text(id: u128) -> String {
    let hex = format!("{id:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// SplitMix64.
fn mixed(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn other_numbers_make_other_ids_of_the_usual_form() {
        let ids: HashSet<_> = (0..1000_u128).map(uuid).collect();
        assert_eq!(ids.len(), 1000);
        assert_eq!(text(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef), "01234567-89ab-cdef-0123-456789abcdef");
    }
}
