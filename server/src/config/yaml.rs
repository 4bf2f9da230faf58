//! The only module that knows `serde_yaml`.

use std::cell::Cell;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// More values than any configuration has. Aliases count each time, so a file that repeats itself
/// through them ends here and not in memory.
const MAX_NODES: usize = 10_000;

/// More flow collections than any configuration has. The parser's time grows with the square of how deep they
/// nest, and it comes before any limit of ours.
const MAX_BRACKETS: usize = 1_000;

/// A YAML value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Null,
    /// Text, quoted or plain.
    Text(String),
    /// A number or a flag, as text.
    Plain(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// What this is, for messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Text(_) => "text",
            Self::Plain(_) => "a number or flag",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// Why a text is not YAML as we read it, and in which line.
pub(super) struct Refused {
    pub(super) line: Option<u64>,
    pub(super) reason: String,
}

/// Parses one document. Duplicate keys, tags, keys that are not scalars, more than one document, deep nesting
/// and endless repetition are errors.
pub(super) fn parse(text: &str) -> Result<Node, Refused> {
    if text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count() > MAX_BRACKETS {
        return Err(Refused { line: None, reason: "more than 1,000 opening brackets".to_owned() });
    }
    let left = Cell::new(MAX_NODES);
    Seed(&left).deserialize(serde_yaml::Deserializer::from_str(text)).map_err(|error| Refused {
        line: error.location().map(|location| location.line() as u64),
        reason: error.to_string(),
    })
}

/// Reads a [`Node`] while nodes are left.
#[derive(Clone, Copy)]
struct Seed<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        let left = self.0.get().checked_sub(1).ok_or_else(|| D::Error::custom("more than 10,000 values"))?;
        self.0.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    /// An empty document.
    fn visit_none<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Plain(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Plain(value.to_string()))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Plain(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Plain(value.to_string()))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Node, E> {
        Ok(Node::Plain(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Plain(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map: Vec<(String, Node)> = Vec::new();
        while let Some(key) = entries.next_key_seed(self)? {
            let key = match key {
                Node::Text(key) | Node::Plain(key) => key,
                Node::Null | Node::List(_) | Node::Map(_) => {
                    return Err(A::Error::custom("a key must be a word"));
                }
            };
            if map.iter().any(|(seen, _)| *seen == key) {
                return Err(A::Error::custom(format_args!(
                    "the key {key:?} is repeated in the mapping that begins here"
                )));
            }
            map.push((key, entries.next_value_seed(self)?));
        }
        Ok(Node::Map(map))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Node, A::Error> {
        let (_, content) = data.variant_seed(self)?;
        content.newtype_variant_seed(self)?;
        Err(A::Error::custom("tags like !name are not accepted"))
    }
}
