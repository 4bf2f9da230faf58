use super::source::SourceError;
use crate::model::Entity;
use crate::store;

/// Why a run did not mirror everything there was.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// Nothing is configured to pull from, or what is configured is not built yet.
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
