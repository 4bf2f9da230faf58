//! JSON bodies, read strictly: one object, valid UTF-8, no member twice at any depth, nothing unknown. All
//! invalid members are reported at once.

mod number;
mod patch;
mod strict;

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::domain::{Error, FieldError};
use crate::model::{
    Currency, CustomerId, Money, MoneyError, Secret, TextId, Timestamp, integer, shown, shown_json,
};

/// The most members of an object whose member names the caller chooses.
const MAX_FACTORS: usize = 64;
/// The longest such name, in characters.
const MAX_FACTOR_CHARS: usize = 64;
/// The longest text under such a name, in characters.
const MAX_ATTRIBUTE_CHARS: usize = 128;
/// The longest such object, in bytes as it is stored: a page of a list has a thousand of them in memory.
const MAX_USAGE_BYTES: usize = 4096;
/// The most tokens of one booking, each way.
const MAX_TOKENS: i64 = 1_000_000_000_000;
/// The longest note, in characters.
const MAX_NOTE_CHARS: usize = 1024;

/// A JSON object whose members are taken one by one.
///
/// Taking gives `None` for a member that is absent, null or invalid; [`Object::finish`] reports what is invalid. Null
/// and absent mean the same.
#[derive(Debug)]
pub struct Object<'a> {
    members: Vec<(Cow<'a, str>, Option<&'a RawValue>)>,
    invalid: Vec<FieldError>,
    not_string: Vec<FieldError>,
    not_amount: Vec<FieldError>,
    out_of_range: bool,
}

impl<'a> Object<'a> {
    /// Reads a body. [`Error::BodyMalformed`] unless it is one JSON object and nothing else.
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let malformed = |what: &str| Error::BodyMalformed(what.to_owned());
        let text = std::str::from_utf8(body).map_err(|_| malformed("it is not valid UTF-8"))?;
        if text.trim_ascii().is_empty() {
            return Err(malformed("it is empty; send a JSON object"));
        }
        strict::check(text)?;
        let members = strict::members(text)?;
        Ok(Self { members, invalid: vec![], not_string: vec![], not_amount: vec![], out_of_range: false })
    }

    /// Whether a member is present, not yet taken, and not null.
    pub fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(member, raw)| member == name && raw.is_some())
    }

    /// Whether an invalid amount was taken.
    pub fn has_wrong_amount(&self) -> bool {
        self.out_of_range || !self.not_string.is_empty() || !self.not_amount.is_empty()
    }

    /// The member's JSON text, unless it is absent or null.
    fn take(&mut self, name: &str) -> Option<&'a str> {
        let at = self.members.iter().position(|(member, _)| member == name)?;
        let (_, raw) = self.members.swap_remove(at);
        raw.map(RawValue::get)
    }

    /// Whether anything invalid was taken.
    pub fn is_refused(&self) -> bool {
        !self.invalid.is_empty() || self.has_wrong_amount()
    }

    /// Reports a member that is required and was neither found nor reported yet.
    pub fn require<T>(&mut self, name: &str, value: Option<&T>) {
        if value.is_none() && !self.invalid.iter().any(|error| error.field == name) {
            self.refuse(name, "is required");
        }
    }

    /// Reports a member as invalid.
    pub fn refuse(&mut self, field: &str, message: impl Into<String>) {
        self.invalid.push(FieldError::new(field, message));
    }

    /// The same, with the value that was sent.
    fn refuse_value(&mut self, field: &str, message: impl std::fmt::Display, json: &str) {
        self.refuse(field, format!("{message}, not {}", shown_json(json)));
    }

    /// A string, and its JSON text.
    fn string(&mut self, name: &str) -> Option<(Cow<'a, str>, &'a str)> {
        let raw = self.take(name)?;
        let text = strict::string(raw);
        if text.is_none() {
            self.refuse_value(name, "must be a string", raw);
        }
        text.map(|text| (text, raw))
    }

    /// A string, parsed.
    pub fn parsed<T, E: std::fmt::Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let (text, raw) = self.string(name)?;
        parse(&text).map_err(|error| self.refuse_value(name, error, raw)).ok()
    }

    /// Text that must not be shown, not even to the one who sent it.
    pub fn secret(&mut self, name: &str) -> Option<Secret> {
        let text = strict::string(self.take(name)?);
        if text.is_none() {
            self.refuse(name, "must be a string");
        }
        text.map(|text| Secret::new(text.into_owned()))
    }

    /// An id of the platform.
    pub fn text_id(&mut self, name: &str) -> Option<String> {
        let id = self.parsed(name, TextId::parse)?;
        Some(id.as_str().to_owned())
    }

    /// A customer.
    pub fn customer(&mut self, name: &str) -> Option<CustomerId> {
        self.parsed(name, CustomerId::parse)
    }

    /// A currency code.
    pub fn currency(&mut self, name: &str) -> Option<Currency> {
        self.parsed(name, |text| Currency::parse(text).ok_or("must be 3 to 8 capital letters such as CNY"))
    }

    /// A time.
    pub fn time(&mut self, name: &str) -> Option<Timestamp> {
        self.parsed(name, Timestamp::parse)
    }

    /// Text of at most so many characters, without control characters.
    pub fn text(&mut self, name: &str, most: usize) -> Option<String> {
        self.parsed(name, |text| {
            let fits = text.chars().count() <= most && !text.chars().any(char::is_control);
            if fits {
                Ok(text.to_owned())
            } else {
                Err(format!("must have at most {most} characters, none of them control characters"))
            }
        })
    }

    /// A note.
    pub fn note(&mut self) -> Option<String> {
        self.text("note", MAX_NOTE_CHARS)
    }

    /// A number of tokens.
    pub fn tokens(&mut self, name: &str) -> Option<i64> {
        self.integer(name, 0, MAX_TOKENS)
    }

    /// true or false.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        let raw = self.take(name)?;
        let value = match raw {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        if value.is_none() {
            self.refuse_value(name, "must be true or false", raw);
        }
        value
    }

    /// A list of at most so many strings, each parsed; no two are the same.
    pub fn list<T: PartialEq, E: std::fmt::Display>(
        &mut self,
        name: &str,
        most: usize,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let raw = self.take(name)?;
        let Ok(texts) = serde_json::from_str::<Vec<Cow<'_, str>>>(raw) else {
            self.refuse_value(name, "must be a list of strings", raw);
            return None;
        };
        if texts.len() > most {
            self.refuse(name, format!("must have at most {most} items"));
            return None;
        }
        let mut items = Vec::with_capacity(texts.len());
        for text in &texts {
            match parse(text) {
                Ok(item) if items.contains(&item) => {
                    self.refuse(name, format!("has {} twice", shown(text)));
                    return None;
                }
                Ok(item) => items.push(item),
                Err(error) => {
                    self.refuse(name, format!("{error}, not {}", shown(text)));
                    return None;
                }
            }
        }
        Some(items)
    }

    /// A whole number within bounds.
    pub fn integer(&mut self, name: &str, least: i64, most: i64) -> Option<i64> {
        let raw = self.take(name)?;
        let number = integer(raw).filter(|n| (least..=most).contains(n));
        if number.is_none() {
            self.refuse_value(name, format!("must be an integer from {least} to {most}"), raw);
        }
        number
    }

    /// An amount of money other than zero; with a sign only if `signed`.
    pub fn amount(&mut self, name: &str, signed: bool) -> Option<Money> {
        let amount = self.money(name, signed)?;
        if amount == Money::ZERO {
            self.not_amount.push(FieldError::new(name, "must not be zero"));
            return None;
        }
        Some(amount)
    }

    /// An amount of money, zero among them; with a sign only if `signed`.
    pub fn money(&mut self, name: &str, signed: bool) -> Option<Money> {
        let raw = self.take(name)?;
        let not = || shown_json(raw);
        let Some(text) = strict::string(raw) else {
            let message = format!("must be a string such as \"12.5\", not {}", not());
            self.not_string.push(FieldError::new(name, message));
            return None;
        };
        let parsed = if signed { Money::parse_signed(&text) } else { Money::parse(&text) };
        match parsed {
            Ok(amount) => return Some(amount),
            Err(MoneyError::OutOfRange) => self.out_of_range = true,
            Err(error @ MoneyError::Invalid) => {
                self.not_amount.push(FieldError::new(name, format!("{error}, not {}", not())));
            }
        }
        None
    }

    /// An object of quantities from 0 to 10^12 with at most 17 significant digits and of short texts, as JSON text
    /// whose members are sorted and have one spelling; no longer than fits a page of them.
    pub fn usage(&mut self, name: &str) -> Option<String> {
        let raw = self.take(name)?;
        let Some(mut members) = strict::object(raw) else {
            self.refuse_value(name, "must be an object of numbers and texts", raw);
            return None;
        };
        if members.len() > MAX_FACTORS {
            self.refuse(name, format!("must have at most {MAX_FACTORS} members"));
            return None;
        }
        members.sort_by(|a, b| a.0.cmp(&b.0));
        let mut text = String::from("{");
        for (factor, raw) in members {
            let named = !factor.is_empty()
                && factor.chars().count() <= MAX_FACTOR_CHARS
                && !factor.chars().any(char::is_control);
            let value =
                raw.map(RawValue::get).and_then(|raw| number::quantity(raw).or_else(|| attribute(raw)));
            let Some(value) = value.filter(|_| named) else {
                self.refuse_value(
                    &format!("{name}.{factor}"),
                    "must be a number from 0 to 10^12 with at most 17 significant digits, or a text of at most 128 \
                     characters, under a name of 1 to 64 characters",
                    raw.map_or("null", RawValue::get),
                );
                continue;
            };
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&serde_json::Value::from(factor).to_string());
            text.push(':');
            text.push_str(&value);
        }
        text.push('}');
        if text.len() > MAX_USAGE_BYTES {
            self.refuse(name, format!("must have at most {MAX_USAGE_BYTES} bytes in all"));
            return None;
        }
        Some(text)
    }

    /// Ends the reading. Fails unless everything taken was valid and nothing is left.
    pub fn finish(self) -> Result<(), Error> {
        if !self.members.is_empty() {
            let unknown =
                |(name, _): &(Cow<'_, str>, _)| FieldError::new(&**name, "is not a field of this body");
            return Err(Error::UnknownField(self.members.iter().map(unknown).collect()));
        }
        let Self { mut invalid, not_string, not_amount, .. } = self;
        if !invalid.is_empty() {
            invalid.extend(not_string);
            invalid.extend(not_amount);
            return Err(Error::Invalid(invalid));
        }
        if !not_string.is_empty() {
            return Err(Error::AmountNotString(not_string));
        }
        if !not_amount.is_empty() {
            return Err(Error::AmountInvalid(not_amount));
        }
        if self.out_of_range { Err(Error::AmountOutOfRange) } else { Ok(()) }
    }
}

/// A required member, once [`Object::finish`] has passed. That reports members that are missing, so this fails only
/// where a reader forgot to.
pub fn required<T>(member: Option<T>) -> Result<T, Error> {
    member.ok_or_else(|| Error::BodyMalformed("a required member is missing".to_owned()))
}

/// The one spelling of a JSON string that price lists may ask for; `None` for any other JSON value.
fn attribute(raw: &str) -> Option<String> {
    let text = strict::string(raw)?;
    let fits = text.chars().count() <= MAX_ATTRIBUTE_CHARS && !text.chars().any(char::is_control);
    fits.then(|| serde_json::Value::from(text).to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn malformed(body: impl AsRef<[u8]>) -> bool {
        matches!(Object::parse(body.as_ref()), Err(Error::BodyMalformed(_)))
    }

    #[test]
    fn a_body_that_is_no_single_object_is_malformed() {
        for body in [
            "",
            " \n",
            "null",
            "[]",
            "\"a\"",
            "1",
            "{",
            "{}}",
            "{} {}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{'a':1}",
            "{a:1}",
            "{\"a\":01}",
            "{\"a\":+1}",
            "{\"a\":1e999}",
            "{\"a\":NaN}",
            "{\"a\":\"\u{1}\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\ud800\"}",
            "\u{feff}{}",
            "{\"a\":1} x",
            "{\"a\":[1,2}",
            "// c\n{}",
        ] {
            assert!(malformed(body), "{body}");
        }
        assert!(malformed(b"{\"a\":\"\xff\"}"));
        assert!(malformed(b"{\"a\":\"\xed\xa0\x80\"}"));
    }

    #[test]
    fn a_member_twice_is_malformed_at_any_depth_and_in_any_spelling() {
        for body in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":1}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":[{"b":1,"b":2}]}"#,
        ] {
            assert!(malformed(body), "{body}");
        }
        assert!(Object::parse(br#"{"a":{"a":1},"b":{"a":1}}"#).is_ok());
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(Object::parse(nested(strict::MAX_DEPTH - 1).as_bytes()).is_ok());
        for depth in [strict::MAX_DEPTH, 100, 500_000] {
            assert!(malformed(nested(depth)));
            assert!(malformed("[".repeat(depth)));
        }
    }

    #[test]
    fn the_number_of_members_is_bounded() {
        let wide = |count: usize| {
            let members: Vec<_> = (0..count).map(|i| format!("\"m{i}\":1")).collect();
            format!("{{\"a\":{{{}}}}}", members.join(","))
        };
        assert!(Object::parse(wide(strict::MAX_MEMBERS).as_bytes()).is_ok());
        assert!(malformed(wide(strict::MAX_MEMBERS + 1)));
    }

    #[test]
    fn what_is_left_is_unknown() {
        let mut object = Object::parse(br#"{"a":"x","b":1,"c":null}"#).unwrap();
        assert_eq!(object.text_id("a").as_deref(), Some("x"));
        let Err(Error::UnknownField(mut errors)) = object.finish() else { panic!("must be unknown") };
        errors.sort_by(|a, b| a.field.cmp(&b.field));
        assert_eq!(errors.iter().map(|e| e.field.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    }

    #[test]
    fn all_wrong_members_are_named_at_once() {
        let mut object =
            Object::parse(br#"{"id":7,"time":"yesterday","n":1.5,"cur":"cny","note":"a\u0000","amount":1}"#)
                .unwrap();
        assert_eq!(object.text_id("id"), None);
        assert_eq!(object.time("time"), None);
        assert_eq!(object.integer("n", 0, 10), None);
        assert_eq!(object.currency("cur"), None);
        assert_eq!(object.text("note", 10), None);
        assert_eq!(object.amount("amount", false), None);
        let Err(Error::Invalid(errors)) = object.finish() else { panic!("must be invalid") };
        let named: Vec<_> = errors.iter().map(|e| e.field.as_str()).collect();
        assert_eq!(named, ["id", "time", "n", "cur", "note", "amount"]);
    }

    #[test]
    fn a_list_has_strings_each_once_and_not_too_many() {
        let read = |json: &str| {
            let body = format!("{{\"list\":{json}}}");
            let mut object = Object::parse(body.as_bytes()).unwrap();
            let list = object.list("list", 2, |text| {
                if text == "x" { Err("must be a letter") } else { Ok(text.to_owned()) }
            });
            object.finish().map(|()| list).map_err(|_| ())
        };
        assert_eq!(read(r#"["a","\u0062"]"#), Ok(Some(vec!["a".to_owned(), "b".to_owned()])));
        assert_eq!((read("[]"), read("null")), (Ok(Some(vec![])), Ok(None)));
        for wrong in [
            r#"["a","a"]"#,
            r#"["a","b","c"]"#,
            r#"["x"]"#,
            r#"["a",1]"#,
            r#"["a",null]"#,
            "\"a\"",
            "{}",
            "1",
        ] {
            assert_eq!(read(wrong), Err(()), "{wrong}");
        }
    }

    #[test]
    fn null_is_absent() {
        let mut object = Object::parse(br#"{"a":null,"b":null,"c":null,"d":null}"#).unwrap();
        assert_eq!(object.text_id("a"), None);
        assert_eq!(object.amount("b", false), None);
        assert_eq!(object.usage("c"), None);
        assert_eq!(object.integer("d", 0, 1), None);
        assert!(object.finish().is_ok());
    }

    fn amount(json: &str, signed: bool) -> Result<Option<i64>, &'static str> {
        let body = format!("{{\"amount\":{json}}}");
        let mut object = Object::parse(body.as_bytes()).unwrap();
        let amount = object.amount("amount", signed).map(Money::nanos);
        match object.finish() {
            Ok(()) => Ok(amount),
            Err(Error::AmountNotString(_)) => Err("not_string"),
            Err(Error::AmountInvalid(_)) => Err("invalid"),
            Err(Error::AmountOutOfRange) => Err("range"),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn amounts_are_strings_within_their_range() {
        assert_eq!(amount("\"0.0125\"", false), Ok(Some(12_500_000)));
        assert_eq!(amount("\"-1\"", true), Ok(Some(-1_000_000_000)));
        for json in ["1", "1.5", "true", "[]", "{}"] {
            assert_eq!(amount(json, false), Err("not_string"), "{json}");
        }
        for json in ["\"\"", "\"-1\"", "\"1e3\"", "\"0\"", "\"0.00\"", "\"01\"", "\" 1\"", "\"99999999999\""]
        {
            assert_eq!(amount(json, false), Err("invalid"), "{json}");
        }
        assert_eq!(amount("\"-0\"", true), Err("invalid"));
        assert_eq!(amount("\"9000000000.1\"", false), Err("range"));
    }

    #[test]
    fn a_usage_has_one_spelling() {
        let read = |json: &str| {
            let body = format!("{{\"usage\":{json}}}");
            let mut object = Object::parse(body.as_bytes()).unwrap();
            let quantities = object.usage("usage");
            object.finish().map(|()| quantities.unwrap()).map_err(|_| ())
        };
        let one = read(r#"{"b":1.50,"a":1e3,"\u0063":0.0}"#);
        assert_eq!(one.as_deref(), Ok(r#"{"a":1000,"b":1.5,"c":0}"#));
        assert_eq!(read(r#"{ "c" : 0, "a":1000.0, "b":15e-1 }"#), one);
        assert_eq!(read("{}").as_deref(), Ok("{}"));
        let texts = read(r#"{"size":"\u0037\/20P","n":"","a":"\"大\""}"#);
        assert_eq!(texts.as_deref(), Ok(r#"{"a":"\"大\"","n":"","size":"7/20P"}"#));
        let long = |count: usize| read(&format!(r#"{{"a":"{}"}}"#, "大".repeat(count)));
        assert_eq!((long(128).is_ok(), long(129)), (true, Err(())));
        let many = |texts: usize| {
            let members: Vec<_> = (0..texts).map(|n| format!(r#""{n:062}":"{}""#, "x".repeat(61))).collect();
            read(&format!("{{{}}}", members.join(",")))
        };
        // Each takes 129 bytes with its comma, and the braces two.
        assert_eq!((many(31).map(|text| text.len()), many(32)), (Ok(31 * 129 + 1), Err(())));
        for wrong in [
            r#"{"a":-1}"#,
            r#"{"a":true}"#,
            r#"{"a":"\u0007"}"#,
            r#"{"a":null}"#,
            r#"{"":1}"#,
            r#"{"a":1e13}"#,
            "[]",
            "1",
            r#"{"a":{}}"#,
        ] {
            assert_eq!(read(wrong), Err(()), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Object::parse(&body);
        }

        #[test]
        fn what_serde_json_takes_as_an_object_is_taken(
            members in proptest::collection::btree_map(".*", ".*", 0..8)
        ) {
            let body = serde_json::to_vec(&members).unwrap();
            let object = Object::parse(&body).unwrap();
            prop_assert_eq!(object.members.len(), members.len());
        }
    }
}
