//! Why an instance cannot be opened.

use std::path::PathBuf;

use sageapi_contract::{ExitCode, Verdict};

use crate::store::{KeyringError, MigrateError, SchemaState};
use crate::sync::SyncError;

/// Why an instance could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No encryption key, and none could be made.
    #[error("auth.encryption_key is required with a MySQL database; make one with: openssl rand -base64 32")]
    NoEncryptionKey,
    /// A command on an embedded database that is not there.
    #[error("{0}: there is no database; name it in database.url, or make it with: sageapi-server migrate")]
    NoDatabase(PathBuf),
    /// An embedded database whose encryption key is not beside it.
    #[error("{0}: the database's encryption key is not there; bring it back, or set auth.encryption_key")]
    NoKeyFile(PathBuf),
    /// An encryption key is malformed.
    #[error("auth.encryption_key: {0}")]
    Keyring(#[from] KeyringError),
    /// A file beside the embedded database.
    #[error("{path}: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What went wrong.
        error: std::io::Error,
    },
    /// Another process serves the embedded database.
    #[error("{0} is held by another serving process; an embedded database has one")]
    Locked(PathBuf),
    /// A command by another name of the embedded database than that of its server.
    #[error(
        "{0} is served under another name (a hard link, or a mount of the file alone); use the name that the server \
         uses: SQLite's log is beside that one"
    )]
    OtherName(PathBuf),
    /// The thread of the booking engine.
    #[error("the booking engine's thread cannot start: {0}")]
    Thread(std::io::Error),
    /// Usage is counted by days of another time zone.
    #[error(
        "usage.timezone is {configured}, but the usage recorded so far is counted by days of {stored}; configure that one"
    )]
    UsageTimeZone {
        /// As configured.
        configured: String,
        /// Of the days in the database.
        stored: String,
    },
    /// The settings of the mirror.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// The database.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// The migration.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// The schema does not fit.
    #[error("the database cannot be used: {}", .0.obstacle())]
    Schema(Box<SchemaState>),
}

impl OpenError {
    /// What a command that meets it exits with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Schema(state) if state.verdict == Verdict::Forward => ExitCode::Unavailable,
            Self::NoEncryptionKey
            | Self::NoDatabase(_)
            | Self::NoKeyFile(_)
            | Self::OtherName(_)
            | Self::UsageTimeZone { .. }
            | Self::Keyring(_)
            | Self::Sync(_)
            | Self::Schema(_)
            | Self::Migrate(MigrateError::StatementBinlog) => ExitCode::Usage,
            Self::Locked(_) | Self::Migrate(MigrateError::Locked) => ExitCode::TryAgain,
            Self::File { .. } | Self::Thread(_) => ExitCode::Unavailable,
            Self::Store(e) | Self::Migrate(MigrateError::Store(e)) => {
                if e.is_unavailable() || e.is_contended() {
                    ExitCode::Unavailable
                } else {
                    ExitCode::Internal
                }
            }
        }
    }
}
