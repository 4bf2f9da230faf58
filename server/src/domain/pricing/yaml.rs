//! The one reader of pricing data: YAML whose scalars keep their text, because a parser with types makes floats of
//! prices.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Spanned, from_str_with_options};

use super::error::PricingDataError;

/// Longest price list.
const MAX_BYTES: usize = 1 << 20;
/// Values in one price list. Aliases count each time, so that a text that repeats itself through them is refused.
const MAX_NODES: usize = 50_000;
/// A price list nests seven deep, and no deeper one than this was ever priced. The feed refuses deeper ones too, so
/// that what is mirrored can also be priced.
const MAX_DEPTH: usize = 16;
/// Characters of the parser's reason, which may repeat what it read.
const MAX_REASON: usize = 300;

/// A YAML value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Null,
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Reads one document. Repeated keys, keys that are not words, unknown tags and endless repetition are errors.
    pub(super) fn parse(text: &str) -> Result<Self, PricingDataError> {
        if text.len() > MAX_BYTES {
            return Err(PricingDataError::Yaml("must not be longer than 1 MiB".to_owned()));
        }
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_nodes: MAX_NODES,
                max_events: 4 * MAX_NODES,
                max_depth: MAX_DEPTH,
                flow_nesting_limit: MAX_DEPTH,
                max_documents: 1,
            },
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 2 * MAX_NODES },
            strict_booleans: true,
            reject_unsupported_tags: true,
            with_snippet: false,
        };
        let root = from_str_with_options(text, options)
            .map_err(|error| PricingDataError::Yaml(error.to_string().chars().take(MAX_REASON).collect()))?;
        resolve(root, text)
    }
}

/// Whether a text is pricing data by its form: one mapping, not too large. Its rules are not looked at.
///
/// # Errors
/// What is wrong with it.
pub fn check_yaml(text: &str) -> Result<(), String> {
    match Node::parse(text) {
        Ok(Node::Map(_)) => Ok(()),
        Ok(_) => Err("must be a YAML mapping".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A value as the parser gives it.
enum Parsed {
    Null,
    Text(String),
    Flag(bool),
    /// Its digits are to be read where it stands.
    Number,
    List(Vec<Spanned<Parsed>>),
    Map(Vec<(Spanned<Parsed>, Spanned<Parsed>)>),
}

/// The text of a number or a key where it stands.
fn written(value: &Spanned<Parsed>, text: &str) -> Result<String, PricingDataError> {
    let span = value.defined.span();
    let found = span.byte_offset().zip(span.byte_len()).and_then(|(start, length)| {
        let start = usize::try_from(start).ok()?;
        text.get(start..start.checked_add(usize::try_from(length).ok()?)?)
    });
    let line = value.defined.line();
    let lost = || PricingDataError::Yaml(format!("the value in line {line} cannot be located"));
    Ok(found.ok_or_else(lost)?.trim().to_owned())
}

fn mapping(entries: Vec<(Spanned<Parsed>, Spanned<Parsed>)>, text: &str) -> Result<Node, PricingDataError> {
    let mut keys = HashSet::with_capacity(entries.len());
    let mut map = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let key = match key.value {
            Parsed::Text(key) => key,
            Parsed::Flag(_) | Parsed::Number => written(&key, text)?,
            Parsed::Null | Parsed::List(_) | Parsed::Map(_) => {
                return Err(PricingDataError::Yaml(format!(
                    "a key must be a word, in line {}",
                    key.defined.line()
                )));
            }
        };
        if !keys.insert(key.clone()) {
            return Err(PricingDataError::Yaml(format!("the key {key:?} occurs twice in one mapping")));
        }
        map.push((key, resolve(value, text)?));
    }
    Ok(Node::Map(map))
}

fn resolve(value: Spanned<Parsed>, text: &str) -> Result<Node, PricingDataError> {
    Ok(match value.value {
        Parsed::Null => Node::Null,
        Parsed::Text(text) => Node::Scalar(text),
        Parsed::Flag(flag) => Node::Scalar(flag.to_string()),
        Parsed::Number => Node::Scalar(written(&value, text)?),
        Parsed::List(items) => {
            Node::List(items.into_iter().map(|item| resolve(item, text)).collect::<Result<_, _>>()?)
        }
        Parsed::Map(entries) => mapping(entries, text)?,
    })
}

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ParsedVisitor)
    }
}

struct ParsedVisitor;

impl<'de> Visitor<'de> for ParsedVisitor {
    type Value = Parsed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Parsed, E> {
        Ok(Parsed::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Parsed, E> {
        Ok(Parsed::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Parsed, E> {
        Ok(Parsed::Flag(value))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Parsed, E> {
        Ok(Parsed::Number)
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<Parsed, E> {
        Ok(Parsed::Number)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Parsed, E> {
        Ok(Parsed::Number)
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<Parsed, E> {
        Ok(Parsed::Number)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Parsed, E> {
        if value.is_finite() { Ok(Parsed::Number) } else { Err(E::custom("a number must be finite")) }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Parsed, E> {
        Ok(Parsed::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Parsed, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Parsed::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Parsed, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Parsed::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(yaml: &str) -> Node {
        let Ok(Node::Map(entries)) = Node::parse(yaml) else { panic!("{yaml:?}: {:?}", Node::parse(yaml)) };
        entries.into_iter().next_back().unwrap().1
    }

    fn scalar(text: &str) -> Node {
        Node::Scalar(text.to_owned())
    }

    #[test]
    fn scalars_keep_their_text_wherever_they_stand() {
        for (yaml, text) in [
            ("单价: 0.10", "0.10"),
            ("a: 1.0000000000000000001", "1.0000000000000000001"),
            ("a: 123456789012345678901234567890", "123456789012345678901234567890"),
            ("a: -5", "-5"),
            ("a: 1.0e-06", "1.0e-06"),
            ("a: \"0.10\"", "0.10"),
            ("a: '7'", "7"),
            ("a: 0.10 # yuan\n", "0.10"),
            ("\u{feff}价: 0.10\n", "0.10"),
            ("x: 百万\r\n价: 0.10\r\n", "0.10"),
            ("x: &p 0.10\ny: *p", "0.10"),
            ("x: {y: &p 0.10, z: 百万}\n价: *p", "0.10"),
            ("a: !!float 0.10", "0.10"),
            ("a: !!str 0.10", "0.10"),
            ("a: True", "true"),
            ("a: yes", "yes"),
            ("a: 1024x1024", "1024x1024"),
            ("a: <= 32000", "<= 32000"),
            ("{百: 1, 万: 0.10}", "0.10"),
        ] {
            assert_eq!(value(yaml), scalar(text), "{yaml}");
        }
        assert_eq!(value("a:"), Node::Null);
        assert_eq!(
            value("百: [1.0, 百, 2.50]"),
            Node::List(vec![scalar("1.0"), scalar("百"), scalar("2.50")])
        );
        assert_eq!(value("b: &b {百: 1.0}\nc: {<<: *b, d: 2.0}"), {
            Node::Map(vec![("d".to_owned(), scalar("2.0")), ("百".to_owned(), scalar("1.0"))])
        });
        assert_eq!(Node::parse("1.0: 2\n"), Ok(Node::Map(vec![("1.0".to_owned(), scalar("2"))])));
    }

    #[test]
    fn what_is_no_plain_yaml_is_refused() {
        for yaml in [
            "a: [",
            "a: 1\na: 2",
            "? [a]\n: 1",
            "a: !price 1",
            "a: 1\n---\nb: 2",
            "a: .inf",
            "a: 1e999",
            "a: &a [*a]",
            "~: 1",
        ] {
            assert!(
                matches!(Node::parse(yaml), Err(PricingDataError::Yaml(_))),
                "{yaml:?}: {:?}",
                Node::parse(yaml)
            );
        }
    }

    #[test]
    fn a_reason_does_not_repeat_all_that_was_read() {
        let Err(error) = Node::parse(&format!("a: {}", "1".repeat(100_000))) else {
            panic!("no such number")
        };
        assert!(error.to_string().len() < 400, "{error}");
    }

    #[test]
    fn size_depth_and_repetition_are_bounded() {
        let bomb: String = (0..12)
            .map(|i| match i {
                0 => "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned(),
                _ => format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(", ")),
            })
            .collect();
        let long = format!("a: {}", "x".repeat(MAX_BYTES));
        let many = format!("a: [{}]", "x, ".repeat(MAX_NODES));
        let deep = |n: usize| format!("a: {}{}", "[".repeat(n), "]".repeat(n));
        let indented: String = (0..=MAX_DEPTH).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
        for yaml in [bomb, long, many, deep(MAX_DEPTH), deep(100_000), indented] {
            assert!(
                matches!(Node::parse(&yaml), Err(PricingDataError::Yaml(_))),
                "{}",
                &yaml[..40.min(yaml.len())]
            );
        }
        assert!(Node::parse(&deep(MAX_DEPTH - 1)).is_ok());
        // What the feed lets in, the price reader reads, and the other way round.
        assert_eq!(check_yaml(&deep(MAX_DEPTH - 1)), Ok(()));
        assert!(check_yaml(&deep(MAX_DEPTH)).is_err_and(|reason| reason.contains("must be YAML")));
    }
}
