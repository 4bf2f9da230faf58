//! The value of `@query-param` (RFC 9421 section 2.2.8): one named parameter of a form-encoded query.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use super::error::AuthError;

/// The URL standard's form-urlencoded set; a space becomes `%20`.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');

/// Appends the re-encoded value of the parameter whose encoded name is `name`. It must be there exactly once.
pub(super) fn write_value(query: &str, name: &str, out: &mut Vec<u8>) -> Result<(), AuthError> {
    let mut matches = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(key, _)| reencode(key) == name);
    match (matches.next(), matches.next()) {
        (Some((_, value)), None) => {
            out.extend_from_slice(reencode(value).as_bytes());
            Ok(())
        }
        (None, _) => Err(AuthError::malformed("a covered @query-param is not in the query")),
        (Some(_), Some(_)) => {
            Err(AuthError::malformed("a covered @query-param is in the query twice; cover @query instead"))
        }
    }
}

fn reencode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode(spaced.as_bytes()).decode_utf8_lossy();
    utf8_percent_encode(&decoded, FORM).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &str = "var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace\
        &fa%C3%A7ade%22%3A%20=something&flag&twice=1&twice=2";

    fn value(name: &str) -> Result<String, AuthError> {
        let mut out = Vec::new();
        write_value(QUERY, name, &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn values_are_those_of_the_rfc_examples() {
        assert_eq!(value("var").unwrap(), "this%20is%20a%20big%0Amultiline%20value");
        assert_eq!(value("bar").unwrap(), "with%20plus%20whitespace");
        assert_eq!(value("fa%C3%A7ade%22%3A%20").unwrap(), "something");
        assert_eq!(value("flag").unwrap(), "");
    }

    #[test]
    fn a_parameter_that_is_absent_or_there_twice_cannot_be_covered() {
        assert!(matches!(value("other"), Err(AuthError::Malformed(_))));
        assert!(matches!(value("twice"), Err(AuthError::Malformed(_))));
    }
}
