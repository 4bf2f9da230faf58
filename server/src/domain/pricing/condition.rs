//! When a rule applies.

use super::error::{PricingDataError, member};
use super::usage::{Field, Seen, Usage};
use super::yaml::Node;
use crate::model::Decimal;
use crate::model::shown;

/// The texts that begin a condition written as text. A longer one stands before its beginning.
const OPERATORS: [(&str, Operator); 6] = [
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("==", Operator::Equal),
    ("<", Operator::Below),
    (">", Operator::Above),
    ("=", Operator::Equal),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// One field of a filter and all that must hold of it.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    field: Field,
    tests: Vec<Test>,
}

#[derive(Debug, Clone)]
enum Test {
    /// Equal to one of them.
    In(Vec<Operand>),
    Below(Decimal),
    AtMost(Decimal),
    Above(Decimal),
    AtLeast(Decimal),
}

/// What a field is compared with: as numbers if both are, else as texts.
#[derive(Debug, Clone)]
struct Operand {
    text: String,
    number: Option<Decimal>,
}

impl Filter {
    /// Reads a condition: a text (`<= 32000`, or what the field must equal), a list of which it must equal one, or a
    /// mapping of operators to their values (`between` includes both ends).
    pub(super) fn compile(field: Field, condition: &Node, path: &str) -> Result<Self, PricingDataError> {
        let tests = match condition {
            Node::Null => {
                return Err(PricingDataError::value(path, "must be a condition; write '' for empty text"));
            }
            Node::Scalar(text) => vec![from_text(text, path)?],
            Node::List(_) => vec![one_of(condition, path)?],
            Node::Map(entries) if entries.is_empty() => {
                return Err(PricingDataError::value(path, "must have at least one operator"));
            }
            Node::Map(entries) => {
                let mut tests = Vec::with_capacity(entries.len());
                for (operator, value) in entries {
                    from_operator(operator, value, path, &mut tests)?;
                }
                tests
            }
        };
        Ok(Self { field, tests })
    }

    /// Whether the usage has the field and every test holds.
    pub(super) fn matches(&self, usage: &Usage) -> bool {
        usage.see(&self.field).is_some_and(|seen| self.tests.iter().all(|test| test.holds(seen)))
    }
}

impl Test {
    fn of(operator: Operator, text: &str, path: &str) -> Result<Self, PricingDataError> {
        let number = || number(text, path);
        Ok(match operator {
            Operator::Equal => Self::In(vec![Operand::new(text)]),
            Operator::Below => Self::Below(number()?),
            Operator::AtMost => Self::AtMost(number()?),
            Operator::Above => Self::Above(number()?),
            Operator::AtLeast => Self::AtLeast(number()?),
        })
    }

    fn holds(&self, seen: Seen) -> bool {
        match self {
            Self::In(operands) => operands.iter().any(|operand| operand.equals(seen)),
            Self::Below(bound) => seen.number.is_some_and(|n| n < *bound),
            Self::AtMost(bound) => seen.number.is_some_and(|n| n <= *bound),
            Self::Above(bound) => seen.number.is_some_and(|n| n > *bound),
            Self::AtLeast(bound) => seen.number.is_some_and(|n| n >= *bound),
        }
    }
}

impl Operand {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned(), number: Decimal::parse(text).ok() }
    }

    fn equals(&self, seen: Seen) -> bool {
        match (self.number, seen.number) {
            (Some(wanted), Some(number)) => wanted == number,
            // A quantity has no text; its text would be a number.
            _ => seen.text == Some(&*self.text),
        }
    }
}

fn from_text(text: &str, path: &str) -> Result<Test, PricingDataError> {
    if let Some((rest, operator)) = OPERATORS
        .iter()
        .find_map(|(sign, operator)| text.strip_prefix(sign).map(|rest| (rest.trim(), *operator)))
    {
        return Test::of(operator, rest, path);
    }
    // Compared as text, these would equal nothing, and the rule would never apply.
    let word = text.split_ascii_whitespace().next().unwrap_or_default();
    if text.starts_with('!') || (word.len() < text.len() && matches!(word, "between" | "in" | "not")) {
        return Err(PricingDataError::value(
            path,
            "must be a mapping, such as {between: [1, 5]} or {in: [a, b]}",
        ));
    }
    Ok(Test::In(vec![Operand::new(text)]))
}

fn from_operator(
    operator: &str,
    value: &Node,
    path: &str,
    tests: &mut Vec<Test>,
) -> Result<(), PricingDataError> {
    let path = member(path, operator);
    match (operator, value) {
        ("in", _) => tests.push(one_of(value, &path)?),
        ("between", Node::List(bounds)) if let [Node::Scalar(low), Node::Scalar(high)] = &**bounds => {
            let (low, high) = (number(low, &path)?, number(high, &path)?);
            if low > high {
                return Err(PricingDataError::value(path, "must begin with the lower bound"));
            }
            tests.extend([Test::AtLeast(low), Test::AtMost(high)]);
        }
        ("between", _) => return Err(PricingDataError::value(path, "must be a list of two numbers")),
        _ => {
            let Some((_, operator)) = OPERATORS.iter().find(|(sign, _)| *sign == operator) else {
                return Err(PricingDataError::value(path, "must be one of: between, in, =, >, <, >=, <="));
            };
            let Node::Scalar(text) = value else {
                return Err(PricingDataError::value(path, "must be a number or text"));
            };
            tests.push(Test::of(*operator, text, &path)?);
        }
    }
    Ok(())
}

fn one_of(value: &Node, path: &str) -> Result<Test, PricingDataError> {
    let wrong = || PricingDataError::value(path, "must be a list of numbers or texts");
    let Node::List(items) = value else { return Err(wrong()) };
    let operands = items.iter().map(|item| match item {
        Node::Scalar(text) => Ok(Operand::new(text)),
        Node::Null | Node::List(_) | Node::Map(_) => Err(wrong()),
    });
    operands.collect::<Result<Vec<_>, _>>().map(Test::In)
}

fn number(text: &str, path: &str) -> Result<Decimal, PricingDataError> {
    Decimal::parse(text)
        .map_err(|error| PricingDataError::value(path, format!("{error}, not {}", shown(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(condition: &str) -> Result<Filter, PricingDataError> {
        let Node::Map(entries) = Node::parse(&format!("f: {condition}")).unwrap() else {
            panic!("{condition}")
        };
        Filter::compile(Field::new("f", |_| false), &entries[0].1, "f")
    }

    fn matches(condition: &str, quantity: &str) -> bool {
        let mut usage = Usage::new();
        usage.quantity("f", quantity).unwrap();
        compile(condition).unwrap().matches(&usage)
    }

    fn matches_text(condition: &str, text: &str) -> bool {
        let mut usage = Usage::new();
        usage.attribute("f", text);
        compile(condition).unwrap().matches(&usage)
    }

    #[test]
    fn bounds_include_or_exclude_themselves() {
        for (condition, inside, outside) in [
            ("<= 32000", &["32000", "0", "31999.5"][..], &["32000.000001", "32001"][..]),
            ("\"<=32000\"", &["32000"], &["32001"]),
            ("'< 5'", &["4.999"], &["5", "6"]),
            ("'> 5'", &["5.001"], &["5", "4"]),
            ("'>= 5'", &["5", "5.0"], &["4.999"]),
            ("'= 5'", &["5"], &["5.1"]),
            ("'== 5'", &["5"], &["5.1"]),
            ("5", &["5", "5.00"], &["50"]),
            ("5.0", &["5"], &["5.1"]),
            ("{between: [1, 5]}", &["1", "5", "2.5"], &["0.999", "5.001"]),
            ("{between: [5, 5]}", &["5"], &["4", "6"]),
            ("{'>': 1, '<=': 5}", &["1.1", "5"], &["1", "5.1"]),
            ("{'=': 5}", &["5"], &["6"]),
            ("{in: [720, 1080]}", &["720", "1080.0"], &["721"]),
            ("[720, 1080]", &["720"], &["480"]),
            ("[]", &[], &["0"]),
        ] {
            for quantity in inside {
                assert!(matches(condition, quantity), "{condition} {quantity}");
                assert!(matches_text(condition, quantity), "{condition} {quantity} as text");
            }
            for quantity in outside {
                assert!(!matches(condition, quantity), "{condition} {quantity}");
                assert!(!matches_text(condition, quantity), "{condition} {quantity} as text");
            }
        }
    }

    #[test]
    fn texts_are_compared_whole_and_never_ordered() {
        assert!(matches_text("MiniMax-M3", "MiniMax-M3"));
        assert!(!matches_text("MiniMax-M3", "minimax-m3"));
        assert!(!matches_text("MiniMax-M3", "MiniMax-M3-fast"));
        assert!(matches_text("[720P, 1080P]", "1080P"));
        assert!(matches_text("'= 720P'", "720P"));
        assert!(matches_text("true", "true"));
        assert!(matches_text("''", ""));
        assert!(matches_text("in", "in"));
        assert!(matches_text("indigo blue", "indigo blue"));
        assert!(!matches_text("'> 5'", "many"));
        assert!(!matches("720P", "720"));
        // Too long for a number, so an id.
        assert!(matches_text("12345678901234567890", "12345678901234567890"));
        assert!(!matches_text("12345678901234567890", "12345678901234567891"));
    }

    #[test]
    fn an_absent_field_matches_nothing() {
        for condition in ["'< 5'", "5", "[1, 2]", "{between: [0, 5]}", "''"] {
            assert!(!compile(condition).unwrap().matches(&Usage::new()), "{condition}");
        }
    }

    #[test]
    fn a_condition_that_could_never_hold_as_meant_is_refused_by_its_path() {
        for (condition, path) in [
            ("", "f"),
            ("{}", "f"),
            ("'< many'", "f"),
            ("'< '", "f"),
            ("'<> 5'", "f"),
            ("'!= 5'", "f"),
            ("between 1 and 5", "f"),
            ("in a, b", "f"),
            ("'> 1 and < 5'", "f"),
            ("'< 1234567890.12345678'", "f"),
            ("[[1]]", "f"),
            ("[~]", "f"),
            ("{between: [5, 1]}", "f.between"),
            ("{between: [1]}", "f.between"),
            ("{between: [1, 2, 3]}", "f.between"),
            ("{between: 1}", "f.between"),
            ("{between: [a, b]}", "f.between"),
            ("{in: 5}", "f.in"),
            ("{'<': many}", "f.<"),
            ("{'<': [1]}", "f.<"),
            ("{'!=': 1}", "f.!="),
        ] {
            match compile(condition) {
                Err(PricingDataError::Value { path: named, .. }) => assert_eq!(named, path, "{condition}"),
                other => panic!("{condition}: {other:?}"),
            }
        }
    }
}
