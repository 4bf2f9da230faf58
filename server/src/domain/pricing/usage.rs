use std::fmt::{self, Write as _};
use std::sync::Arc;

use super::error::UsageError;
use crate::model::Decimal;

/// Characters of a usage in a message.
const MAX_SHOWN: usize = 200;

/// The names that one count goes by: the platform's price lists say `prompt_tokens` and `completion_tokens`, the API
/// says `input_tokens` and `output_tokens`.
const INPUT: [&str; 2] = ["prompt_tokens", "input_tokens"];
const OUTPUT: [&str; 2] = ["completion_tokens", "output_tokens"];
const TOTAL: &str = "total_tokens";

/// What is to be priced: quantities by factor, and texts (model, size, ...) that filters may ask for.
///
/// A price list that names `prompt_tokens` finds `input_tokens` too and the other way round, likewise
/// `completion_tokens` and `output_tokens`; unless the list uses both names, which then mean different things.
/// `total_tokens` that were not given are the sum of the two.
#[derive(Debug, Clone, Default)]
pub struct Usage<'a> {
    quantities: Vec<(&'a str, Decimal)>,
    attributes: Vec<(&'a str, Seen<'a>)>,
}

/// What a filter sees of a field: a number, a text, or a text that is a number too.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Seen<'a> {
    pub(super) number: Option<Decimal>,
    pub(super) text: Option<&'a str>,
}

impl<'a> Usage<'a> {
    /// Nothing used yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a quantity: decimal text from 0 to [`Decimal::MAX_QUANTITY`], of at most 17 significant digits.
    pub fn quantity(&mut self, factor: &'a str, text: &str) -> Result<(), UsageError> {
        self.add(factor, Decimal::parse(text)?)
    }

    /// Adds the counts of tokens, as `input_tokens` and `output_tokens`. Where quantities of these names are there, they
    /// must say the same. The error comes with the name.
    pub fn tokens(
        &mut self,
        input: Option<u64>,
        output: Option<u64>,
    ) -> Result<(), (&'static str, UsageError)> {
        for (name, tokens) in [(INPUT[1], input), (OUTPUT[1], output)] {
            let Some(tokens) = tokens else { continue };
            let tokens = Decimal::whole(tokens).ok_or((name, UsageError::OutOfRange))?;
            if self.named(name) != Some(tokens) {
                self.add(name, tokens).map_err(|error| (name, error))?;
            }
        }
        // A price for all tokens must never be skipped because their number is missing.
        if let (Some(input), Some(output)) = (self.either(INPUT), self.either(OUTPUT))
            && self.named(TOTAL).is_none()
            && input.checked_add(output).is_none()
        {
            return Err((TOTAL, UsageError::Sum));
        }
        Ok(())
    }

    /// Adds a text for filters. Of two with one name the first counts, and a quantity of that name before both.
    pub fn attribute(&mut self, field: &'a str, text: &'a str) {
        self.attributes.push((field, Seen { number: Decimal::parse(text).ok(), text: Some(text) }));
    }

    fn add(&mut self, factor: &'a str, quantity: Decimal) -> Result<(), UsageError> {
        if quantity.is_negative() || quantity > Decimal::MAX_QUANTITY {
            return Err(UsageError::OutOfRange);
        }
        if self.named(factor).is_some() {
            return Err(UsageError::Twice);
        }
        self.quantities.push((factor, quantity));
        Ok(())
    }

    fn named(&self, name: &str) -> Option<Decimal> {
        self.quantities.iter().find(|(n, _)| *n == name).map(|(_, quantity)| *quantity)
    }

    fn either(&self, names: [&str; 2]) -> Option<Decimal> {
        names.iter().find_map(|name| self.named(name))
    }

    pub(super) fn find(&self, field: &Field) -> Option<Decimal> {
        self.named(&field.name).or_else(|| match field.stand_in {
            StandIn::None => None,
            StandIn::Name(name) => self.named(name),
            StandIn::SumOfTokens => match (self.either(INPUT), self.either(OUTPUT)) {
                (Some(input), Some(output)) => input.checked_add(output),
                (one, other) => one.or(other),
            },
        })
    }

    pub(super) fn see(&self, field: &Field) -> Option<Seen<'a>> {
        let attribute =
            || self.attributes.iter().find(|(name, _)| **name == *field.name).map(|(_, seen)| *seen);
        self.find(field).map(|number| Seen { number: Some(number), text: None }).or_else(attribute)
    }
}

impl fmt::Display for Usage<'_> {
    /// For a message, cut off where it is long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for (name, quantity) in &self.quantities {
            // Writing to a String cannot fail.
            let _ = write!(text, ", {name}={quantity}");
        }
        for (name, seen) in &self.attributes {
            let _ = write!(text, ", {name}={:?}", seen.text.unwrap_or_default());
        }
        let text = text.strip_prefix(", ").unwrap_or("that is empty");
        match text.char_indices().nth(MAX_SHOWN) {
            Some((end, _)) => write!(f, "{}...", &text[..end]),
            None => f.write_str(text),
        }
    }
}

/// A name in a price list, and where its quantity may come from besides.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: Arc<str>,
    stand_in: StandIn,
}

#[derive(Debug, Clone, Copy)]
enum StandIn {
    None,
    Name(&'static str),
    SumOfTokens,
}

impl Field {
    /// A field of a price list; `used` tells which other names the list has.
    pub(super) fn new(name: &str, used: impl Fn(&str) -> bool) -> Self {
        let stand_in = match name {
            TOTAL => StandIn::SumOfTokens,
            _ => [INPUT, OUTPUT]
                .into_iter()
                .find(|names| names.contains(&name))
                .and_then(|names| names.into_iter().find(|other| *other != name && !used(other)))
                .map_or(StandIn::None, StandIn::Name),
        };
        Self { name: name.into(), stand_in }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DecimalError;

    const MOST: u64 = 1_000_000_000_000;

    fn usage<'a>(quantities: &[(&'a str, &str)]) -> Usage<'a> {
        let mut usage = Usage::new();
        for (factor, text) in quantities {
            usage.quantity(factor, text).unwrap();
        }
        usage
    }

    fn found(usage: &Usage, name: &str) -> Option<String> {
        usage.find(&Field::new(name, |_| false)).map(|quantity| quantity.to_string())
    }

    #[test]
    fn quantities_are_from_zero_to_a_million_million_and_given_once() {
        let mut usage = Usage::new();
        for (text, refusal) in [
            ("-1", UsageError::OutOfRange),
            ("1000000000000.1", UsageError::OutOfRange),
            ("1000000000001", UsageError::OutOfRange),
            ("1e13", UsageError::OutOfRange),
            ("1234567890.12345678", UsageError::Number(DecimalError)),
            ("many", UsageError::Number(DecimalError)),
        ] {
            assert_eq!(usage.quantity("n", text), Err(refusal), "{text}");
        }
        assert_eq!(usage.quantity("n", "1000000000000"), Ok(()));
        assert_eq!(usage.quantity("n", "1"), Err(UsageError::Twice));
        assert_eq!(usage.tokens(Some(MOST), None), Ok(()));
        assert_eq!(usage.tokens(None, Some(MOST + 1)), Err(("output_tokens", UsageError::OutOfRange)));
        assert_eq!(Usage::new().tokens(Some(u64::MAX), None), Err(("input_tokens", UsageError::OutOfRange)));
    }

    #[test]
    fn tokens_whose_sum_has_too_many_digits_are_refused_and_not_left_out() {
        let tiny = [("prompt_tokens", "100000000.000001"), ("output_tokens", "0.0000000001")];
        assert_eq!(usage(&tiny).tokens(None, None), Err(("total_tokens", UsageError::Sum)));
        let mut counted = usage(&tiny);
        counted.quantity("total_tokens", "100000000").unwrap();
        assert_eq!(counted.tokens(None, None), Ok(()), "the sum is not needed");
    }

    #[test]
    fn tokens_are_found_by_either_name_and_in_sum() {
        let mut counted = Usage::new();
        counted.tokens(Some(30), Some(12)).unwrap();
        for (name, wanted) in [
            ("prompt_tokens", Some("30")),
            ("input_tokens", Some("30")),
            ("completion_tokens", Some("12")),
            ("output_tokens", Some("12")),
            ("total_tokens", Some("42")),
            ("cached_tokens", None),
        ] {
            assert_eq!(found(&counted, name).as_deref(), wanted, "{name}");
        }
        assert_eq!(found(&usage(&[("completion_tokens", "5")]), "total_tokens").as_deref(), Some("5"));
        assert_eq!(
            found(&usage(&[("total_tokens", "7"), ("input_tokens", "3")]), "total_tokens").as_deref(),
            Some("7")
        );
        assert_eq!(found(&usage(&[("images", "7")]), "total_tokens"), None);
    }

    #[test]
    fn a_quantity_under_the_lists_own_name_comes_first() {
        let mut both = usage(&[("prompt_tokens", "5"), ("input_tokens", "9")]);
        both.tokens(Some(9), None).unwrap();
        assert_eq!(
            both.tokens(Some(30), None),
            Err(("input_tokens", UsageError::Twice)),
            "two say different things"
        );
        assert_eq!(found(&both, "prompt_tokens").as_deref(), Some("5"));
        assert_eq!(found(&both, "input_tokens").as_deref(), Some("9"));
    }

    #[test]
    fn names_that_a_list_uses_side_by_side_do_not_stand_in_for_each_other() {
        let field = Field::new("prompt_tokens", |name| name == "input_tokens");
        assert_eq!(usage(&[("input_tokens", "5")]).find(&field), None);
    }

    #[test]
    fn filters_see_a_quantity_before_a_text() {
        let mut both = usage(&[("SR", "720")]);
        both.attribute("SR", "1080");
        both.attribute("size", "720P");
        both.attribute("size", "1080P");
        let see = |name| both.see(&Field::new(name, |_| false)).map(|seen| (seen.number, seen.text));
        assert_eq!(see("SR"), Some((Decimal::parse("720").ok(), None)));
        assert_eq!(see("size"), Some((None, Some("720P"))));
        assert_eq!(see("audio"), None);
        assert_eq!(both.find(&Field::new("size", |_| false)), None, "a text is no quantity");
    }

    #[test]
    fn a_message_shows_the_usage_and_stays_short() {
        let mut some = usage(&[("images", "2")]);
        some.attribute("size", "大\n");
        assert_eq!(some.to_string(), "images=2, size=\"大\\n\"");
        let long = "大".repeat(1000);
        some.attribute("note", &long);
        assert_eq!(some.to_string().chars().count(), MAX_SHOWN + 3);
        assert_eq!(Usage::new().to_string(), "that is empty");
    }
}
