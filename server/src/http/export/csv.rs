//! The cells of a CSV line (RFC 4180).

use std::fmt::Display;
use std::io::Write as _;

/// The cells after the first one of a line. An absent value is an empty cell.
pub struct Line<'a>(pub &'a mut Vec<u8>);

impl Line<'_> {
    /// Values of our own making: numbers, times, ids and names that need no quotes.
    pub fn plain(&mut self, value: Option<impl Display>) -> &mut Self {
        self.0.push(b',');
        if let Some(value) = value {
            // Writing to memory cannot fail.
            let _infallible = write!(self.0, "{value}");
        }
        self
    }

    /// A text from a caller. A spreadsheet would run one that begins like a formula, so that gets an apostrophe in
    /// front.
    pub fn text(&mut self, text: Option<&str>) -> &mut Self {
        self.0.push(b',');
        let Some(text) = text else { return self };
        let formula = begins_like_a_formula(text);
        let quoted = text.contains(['"', ',', '\r', '\n']);
        if quoted {
            self.0.push(b'"');
        }
        if formula {
            self.0.push(b'\'');
        }
        for byte in text.bytes() {
            if byte == b'"' {
                self.0.push(b'"');
            }
            self.0.push(byte);
        }
        if quoted {
            self.0.push(b'"');
        }
        self
    }
}

/// Whether a text begins with one of the characters that OWASP lists under CSV injection. Spreadsheets skip white
/// space and what cannot be seen, and in East Asian settings take full-width signs for the ASCII ones.
fn begins_like_a_formula(text: &str) -> bool {
    const SIGNS: [char; 8] = ['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
    let skipped = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\u{200b}' | '\u{feff}');
    text.starts_with(['\t', '\r', '\n']) || text.trim_start_matches(skipped).starts_with(SIGNS)
}
