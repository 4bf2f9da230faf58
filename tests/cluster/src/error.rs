use std::path::PathBuf;

/// Why there is no cluster, in words that say what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something has to be installed, or be given.
    #[error("{0}")]
    Missing(String),
    /// A file or folder could not be used.
    #[error("{}: {cause}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A program could not be started.
    #[error("{program}: {cause}")]
    Start {
        /// Which one.
        program: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A command failed.
    #[error("{command} failed: {said}")]
    Command {
        /// The command, as one would write it.
        command: String,
        /// The end of what it printed.
        said: String,
    },
    /// A program of the cluster ended, or did not become ready.
    #[error("{program} {what}; the end of its log:\n{log}")]
    Program {
        /// Which one.
        program: String,
        /// What happened.
        what: String,
        /// The end of its log.
        log: String,
    },
    /// A certificate could not be made.
    #[error("a certificate for {subject}: {cause}")]
    Certificate {
        /// Whose.
        subject: String,
        /// What was wrong.
        cause: rcgen::Error,
    },
    /// Something was not as it must be.
    #[error("{0}")]
    Unexpected(String),
}

/// What fails with an [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// For `map_err`: the cause with the path that it is about.
    pub(crate) fn at(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |cause| Self::File { path, cause }
    }
}
