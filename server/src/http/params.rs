//! Query parameters: percent-decoded, each at most once, none unknown.

use std::borrow::Cow;

use jiff::civil::Date;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::domain::page::{DEFAULT_LIMIT, MAX_LIMIT, PageRequest};
use crate::domain::{Error, FieldError};
use crate::model::{CustomerId, TextId, Timestamp, Transno, shown};

use super::routes::Route;

/// What a path's segment has in percent-encoding: everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The longest text parameter in characters.
const MAX_TEXT: usize = 255;
/// The longest name that is shown to the caller; a longer one is cut.
const MAX_NAME: usize = 128;

/// The query parameters of a request, taken one by one. [`Params::finish`] reports what is invalid.
#[derive(Debug, Default)]
pub struct Params<'a> {
    given: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    errors: Vec<FieldError>,
}

impl<'a> Params<'a> {
    /// Reads a raw query. Every parameter must be one of the route's.
    pub fn parse(query: Option<&'a str>, route: &Route) -> Result<Self, Error> {
        let mut given: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        let mut errors = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let known = decode(name).filter(|name| route.parameters().any(|known| known.name == *name));
            let Some(name) = known else {
                return Err(Error::UnknownParameter(name.chars().take(MAX_NAME).collect()));
            };
            if given.iter().any(|(other, _)| *other == name) {
                errors.push(FieldError::new(name, "must be given once"));
            } else if let Some(value) = decode(value) {
                given.push((name, value));
            } else {
                errors.push(FieldError::new(
                    name,
                    format!("must be percent-encoded UTF-8, not {}", shown(value)),
                ));
            }
        }
        Ok(Self { given, errors })
    }

    fn take(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let at = self.given.iter().position(|(given, _)| given == name)?;
        Some(self.given.swap_remove(at).1)
    }

    /// Reports a parameter as invalid.
    pub fn refuse(&mut self, name: &str, message: impl Into<String>) {
        self.errors.push(FieldError::new(name, message));
    }

    /// A parameter, parsed.
    pub fn parsed<T, E: std::fmt::Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.take(name)?;
        parse(&text).map_err(|error| self.refuse(name, format!("{error}, not {}", shown(&text)))).ok()
    }

    /// An id of the platform.
    pub fn text_id(&mut self, name: &str) -> Option<String> {
        let id = self.parsed(name, TextId::parse)?;
        Some(id.as_str().to_owned())
    }

    /// A customer.
    pub fn customer(&mut self) -> Option<CustomerId> {
        self.parsed("customer_id", CustomerId::parse)
    }

    /// A transno or request id, ours included.
    pub fn transno(&mut self, name: &str) -> Option<String> {
        let id = self.parsed(name, Transno::parse)?;
        Some(id.as_str().to_owned())
    }

    /// Any text of bounded length.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.parsed(name, |text| {
            let fits = !text.is_empty() && text.chars().count() <= MAX_TEXT && !text.contains('\0');
            if fits { Ok(text.to_owned()) } else { Err(format!("must have 1 to {MAX_TEXT} characters")) }
        })
    }

    /// A time.
    pub fn time(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.take(name)?;
        match Timestamp::parse(&text) {
            Ok(time) => Some(time),
            Err(error) => {
                let hint = if lost_its_plus(&text) { "; in a query + is written %2B" } else { "" };
                self.refuse(name, format!("{error}, not {}{hint}", shown(&text)));
                None
            }
        }
    }

    /// A calendar day, as `2026-05-28`.
    pub fn day(&mut self, name: &str) -> Option<Date> {
        self.parsed(name, |text| {
            // Other ways of writing it, and years of other lengths, would be read too.
            let day = text.parse::<Date>().ok().filter(|day| text.len() == 10 && day.to_string() == text);
            day.ok_or("must be a day such as 2026-05-28")
        })
    }

    /// An integer in a range, in digits.
    pub fn integer(&mut self, name: &str, least: u16, most: u16) -> Option<u16> {
        self.parsed(name, |text| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let number = text.parse().ok().filter(|number| digits && (least..=most).contains(number));
            number.ok_or_else(|| format!("must be an integer from {least} to {most}"))
        })
    }

    /// One of some names.
    pub fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        self.parsed(name, |text| {
            choices.iter().find(|(choice, _)| *choice == text).map(|(_, value)| *value).ok_or_else(|| {
                let names: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
                format!("must be one of {}", names.join(", "))
            })
        })
    }

    /// Some of some names, separated by commas; each at most once.
    pub fn several(&mut self, name: &str, known: &[&'static str]) -> Vec<&'static str> {
        let chosen = self.parsed(name, |text| {
            let mut chosen = Vec::new();
            for part in text.split(',') {
                match known.iter().find(|name| **name == part) {
                    Some(name) if !chosen.contains(name) => chosen.push(*name),
                    _ => {
                        return Err(format!(
                            "must be one or more of {}, each once, separated by commas",
                            known.join(", ")
                        ));
                    }
                }
            }
            Ok(chosen)
        });
        chosen.unwrap_or_default()
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        self.choice(name, &[("true", true), ("false", false)])
    }

    /// `limit`, `order`, `cursor` and `count`.
    pub fn page(&mut self) -> PageRequest {
        PageRequest {
            limit: self.integer("limit", 1, MAX_LIMIT).unwrap_or(DEFAULT_LIMIT),
            ascending: self.choice("order", &[("asc", true), ("desc", false)]).unwrap_or(false),
            cursor: self.take("cursor").map(Cow::into_owned),
            count: self.choice("count", &[("true", true), ("false", false)]).unwrap_or(false),
        }
    }

    /// Ends the reading. Fails if anything was invalid, or if the handler does not read a parameter that its route
    /// declares.
    pub fn finish(&mut self) -> Result<(), Error> {
        if !self.errors.is_empty() {
            return Err(Error::Invalid(std::mem::take(&mut self.errors)));
        }
        match self.given.first() {
            Some((name, _)) => Err(Error::Internal(format!("the parameter {name} is declared but not read"))),
            None => Ok(()),
        }
    }
}

/// Whether the text is a time whose plus was read as a space.
fn lost_its_plus(text: &str) -> bool {
    text.rsplit_once(' ').is_some_and(|(time, offset)| Timestamp::parse(&format!("{time}+{offset}")).is_ok())
}

/// Undoes percent-encoding; a plus is a space, as forms and most client libraries write it. `None` unless it is
/// percent-encoded UTF-8.
pub fn decode(text: &str) -> Option<Cow<'_, str>> {
    decode_as(text, true)
}

/// Undoes percent-encoding in a path, where a plus is a plus.
pub fn decode_segment(text: &str) -> Option<Cow<'_, str>> {
    decode_as(text, false)
}

/// A text as a segment of a path.
pub fn encode_segment(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

fn decode_as(text: &str, form: bool) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|b| b == b'%' || (form && b == b'+')) {
        return Some(Cow::Borrowed(text));
    }
    let well_formed = text.split('%').skip(1).all(|after| {
        let mut digits = after.bytes();
        let mut hex = || digits.next().is_some_and(|b| b.is_ascii_hexdigit());
        hex() && hex()
    });
    if !well_formed {
        return None;
    }
    let spaced = if form { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    Some(Cow::Owned(percent_decode_str(&spaced).decode_utf8().ok()?.into_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::endpoints::route;
    use super::*;

    fn parse(query: &str) -> Result<Params<'_>, Error> {
        Params::parse(Some(query), route("listAccounting"))
    }

    fn page(query: &str) -> Result<PageRequest, Vec<String>> {
        let mut params = parse(query).unwrap();
        let page = params.page();
        match params.finish() {
            Ok(()) => Ok(page),
            Err(Error::Invalid(errors)) => Err(errors.into_iter().map(|e| e.field).collect()),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_page_has_defaults_and_bounds() {
        let plain = page("").unwrap();
        assert_eq!((plain.limit, plain.ascending, plain.cursor, plain.count), (100, false, None, false));
        let all = page("limit=1000&order=asc&cursor=a%2Bb&count=true").unwrap();
        assert_eq!(
            (all.limit, all.ascending, all.cursor.as_deref(), all.count),
            (1000, true, Some("a+b"), true)
        );
        for limit in
            ["", "0", "1001", "-1", "+1", "1.0", "1e2", "99999999999999999999", "ten", "%31%30%30%31"]
        {
            assert_eq!(page(&format!("limit={limit}")).unwrap_err(), ["limit"], "{limit}");
        }
        assert_eq!(page("order=up&count=1&limit=0").unwrap_err().len(), 3);
    }

    #[test]
    fn some_of_several_names_are_given_each_once() {
        let chosen = |query: &str| {
            let query = format!("transno={query}");
            let mut params = parse(&query).unwrap();
            let chosen = params.several("transno", &["day", "model"]);
            params.finish().map(|()| chosen).map_err(|_| ())
        };
        assert_eq!(chosen("day"), Ok(vec!["day"]));
        assert_eq!(chosen("model%2Cday"), Ok(vec!["model", "day"]));
        for wrong in ["", ",", "day,", "day,day", "Day", "day, model", "week"] {
            assert_eq!(chosen(wrong), Err(()), "{wrong:?}");
        }
    }

    #[test]
    fn a_day_is_written_in_one_way() {
        let day = |text: &str| {
            let query = format!("from={text}");
            let mut params = parse(&query).unwrap();
            let day = params.day("from");
            params.finish().map(|()| day.unwrap()).map_err(|_| ())
        };
        assert_eq!(day("2026-02-28"), Ok(jiff::civil::date(2026, 2, 28)));
        for wrong in
            ["", "2026-02-29", "20260228", "2026-2-28", "2026-02-28T00:00:00Z", "today", "-002026-02-28"]
        {
            assert_eq!(day(wrong), Err(()), "{wrong}");
        }
    }

    #[test]
    fn unknown_parameters_are_named() {
        for (query, name) in [("nope=1", "nope"), ("limit=1&Limit=2", "Limit"), ("%ff=1", "%ff"), ("=1", "")]
        {
            assert!(matches!(parse(query), Err(Error::UnknownParameter(given)) if given == name), "{query}");
        }
    }

    #[test]
    fn a_parameter_is_given_once_whatever_its_spelling() {
        assert_eq!(page("limit=1&%6Cimit=2").unwrap_err(), ["limit"]);
        assert!(page("limit=1&&order=asc&").is_ok());
    }

    #[test]
    fn values_are_decoded_or_refused() {
        let value = |query: &str| {
            let mut params = parse(query).unwrap();
            let value = params.text("transno");
            params.finish().map(|()| value.unwrap()).map_err(|_| ())
        };
        assert_eq!(value("transno=a%20b+c").as_deref(), Ok("a b c"));
        assert_eq!(value("transno=%E4%BD%99").as_deref(), Ok("余"));
        for wrong in ["%", "%4", "%zz", "%ff", "%00", "", "%F0%9F"] {
            assert_eq!(value(&format!("transno={wrong}")), Err(()), "{wrong}");
        }
    }

    #[test]
    fn a_message_says_what_arrived_and_that_a_plus_is_encoded() {
        let message = |query: &str| {
            let mut params = parse(query).unwrap();
            let _ = (params.time("from"), params.text_id("user_id"), params.page());
            let Err(Error::Invalid(errors)) = params.finish() else { panic!("{query}") };
            errors.into_iter().map(|e| e.message).collect::<String>()
        };
        let plus = message("from=2026-01-01T00:00:00+08:00");
        assert!(plus.contains("not \"2026-01-01T00:00:00 08:00\"; in a query + is written %2B"), "{plus}");
        assert!(message("from=2026-01-01+00:00:00+08:00").contains("%2B"));
        let no_offset = message("from=2026-01-01+00:00:00");
        assert!(no_offset.ends_with("not \"2026-01-01 00:00:00\""), "{no_offset}");
        assert!(message("user_id=%00%22").ends_with("not \"\\u{0}\\\"\""));
        assert!(message("limit=ten").ends_with("not \"ten\""));
        assert!(message("user_id=%zz").ends_with("not \"%zz\""));
    }

    #[test]
    fn a_parameter_that_the_handler_does_not_read_is_a_fault_of_the_server() {
        let mut params = parse("limit=1&transno=t").unwrap();
        params.page();
        assert!(matches!(params.finish(), Err(Error::Internal(_))));
    }

    #[test]
    fn a_plus_in_a_path_is_a_plus() {
        assert_eq!(encode_segment("a+b /c-.~"), "a%2Bb%20%2Fc-.~");
        assert_eq!(decode_segment("a+b%20c").as_deref(), Some("a+b c"));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text in ".*") {
            let encoded = percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC).to_string();
            prop_assert_eq!(decode(&encoded).unwrap(), text.as_str());
        }

        #[test]
        fn no_query_makes_it_panic(query in ".*") {
            let _ = parse(&query);
        }
    }
}
