//! What makes a write happen once: its transno, a member of the body or the header `Idempotency-Key`, and the hash by
//! which a repetition is recognised.

use http::HeaderValue;
use sfv::{Item, Parser};

use crate::http::body::Object;
use crate::model::{CustomerId, LengthPrefixedHasher, Transno, shown};
use crate::signing::IDEMPOTENCY_KEY;

/// The transno in the body or in the header, which must not differ.
pub fn transno(body: &mut Object<'_>, headers: &http::HeaderMap) -> Option<Transno> {
    let (had, given) = (body.has("transno"), body.parsed("transno", Transno::parse_client));
    let mut lines = headers.get_all(IDEMPOTENCY_KEY).iter();
    let header = match (lines.next(), lines.next()) {
        (None, _) => None,
        (Some(value), None) => {
            let key = key_of(value);
            if key.is_none() {
                let came = shown(&String::from_utf8_lossy(value.as_bytes()));
                body.refuse(
                    IDEMPOTENCY_KEY,
                    format!(
                        "must be 1 to 128 printable ASCII characters without spaces, bare or as a structured string \
                         in double quotes, not {came}"
                    ),
                );
                return given;
            }
            key
        }
        (Some(_), Some(_)) => {
            body.refuse(IDEMPOTENCY_KEY, "must be sent once");
            return given;
        }
    };
    if let (Some(given), Some(header)) = (&given, &header)
        && given != header
    {
        body.refuse(
            "transno",
            "differs from the header idempotency-key; send one of them, or the same in both",
        );
    }
    if given.is_none() && had {
        return None;
    }
    let transno = given.or(header);
    match &transno {
        None => body.refuse("transno", "is required, here or as the header idempotency-key"),
        Some(transno) => {
            if let Some(prefix) = transno.reserved_prefix() {
                body.refuse("transno", format!("must not start with {prefix}, which is reserved"));
            }
        }
    }
    transno
}

/// The key in the header: bare, as most services take it, or quoted, the structured string (RFC 9651) of the IETF
/// draft. Both name the same key. Parameters of a structured string are ignored.
fn key_of(value: &HeaderValue) -> Option<Transno> {
    let text = value.to_str().ok()?;
    if !text.starts_with('"') {
        return Transno::parse_client(text).ok();
    }
    let item = Parser::new(text).parse::<Item>().ok()?;
    Transno::parse_client(item.bare_item.as_string()?.as_str()).ok()
}

/// The hash by which a repeated request to do `what` for a customer is recognised; its members follow in a fixed order.
pub fn request_hash(what: &str, customer: &CustomerId) -> LengthPrefixedHasher {
    let mut hash = LengthPrefixedHasher::default();
    hash.text(Some(what));
    hash.text(Some(customer.as_str()));
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(value: &str) -> Option<String> {
        key_of(&HeaderValue::from_str(value).unwrap()).map(|key| key.as_str().to_owned())
    }

    #[test]
    fn a_quoted_key_is_the_same_as_a_bare_one() {
        for same in ["ik-1", "\"ik-1\"", "\"ik-1\";v=1", "\"ik-1\" "] {
            assert_eq!(key(same).as_deref(), Some("ik-1"), "{same}");
        }
        assert_eq!(key(r#""a\"b\\c""#).as_deref(), Some(r#"a"b\c"#));
        let longest = "k".repeat(Transno::CLIENT_MAX);
        assert_eq!(key(&format!("\"{longest}\"")), Some(longest));
    }

    #[test]
    fn what_begins_as_a_structured_string_must_be_one() {
        for wrong in ["\"", "\"\"", "\"ik-1", "\"a\"b", "\"a\\b\"", "\"a b\"", "\"a\", \"b\"", "a b", ""] {
            assert_eq!(key(wrong), None, "{wrong}");
        }
        assert_eq!(key(&format!("\"{}\"", "k".repeat(Transno::CLIENT_MAX + 1))), None);
        for bare in ["ik\"1\"", "ik-1;v=1", ":aWs=:"] {
            assert_eq!(key(bare).as_deref(), Some(bare), "{bare}");
        }
    }
}
