//! `/docs`: one page that shows openapi.json, and needs nothing from elsewhere.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderValue;
use sha2::{Digest as _, Sha256};

use super::respond::Answer;

const PAGE: &str = include_str!("docs.html");

/// The page, with a policy under which its own script and style run, and nothing else.
pub fn answer() -> Answer {
    static POLICY: LazyLock<Option<HeaderValue>> = LazyLock::new(|| HeaderValue::try_from(policy()).ok());
    Answer::page(Bytes::from_static(PAGE.as_bytes()), POLICY.clone())
}

fn policy() -> String {
    let (script, style) = (hash_of("script"), hash_of("style"));
    format!(
        "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// Of the text of the page's one element of this name.
fn hash_of(element: &str) -> String {
    let (begin, end) = (format!("<{element}>"), format!("</{element}>"));
    let text = PAGE.split_once(&begin).and_then(|(_, rest)| rest.split_once(&end)).map(|(text, _)| text);
    STANDARD.encode(Sha256::digest(text.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_holds_one_script_and_one_style_and_names_nothing_elsewhere() {
        for element in ["script", "style"] {
            assert_eq!(PAGE.matches(&format!("<{element}")).count(), 1, "{element}");
            assert_ne!(hash_of(element), STANDARD.encode(Sha256::digest("")), "{element}");
        }
        for elsewhere in ["://", "src=", "@import", "url(", "innerHTML"] {
            assert!(!PAGE.contains(elsewhere), "{elsewhere}");
        }
    }
}
