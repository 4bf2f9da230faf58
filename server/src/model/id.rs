use std::fmt;
use std::sync::Arc;

use sageapi_runtime::{Entropy, Timestamp};
use uuid::Uuid;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {max} printable ASCII characters without spaces")]
pub struct IdError {
    /// The longest length allowed.
    pub max: usize,
}

/// A UUID v7 of the given time (RFC 9562 section 5.7).
pub fn new_uuid(now: Timestamp, entropy: &dyn Entropy) -> Uuid {
    let mut random = [0; 10];
    entropy.fill(&mut random);
    let millis = u64::try_from(now.micros() / 1000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

fn check(text: &str, max: usize) -> Result<(), IdError> {
    let graphic = text.bytes().all(|b| b.is_ascii_graphic());
    if text.is_empty() || text.len() > max || !graphic { Err(IdError { max }) } else { Ok(()) }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a text as an id, or says why it is none.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                check(text, $max)?;
                Ok(Self(text.into()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }
    };
}

text_id!(
    /// Any id of the Sage platform: `[!-~]{1,64}`.
    TextId, 64
);
text_id!(
    /// A customer: an organization id of the Sage platform.
    CustomerId, 64
);
text_id!(
    /// A person of a customer.
    UserId, 64
);
text_id!(
    /// A group of users.
    GroupId, 64
);
text_id!(
    /// A model of the platform.
    LlmId, 64
);
text_id!(
    /// Names one booking within its customer. Clients may use 128 characters; the columns hold 160,
    /// because our own prefixes come on top.
    Transno, 160
);
text_id!(
    /// The public name of a dapi key: `ak_` and 16 base62 characters for those made here.
    KeyId, 64
);

impl KeyId {
    /// Whether it looks like those made here, which no secret does.
    pub fn is_ours(&self) -> bool {
        let random = self.0.strip_prefix("ak_");
        random.is_some_and(|text| text.len() == 16 && text.bytes().all(|b| b.is_ascii_alphanumeric()))
    }
}

impl Transno {
    /// The longest transno, request id or Idempotency-Key that a client may send.
    pub const CLIENT_MAX: usize = 128;

    const RESERVED: [&'static str; 4] = ["sync:", "usage:", "hold:", "seed:"];

    /// Takes a client's transno: `[!-~]{1,128}`.
    pub fn parse_client(text: &str) -> Result<Self, IdError> {
        check(text, Self::CLIENT_MAX)?;
        Ok(Self(text.into()))
    }

    /// The prefix kept for SageAPI's own bookings that this transno starts with, if any.
    pub fn reserved_prefix(&self) -> Option<&'static str> {
        Self::RESERVED.into_iter().find(|p| self.0.starts_with(p))
    }
}

/// A row of our own: UUID v7, sixteen bytes in the database, lower-case with hyphens on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(pub Uuid);

impl RecordId {
    /// Reads the hyphenated form. SageAPI writes it in lower case; capitals mean the same (RFC 9562 section 4).
    pub fn parse(text: &str) -> Option<Self> {
        let id = Uuid::try_parse(text).ok()?;
        // The length tells it from the other forms that this parser takes.
        (text.len() == uuid::fmt::Hyphenated::LENGTH).then_some(Self(id))
    }

    /// The sixteen bytes that the database holds.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), f)
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for RecordId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_graphic_ascii_within_its_length() {
        assert!(CustomerId::parse("V1StGXR8_Z5jdHi6B-myT").is_ok());
        for bad in ["", " a", "a ", "a b", "ü", "a\0", "a\n"] {
            assert!(CustomerId::parse(bad).is_err(), "{bad:?}");
        }
        assert!(CustomerId::parse(&"x".repeat(64)).is_ok());
        assert!(CustomerId::parse(&"x".repeat(65)).is_err());
    }

    #[test]
    fn a_client_transno_is_shorter_than_the_column() {
        assert!(Transno::parse_client(&"t".repeat(128)).is_ok());
        assert!(Transno::parse_client(&"t".repeat(129)).is_err());
        assert!(Transno::parse(&format!("seed:{}", "t".repeat(128))).is_ok());
        assert_eq!(Transno::parse("seed:a").unwrap().reserved_prefix(), Some("seed:"));
        assert_eq!(Transno::parse("seeds").unwrap().reserved_prefix(), None);
    }

    #[test]
    fn a_key_id_of_ours_is_told_from_a_secret() {
        let ours = |text: &str| KeyId::parse(text).unwrap().is_ours();
        assert!(ours("ak_0123456789abcXYZ"));
        for other in
            ["ak_0123456789abcXY", "ak_0123456789abcXYZ0", "sk_0123456789abcXYZ", "ak_0123456789abc-YZ"]
        {
            assert!(!ours(other), "{other}");
        }
    }

    #[test]
    fn a_record_id_is_read_in_either_case_and_written_in_one() {
        let text = "01890a5d-ac96-774b-bcce-b302099a8057";
        for given in [text, &text.to_uppercase(), "01890A5d-ac96-774B-bcce-b302099A8057"] {
            assert_eq!(RecordId::parse(given).unwrap().to_string(), text, "{given}");
        }
        let other = [
            text.replace('-', ""),
            format!("{{{text}}}"),
            format!("urn:uuid:{text}"),
            format!(" {text}"),
            text[1..].into(),
        ];
        for other in other {
            assert!(RecordId::parse(&other).is_none(), "{other}");
        }
    }
}
