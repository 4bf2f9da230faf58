//! Where pages come from. A page is rows and a position to go on from; whether HTTP or a database
//! gave it, the runner does not know.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::model::{Entity, TextId};
use crate::store::{Change, Partial, Quarantined};

/// A place to mirror from.
pub trait Source: Send + Sync + 'static {
    /// The changes after a position, oldest first.
    fn changes<'a>(
        &'a self,
        entity: Entity,
        from: &'a Position,
    ) -> BoxFuture<'a, Result<FeedPage, SourceError>>;

    /// The rows of at most [`MAX_IDS`] ids as they are now; one that is gone comes as a deletion.
    fn rows<'a>(&'a self, entity: Entity, ids: &'a [String]) -> BoxFuture<'a, Result<FeedPage, SourceError>>;
}

/// The most ids that one pull may name.
pub const MAX_IDS: usize = 100;

/// Where a page starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// What the page before gave as `next`; `None` from the beginning.
    pub cursor: Option<String>,
    /// Whether everything that is there is wanted, and not only what changed.
    pub snapshot: bool,
    /// The most rows wanted.
    pub limit: u32,
}

/// A page, parsed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FeedPage {
    /// What to apply, in the feed's order.
    pub changes: Vec<Change>,
    /// What could not be understood.
    pub quarantined: Vec<Quarantined>,
    /// What could be read of it nevertheless.
    pub partial: Vec<Partial>,
    /// Price lists that were read, but that no charge can be priced by.
    pub flaws: Vec<Flaw>,
    /// Where the next page starts. `None` where the source names no place.
    pub next: Option<String>,
    /// Whether there is a next page already.
    pub has_more: bool,
}

/// A price list that was read, but that no charge can be priced by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// Its row.
    pub id: TextId,
    /// The row's version.
    pub version: i64,
    /// What is wrong with it.
    pub reason: String,
}

/// Why no page came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// Of what kind the failure is.
    pub class: Failure,
    /// What failed, for an operator's eyes. No secrets.
    pub message: String,
    /// How long the source asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl SourceError {
    /// A failure of a kind, with its cause in words.
    pub fn new(class: Failure, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), retry_after: None }
    }
}

/// Kinds of failure, as metrics and /health name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The source no longer knows the position: only a snapshot helps.
    CursorExpired,
    /// No whole answer in time.
    Timeout,
    /// No connection: refused, unreachable, unknown name.
    Connect,
    /// No trusted connection.
    Tls,
    /// The connection broke during the answer, or what came was no HTTP.
    Broken,
    /// Our key was refused.
    Unauthorized,
    /// Another refusal of the request.
    Status4xx,
    /// The platform is in trouble.
    Status5xx,
    /// An answer that leads elsewhere; it is not followed.
    Redirect,
    /// An answer of another status or type than a page has.
    WrongContent,
    /// An answer beyond the bound.
    TooLarge,
    /// A page that cannot be read as one.
    Malformed,
}

impl Failure {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CursorExpired => "cursor_expired",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Broken => "broken",
            Self::Unauthorized => "unauthorized",
            Self::Status4xx => "status_4xx",
            Self::Status5xx => "status_5xx",
            Self::Redirect => "redirect",
            Self::WrongContent => "wrong_content",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
        }
    }
}
