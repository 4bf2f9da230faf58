//! What arrived, for a message about it: short, and without characters that could be taken for something else.

/// Characters of a value that a message shows.
const MAX_SHOWN: usize = 40;

/// A text in quotes, escaped and cut.
pub fn shown(text: &str) -> String {
    format!("\"{}\"", cut(text, |c| c.is_control() || matches!(c, '"' | '\\') || is_invisible(c)))
}

/// A JSON value as it stands there, escaped and cut.
pub fn shown_json(json: &str) -> String {
    match serde_json::from_str::<String>(json) {
        Ok(text) => shown(&text),
        Err(_) => cut(json, |c| c.is_control() || is_invisible(c)),
    }
}

/// Marks that change what is seen of the text around them.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn cut(text: &str, escaped: impl Fn(char) -> bool) -> String {
    let mut shown = String::new();
    for c in text.chars().take(MAX_SHOWN) {
        if escaped(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    if text.chars().nth(MAX_SHOWN).is_some() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_quoted_escaped_and_cut() {
        assert_eq!(shown("2026-01-01T00:00:00 08:00"), r#""2026-01-01T00:00:00 08:00""#);
        assert_eq!(shown("a\"b\\\n余\u{202e}"), r#""a\"b\\\n余\u{202e}""#);
        assert_eq!(shown(&"x".repeat(41)), format!("\"{}...\"", "x".repeat(40)));
        assert_eq!(shown(""), r#""""#);
    }

    #[test]
    fn json_is_shown_as_it_stands_there() {
        assert_eq!(shown_json(r#""a\u0000""#), r#""a\u{0}""#);
        assert_eq!(shown_json("1200.5"), "1200.5");
        assert_eq!(shown_json("{\"a\":\n1}"), r#"{"a":\n1}"#);
        assert_eq!(shown_json(&"[".repeat(50)), format!("{}...", "[".repeat(40)));
    }
}
