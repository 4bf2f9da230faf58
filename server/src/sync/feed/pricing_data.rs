//! Pricing data must be one YAML mapping that JSON can express. It is read here only to be refused
//! in time: whoever shows it or prices with it may then rely on its form and size.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};

/// Values in one price list. Aliases count each time, so that a text which repeats itself through
/// them ends here and not in memory.
const MAX_NODES: usize = 50_000;
/// More than any price list nests.
const MAX_DEPTH: usize = 64;

/// Whether a text is a mapping of plain keys, each once.
pub(super) fn check(text: &str) -> Result<(), Cow<'static, str>> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 2 * MAX_NODES },
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options(text, options) {
        Ok(Seen::Mapping) => Ok(()),
        Ok(Seen::Scalar(_) | Seen::List) => Err("must be a YAML mapping".into()),
        Err(error) => Err(format!("must be YAML: {error}").into()),
    }
}

enum Seen {
    Scalar(String),
    List,
    Mapping,
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Look)
    }
}

struct Look;

impl<'de> Visitor<'de> for Look {
    type Value = Seen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Seen, E> {
        Ok(Seen::Scalar("null".to_owned()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Seen, E> {
        Ok(Seen::Scalar(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Seen, E> {
        Ok(Seen::Scalar(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Seen, E> {
        Ok(Seen::Scalar(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Seen, E> {
        if value.is_finite() {
            Ok(Seen::Scalar(value.to_string()))
        } else {
            Err(E::custom("a number must be finite"))
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Seen, E> {
        Ok(Seen::Scalar(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Seen, A::Error> {
        while items.next_element::<Seen>()?.is_some() {}
        Ok(Seen::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Seen, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = entries.next_key::<Seen>()? {
            let Seen::Scalar(key) = key else { return Err(A::Error::custom("a key must be a word")) };
            if let Some(key) = keys.replace(key) {
                return Err(A::Error::custom(format_args!("the key {key:?} stands twice in one mapping")));
            }
            entries.next_value::<Seen>()?;
        }
        Ok(Seen::Mapping)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Seen, A::Error> {
        Err(A::Error::custom("tags like !name are not accepted"))
    }
}
