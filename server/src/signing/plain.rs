//! Signature headers in the form that nearly every client sends: one signature, serialized strictly, of plain
//! components and our parameters. It is read in place, for what is already strict needs no serializing. Everything else
//! yields `None` here and is left to the structured-field parser, which alone reports errors.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};

use super::component::Component;
use super::input::{ALG, Announced, Covered, MAX_COMPONENTS};
use super::{SIGNATURE, SIGNATURE_INPUT, TAG};

/// Lines that are longer, in bytes, are left to the parser and its bounds.
const MAX_BYTES: usize = 1024;
/// Characters of an HMAC-SHA256 in base64.
const ENCODED: usize = 44;
/// Digits of an integer at most (RFC 9651 section 3.3.1).
const MAX_DIGITS: usize = 15;

/// The one signature that `Signature-Input` announces.
pub(super) fn announced(headers: &HeaderMap) -> Option<Announced<'_>> {
    let (label, params) = label_of(lone_line(headers, SIGNATURE_INPUT)?)?;
    let mut signature = Announced { label, params: Cow::Borrowed(params), ..Announced::default() };
    let mut rest = params.strip_prefix('(')?;
    signature.covered.reserve(6);
    loop {
        let start = params.len() - rest.len();
        let (id, after) = string(rest)?;
        let component = Component::new(Cow::Borrowed(id), None).ok()?;
        let known = signature.covered.iter().any(|other| other.component == component);
        if known || signature.covered.len() == MAX_COMPONENTS {
            return None;
        }
        signature.covered.push(Covered { component, id: start..params.len() - after.len() });
        rest = after.strip_prefix([' ', ')'])?;
        if after.starts_with(')') {
            break;
        }
    }
    let mut alg = None;
    while let Some(parameter) = rest.strip_prefix(';') {
        let (key, value) = parameter.split_once('=')?;
        rest = match key {
            "created" => integer(&mut signature.created, value)?,
            "expires" => integer(&mut signature.expires, value)?,
            "nonce" => text(&mut signature.nonce, value)?,
            "keyid" => text(&mut signature.key_id, value)?,
            "tag" => text(&mut signature.tag, value)?,
            "alg" => text(&mut alg, value)?,
            _ => return None,
        };
    }
    let ours = |given: &Option<Cow<'_, str>>, only: &str| given.as_deref().is_none_or(|text| text == only);
    (rest.is_empty() && ours(&signature.tag, TAG) && ours(&alg, ALG)).then_some(signature)
}

/// The bytes of the one member of `Signature`, if that is its label.
pub(super) fn signature(headers: &HeaderMap, label: &str) -> Option<Vec<u8>> {
    let (own, value) = label_of(lone_line(headers, SIGNATURE)?)?;
    let encoded = value.strip_prefix(':')?.strip_suffix(':')?;
    if own != label || encoded.len() != ENCODED {
        return None;
    }
    STANDARD.decode(encoded).ok()
}

fn lone_line<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next().filter(|line| lines.next().is_none() && line.len() <= MAX_BYTES);
    line.map(HeaderValue::to_str)?.ok()
}

/// Splits `label=...`.
fn label_of(line: &str) -> Option<(&str, &str)> {
    let (label, value) = line.split_once('=')?;
    let begins = label.starts_with(|c: char| c.is_ascii_lowercase() || c == '*');
    let goes_on = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.*".contains(&b);
    (begins && label.bytes().all(goes_on)).then_some((label, value))
}

/// A quoted string without escapes, and what follows it. A header that is text holds nothing but `[ -~]` and tabs.
fn string(input: &str) -> Option<(&str, &str)> {
    let (text, rest) = input.strip_prefix('"')?.split_once('"')?;
    (!text.contains(['\\', '\t'])).then_some((text, rest))
}

fn text<'a>(slot: &mut Option<Cow<'a, str>>, value: &'a str) -> Option<&'a str> {
    let (text, rest) = string(value)?;
    slot.replace(Cow::Borrowed(text)).is_none().then_some(rest)
}

fn integer<'a>(slot: &mut Option<i64>, value: &'a str) -> Option<&'a str> {
    let length = value.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = value.split_at(length);
    if length > MAX_DIGITS || (length > 1 && digits.starts_with('0')) {
        return None;
    }
    slot.replace(digits.parse().ok()?).is_none().then_some(rest)
}
