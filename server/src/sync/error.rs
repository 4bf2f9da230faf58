use std::time::Duration;

use super::source::SourceError;
use crate::model::Entity;
use crate::store;

/// Why a run did not mirror everything there was.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// Nothing is configured to pull from, or what is configured is not implemented yet.
    #[error("nothing can be pulled: {0}")]
    Unconfigured(&'static str),
    /// The configuration cannot be put to use.
    #[error("{key}: {reason}")]
    Configuration {
        /// The key's path.
        key: &'static str,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// This process is mirroring the entity already.
    #[error("a run of {0} is under way in this process")]
    Overlap(Entity),
    /// Another instance is mirroring the entity.
    #[error("another instance is mirroring {0} now; try again when it is done")]
    Held(Entity),
    /// The upstream gave no page.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The upstream says again and again that there is more.
    #[error("after {0} pages in one run the upstream still had more; the next run goes on from there")]
    Endless(u64),
    /// The store could not take a page.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The process is ending.
    #[error("stopped before the end; the next run goes on from there")]
    Stopped,
}

impl SyncError {
    /// How long the source asks to be left alone.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Source(error) => error.retry_after,
            _ => None,
        }
    }

    /// The stable word for metrics, /health and `sync_state.error_class`.
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Unconfigured(_) => "unconfigured",
            Self::Configuration { .. } => "configuration",
            Self::Overlap(_) | Self::Held(_) => "skipped",
            Self::Source(error) => error.class.as_str(),
            Self::Endless(_) => "endless",
            Self::Store(store::Error::LeaseLost) => "lease_lost",
            Self::Store(store::Error::SweepRefused { .. }) => "sweep_refused",
            Self::Store(store::Error::Unavailable(_)) => "store_unavailable",
            Self::Store(_) => "store",
            Self::Stopped => "stopped",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::metrics::SYNC_RESULTS;
    use super::super::source::Failure;
    use super::*;

    #[test]
    fn every_class_that_a_run_can_end_with_is_counted_from_the_start() {
        let source = |class| SyncError::Source(SourceError::new(class, ""));
        let failures = [
            Failure::CursorExpired,
            Failure::Timeout,
            Failure::Connect,
            Failure::Tls,
            Failure::Broken,
            Failure::Unauthorized,
            Failure::Status4xx,
            Failure::Status5xx,
            Failure::Redirect,
            Failure::WrongContent,
            Failure::TooLarge,
            Failure::Malformed,
        ];
        let others = [
            SyncError::Overlap(Entity::Users),
            SyncError::Held(Entity::Users),
            SyncError::Endless(1),
            SyncError::Store(store::Error::LeaseLost),
            SyncError::Store(store::Error::SweepRefused { gone: 1, total: 1 }),
            SyncError::Store(store::Error::Sealed("")),
        ];
        for error in failures.map(source).into_iter().chain(others) {
            assert!(SYNC_RESULTS.contains(&error.class()), "{}", error.class());
        }
        // The database's own errors cannot be made here.
        assert!(SYNC_RESULTS.contains(&"store_unavailable"));
    }
}
