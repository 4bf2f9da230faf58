//! What is printed, and how.

use std::io::{IsTerminal as _, Write as _};

use serde_json::Value;

use crate::credentials::Credentials;
use crate::curl::Answer;
use crate::place::Place;

/// Lines of answers are broken here.
const WIDTH: usize = 100;
/// Texts longer than this are cut.
const LONG_TEXT: usize = 60;
/// Objects within so many others are only hinted at.
const DEEP: usize = 4;

/// Prints a line. A reader that has gone changes nothing.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Says what is wrong.
pub fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "make run: {line}");
}

/// Shows how far something long has come: in one line of a terminal, else only its end.
pub fn progress(line: &str, done: bool) {
    let mut out = std::io::stdout();
    if out.is_terminal() {
        let end = if done { "\n" } else { "" };
        let _ = write!(out, "\r\x1b[K{line}{end}");
        let _ = out.flush();
    } else if done {
        say(line);
    }
}

/// Prints an answer: status, the headers that matter, the body in short.
pub fn answer(answer: &Answer) {
    let mut head = answer.status.to_string();
    for name in ["location", "etag", "idempotency-replayed"] {
        let value = answer.header(name);
        if !value.is_empty() {
            head += &format!("   {name}: {value}");
        }
    }
    say(&head);
    say(&brief(&answer.body));
}

/// JSON in few lines: long texts are cut, deep objects are hinted at.
pub fn brief(value: &Value) -> String {
    let mut pieces = Vec::new();
    collect(value, 0, String::new(), &mut pieces);
    let (mut text, mut column) = (String::new(), 0);
    for piece in &pieces {
        let width = piece.chars().count();
        if column > 0 && column + 1 + width > WIDTH {
            text += "\n  ";
            column = 2;
        } else if column > 0 {
            text.push(' ');
            column += 1;
        }
        text += piece;
        column += width;
    }
    text
}

/// Splits a value into pieces that stay on one line each; `before` stands in front of the first one.
fn collect(value: &Value, depth: usize, before: String, pieces: &mut Vec<String>) {
    let (open, close, members): (_, _, Vec<(String, &Value)>) = match value {
        Value::Object(object) if !object.is_empty() => {
            ("{", "}", object.iter().map(|(name, value)| (format!("\"{name}\": "), value)).collect())
        }
        Value::Array(array) if !array.is_empty() => {
            ("[", "]", array.iter().map(|v| (String::new(), v)).collect())
        }
        plain => return pieces.push(before + &short(plain)),
    };
    if depth >= DEEP {
        return pieces.push(format!("{before}{open}...{close}"));
    }
    let (first, last) = (pieces.len(), members.len() - 1);
    for (nth, (name, member)) in members.into_iter().enumerate() {
        collect(member, depth + 1, name, pieces);
        if let Some(piece) = pieces.last_mut() {
            piece.push_str(if nth == last { close } else { "," });
        }
    }
    if let Some(piece) = pieces.get_mut(first) {
        piece.insert_str(0, &format!("{before}{open}"));
    }
}

fn short(value: &Value) -> String {
    match value {
        Value::String(text) if text.chars().count() > LONG_TEXT => {
            let start: String = text.chars().take(LONG_TEXT).collect();
            Value::String(start + "...").to_string()
        }
        other => other.to_string(),
    }
}

/// What listens where, and what to use it with.
pub fn summary(place: &Place, keys: &Credentials) {
    let folder = place.folder.display();
    say("\n== What is up ==");
    say(&format!("REST API            {}   (openapi.json and health need no key)", place.api("/")));
    say(&format!("probes and metrics  {}   also /livez /readyz /health", place.admin("/metrics")));
    say(&format!("simulated platform  http://127.0.0.1:{}   the feed that is mirrored", place.feed));
    say(&format!("its commands        {}   change, delete, add, event, fault", place.control("/world")));
    say(&format!("files               {folder}/: config.yaml, sageapi.db, server.log, upstream.log"));
    say("keys                for this demo only; the secrets are also in files beside the database");
    for (name, key) in keys.all() {
        say(&format!("  {name:<16}  {}  {}", key.key_id, key.secret));
    }
    let server = place.server.display();
    say(&format!("more                {server} --config {folder}/config.yaml customer show org_demo_0001"));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_short_answer_is_one_line_of_json() {
        let value = json!({"status": "ok", "data": {"rows": [], "n": 1, "list": [1, 2]}});
        let text = brief(&value);
        assert_eq!(text, r#"{"status": "ok", "data": {"rows": [], "n": 1, "list": [1, 2]}}"#);
    }

    #[test]
    fn a_long_answer_is_broken_between_members_and_stays_json() {
        let row = json!({"name": "x".repeat(40), "other": "y".repeat(40), "third": "z".repeat(40)});
        let text = brief(&row);
        assert!(text.lines().count() > 1 && text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), row);
    }

    #[test]
    fn deep_and_long_parts_are_hinted_at() {
        let text = brief(&json!({"a": {"b": {"c": {"d": {"e": 1}}}}, "t": "x".repeat(70)}));
        let shown = r#"{"a": {"b": {"c": {"d": {...}}}}, "t": "LONG..."}"#;
        assert_eq!(text.replace("\n  ", " "), shown.replace("LONG", &"x".repeat(LONG_TEXT)));
    }
}
