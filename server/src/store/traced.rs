//! Statements as spans: which of them took how long, by OpenTelemetry's conventions for databases. Their values are
//! never told.
//! Source: <https://opentelemetry.io/docs/specs/semconv/database/database-spans/>.

use std::borrow::Cow;

use futures_util::future::BoxFuture;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::{Dialect, Error};
use crate::telemetry::tracing::{child_span, mark_failed};

/// The longest text of a statement that is told; what is longer repeats itself.
const TEXT: usize = 1024;

/// A statement: what it does and to which table, and its text without values.
pub(super) fn statement(dialect: Dialect, text: &str) -> Span {
    child_span!(
        "statement",
        "otel.name" = %summary(text),
        "otel.kind" = "client",
        "db.system.name" = dialect.as_str(),
        "db.operation.name" = operation(text),
        "db.collection.name" = collection(text),
        "db.query.summary" = %summary(text),
        "db.query.text" = shown(text),
        "db.response.status_code" = Empty,
        "error.type" = Empty,
        "otel.status_code" = Empty,
    )
}

/// Several statements that are sent together.
pub(super) fn batch(dialect: Dialect, size: usize) -> Span {
    child_span!(
        "statements",
        "otel.name" = "BATCH",
        "otel.kind" = "client",
        "db.system.name" = dialect.as_str(),
        "db.operation.name" = "BATCH",
        "db.operation.batch.size" = size,
        "db.response.status_code" = Empty,
        "error.type" = Empty,
        "otel.status_code" = Empty,
    )
}

/// Runs within a span, which notes a failure. In a box: the types of futures that programs make of ours would else be
/// nested more deeply than the compiler follows.
pub(super) async fn run<T>(span: Span, running: BoxFuture<'_, Result<T, Error>>) -> Result<T, Error> {
    let result = running.instrument(span.clone()).await;
    result.inspect_err(|error| note(&span, error))
}

/// Notes how it failed.
pub(super) fn note(span: &Span, error: &Error) {
    if span.is_none() {
        return;
    }
    if let Some(code) = error.database_code() {
        span.record("db.response.status_code", &*code);
    }
    mark_failed(span, error.class());
}

impl Error {
    /// The database's own code, if it answered with one.
    fn database_code(&self) -> Option<Cow<'_, str>> {
        match self.cause()? {
            sqlx::Error::Database(error) => error.code(),
            _ => None,
        }
    }

    fn class(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Contended(_) => "contended",
            Self::Locked(_) => "locked",
            Self::Duplicate(_) => "duplicate",
            _ => "refused",
        }
    }

    fn cause(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Unavailable(e)
            | Self::Contended(e)
            | Self::Locked(e)
            | Self::Duplicate(e)
            | Self::Refused(e) => Some(e),
            _ => None,
        }
    }
}

fn operation(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default().trim_end_matches(';')
}

/// The table that comes first.
fn collection(text: &str) -> Option<&str> {
    let mut words = text.split_whitespace();
    let table = match words.next()? {
        "SELECT" | "DELETE" | "WITH" => words.skip_while(|word| *word != "FROM").nth(1)?,
        "INSERT" | "REPLACE" => words.skip_while(|word| *word != "INTO").nth(1)?,
        "UPDATE" => words.find(|word| !matches!(*word, "OR" | "IGNORE"))?,
        _ => return None,
    };
    let table = table.split(['(', ',', ';', ')']).next().unwrap_or_default();
    (!table.is_empty()).then_some(table)
}

fn summary(text: &str) -> Cow<'_, str> {
    match collection(text) {
        Some(table) => Cow::Owned(format!("{} {table}", operation(text))),
        None => Cow::Borrowed(operation(text)),
    }
}

fn shown(text: &str) -> &str {
    if text.len() <= TEXT { text } else { text.get(..TEXT).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_named_by_what_it_does_and_to_which_table() {
        for (text, expected) in [
            ("SELECT a, b FROM customer_balance WHERE customer_id = ?", "SELECT customer_balance"),
            ("INSERT INTO accounting_records (id) VALUES (?)", "INSERT accounting_records"),
            ("INSERT OR IGNORE INTO nonces(a) VALUES (?)", "INSERT nonces"),
            ("UPDATE holds SET status = ?", "UPDATE holds"),
            ("DELETE FROM nonces WHERE nonce_hash IN (?)", "DELETE nonces"),
            ("SELECT UTC_TIMESTAMP(6)", "SELECT"),
            ("BEGIN IMMEDIATE", "BEGIN"),
            ("COMMIT", "COMMIT"),
            ("", ""),
        ] {
            assert_eq!(summary(text), expected);
        }
    }
}
