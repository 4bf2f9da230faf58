//! Header fields that are structured dictionaries: size bound, and byte sequences picked by key.

use std::convert::Infallible;

use http::{HeaderMap, HeaderValue};
use sfv::visitor::{
    DictionaryVisitor, EntryVisitor, Ignored, InnerListVisitor, ItemVisitor, ParameterVisitor,
};
use sfv::{BareItemFromInput, KeyRef, Parser};

use super::error::AuthError;

/// Upper bound of all lines of one signature header together, in bytes.
const MAX_BYTES: usize = 8192;

/// The lines of a header, refused when they are longer than any honest client needs.
fn bounded_lines<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
) -> Result<impl Iterator<Item = &'a HeaderValue>, AuthError> {
    let lines = headers.get_all(name);
    if lines.iter().map(HeaderValue::len).sum::<usize>() > MAX_BYTES {
        return Err(AuthError::malformed(format!("{name} is longer than {MAX_BYTES} bytes")));
    }
    Ok(lines.into_iter())
}

/// Reads every line of a dictionary header into `visitor`.
pub(super) fn visit_lines<'a, V>(
    headers: &'a HeaderMap,
    name: &'static str,
    visitor: &mut V,
) -> Result<(), AuthError>
where
    for<'v> &'v mut V: DictionaryVisitor<'a>,
{
    for line in bounded_lines(headers, name)? {
        Parser::new(line)
            .parse_dictionary_with_visitor(&mut *visitor)
            .map_err(|_| AuthError::malformed(format!("{name} is not a structured dictionary (RFC 9651)")))?;
    }
    Ok(())
}

/// The byte sequences that a dictionary header holds under the wanted keys; other members are skipped.
pub(super) fn byte_sequences<const N: usize>(
    headers: &HeaderMap,
    name: &'static str,
    wanted: [&str; N],
) -> Result<[Option<Vec<u8>>; N], AuthError> {
    let mut picked = Picked { wanted, found: [const { None }; N], problem: None };
    visit_lines(headers, name, &mut picked)?;
    match picked.problem {
        Some(problem) => Err(AuthError::malformed(format!("{name}: {problem}"))),
        None => Ok(picked.found),
    }
}

struct Picked<'w, const N: usize> {
    wanted: [&'w str; N],
    found: [Option<Vec<u8>>; N],
    problem: Option<&'static str>,
}

struct Slot<'p> {
    value: &'p mut Option<Vec<u8>>,
    problem: &'p mut Option<&'static str>,
}

const NOT_BYTES: &str = "a value is not a byte sequence, `:base64:`";

impl<'de, const N: usize> DictionaryVisitor<'de> for &mut Picked<'_, N> {
    type Out = ();
    type Error = Infallible;

    fn entry(&mut self, key: &'de KeyRef) -> Result<impl EntryVisitor<'de>, Infallible> {
        let index = self.wanted.iter().position(|wanted| *wanted == key.as_str());
        let Picked { found, problem, .. } = &mut **self;
        Ok(index.and_then(|index| found.get_mut(index)).map(|value| Slot { value, problem }))
    }

    fn finish(self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl<'de> EntryVisitor<'de> for Slot<'_> {
    type Error = Infallible;

    fn item(self) -> Result<impl ItemVisitor<'de>, Infallible> {
        Ok(self)
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'de>, Infallible> {
        *self.problem = Some(NOT_BYTES);
        Ok(Ignored)
    }
}

impl<'de> ItemVisitor<'de> for Slot<'_> {
    type Out = ();
    type Error = Infallible;

    fn bare_item(
        self,
        item: BareItemFromInput<'de>,
    ) -> Result<impl ParameterVisitor<'de, Out = ()>, Infallible> {
        match item {
            // The RFC lets the last one win; two values for one key are refused here, since no client means
            // that.
            BareItemFromInput::ByteSequence(_) if self.value.is_some() => {
                *self.problem = Some("a key is there twice");
            }
            BareItemFromInput::ByteSequence(bytes) => *self.value = Some(bytes),
            _ => *self.problem = Some(NOT_BYTES),
        }
        Ok(Ignored)
    }
}
