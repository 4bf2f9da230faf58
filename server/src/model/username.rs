use std::fmt;
use std::sync::Arc;

use unicode_normalization::UnicodeNormalization as _;

/// The most characters of a username, after folding.
const MAX_CHARS: usize = 64;
/// The most bytes that are looked at: folding takes time.
const MAX_BYTES: usize = 1024;

/// A username, folded: names that differ by case, width or composition alone are one name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Username(Arc<str>);

/// Why a text is no username.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to 64 characters, without spaces, control characters and invisible characters")]
pub struct UsernameError;

impl Username {
    /// Folds a name: NFKC, then full case folding (Unicode 3.13, D146), until that changes nothing more.
    pub fn parse(text: &str) -> Result<Self, UsernameError> {
        if text.len() > MAX_BYTES {
            return Err(UsernameError);
        }
        let folded = fold(&fold(text));
        let count = folded.chars().count();
        let fits =
            (1..=MAX_CHARS).contains(&count) && !folded.chars().any(is_hidden) && fold(&folded) == folded;
        if fits { Ok(Self(folded.into())) } else { Err(UsernameError) }
    }

    /// The folded name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn fold(text: &str) -> String {
    let composed: String = text.nfkc().collect();
    caseless::default_case_fold_str(&composed).nfkc().collect()
}

/// Characters that cannot be seen, so that two names would look alike.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || c.is_whitespace()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffd}'
            | '\u{e0000}'..='\u{e0fff}')
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl serde::Serialize for Username {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_by_case_width_or_composition_are_one() {
        let folded = |text: &str| Username::parse(text).unwrap().to_string();
        for (text, name) in [
            ("Ann", "ann"),
            ("\u{ff21}nn", "ann"),
            ("Jose\u{301}", "jos\u{e9}"),
            ("STRASSE", "strasse"),
            ("stra\u{df}e", "strasse"),
            ("\u{fb03}", "ffi"),
            ("\u{2126}mega", "\u{3c9}mega"),
        ] {
            assert_eq!(folded(text), name, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_no_name() {
        for text in [
            "",
            " ",
            "a b",
            "a\0",
            "a\n",
            "a\u{200b}b",
            "\u{202e}a",
            "a\u{a0}b",
            &"x".repeat(65),
            &"x".repeat(2000),
        ] {
            assert_eq!(Username::parse(text), Err(UsernameError), "{text:?}");
        }
        assert!(Username::parse(&"\u{fb03}".repeat(22)).is_err(), "66 characters when folded");
        assert!(Username::parse(&"x".repeat(64)).is_ok());
    }
}
