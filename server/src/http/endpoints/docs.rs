//! The description of the interface: `openapi.json`, and `/docs`, a page that shows it and loads nothing from
//! elsewhere.

use std::future::ready;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use schemars::json_schema;
use sha2::{Digest as _, Sha256};

use crate::http::openapi;
use crate::http::respond::{Answer, EntityTag};
use crate::http::routes::{Access, Payload, Route, Verb};
use crate::http::tag::Tag;

pub const ROUTES: &[Route] = &[
    Route {
        id: "getOpenApi",
        path: "/api/v1/openapi.json",
        tag: Tag::Service,
        access: Access::Open,
        answer: Payload::Bare(|_| json_schema!({ "type": "object" })),
        summary: "This description of the interface.",
        ..Route::new(Verb::Get, |_| Box::pin(ready(Ok(openapi_json()))))
    },
    Route {
        id: "getDocs",
        path: "/docs",
        tag: Tag::Service,
        access: Access::Open,
        answer: Payload::Page,
        summary: "openapi.json as a page for people.",
        ..Route::new(Verb::Get, |_| Box::pin(ready(Ok(page()))))
    },
];

const PAGE: &str = include_str!("docs.html");

fn openapi_json() -> Answer {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| openapi::document().into());
    Answer::bare(StatusCode::OK, DOCUMENT.clone(), EntityTag::Body)
}

/// The page, with a policy under which its own script and style run, and nothing else.
fn page() -> Answer {
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
