//! Hashes of what was rendered, to see that it changed.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// SHA-256 in hex.
pub fn of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of canonical JSON, in hex.
pub fn of(value: &Value) -> String {
    of_bytes(canonical(value).as_bytes())
}

/// A hash of something secret under a key, in hex: without the key nothing can be guessed from it.
pub fn keyed(key: &[u8], value: &Value) -> String {
    mac(key, canonical(value).as_bytes()).map_or_else(String::new, |mac| hex(&mac))
}

/// HMAC-SHA-256. `None` never happens: any length of key is taken.
pub fn mac(key: &[u8], message: &[u8]) -> Option<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(message);
    Some(mac.finalize().into_bytes().into())
}

/// Bytes in hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// JSON without spaces, its members in the order of their names.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            let members: Vec<_> = sorted
                .into_iter()
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), canonical(value)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        scalar => scalar.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_members_does_not_matter_and_that_of_items_does() {
        let one: Value = serde_json::from_str(r#"{"b":[1,2],"a":{"y":null,"x":"\"é"}}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"a":{"x":"\"é","y":null},"b":[1,2]}"#).unwrap();
        assert_eq!(canonical(&one), r#"{"a":{"x":"\"é","y":null},"b":[1,2]}"#);
        assert_eq!(of(&one), of(&other));
        assert_ne!(of(&json!([1, 2])), of(&json!([2, 1])));
    }

    #[test]
    fn the_hash_is_sha_256_in_hex() {
        assert_eq!(of(&json!({})), "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    }

    #[test]
    fn a_keyed_hash_depends_on_the_key() {
        assert_ne!(keyed(b"one", &json!("s")), keyed(b"two", &json!("s")));
        assert_eq!(keyed(b"", &json!("s")).len(), 64);
    }
}
