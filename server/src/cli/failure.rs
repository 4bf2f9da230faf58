use std::fmt;

use sageapi_contract::ExitCode;

use crate::config::ConfigErrors;
use crate::domain::Error;
use crate::env::OpenError;
use crate::store;
use crate::sync::SyncError;

/// Why a command failed, and its exit code.
#[derive(Debug)]
pub struct Failure {
    pub code: ExitCode,
    message: String,
}

impl Failure {
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: ExitCode::Usage, message: message.into() }
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self { code: ExitCode::Internal, message: message.into() }
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { code: ExitCode::Unavailable, message: message.into() }
    }

    /// The same failure with a prefix.
    pub fn about(self, what: &str) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::usage(errors.to_string())
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self { code: error.exit_code(), message: error.to_string() }
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        let code = match &error {
            error if error.is_unavailable() => ExitCode::Unavailable,
            error if error.is_contended() => ExitCode::TryAgain,
            _ => ExitCode::Internal,
        };
        Self { code, message: error.to_string() }
    }
}

impl From<SyncError> for Failure {
    fn from(error: SyncError) -> Self {
        let code = match &error {
            SyncError::Held(_) | SyncError::Overlap(_) => ExitCode::TryAgain,
            SyncError::Configuration { .. } | SyncError::Unconfigured(_) => ExitCode::Usage,
            SyncError::Source(_) | SyncError::Endless(_) | SyncError::Store(_) | SyncError::Stopped => {
                ExitCode::Unavailable
            }
        };
        Self { code, message: error.to_string() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if let Error::Item { index, error } = error {
            return Self::from(*error).about(&format!("item {index}"));
        }
        let fields = match &error {
            Error::Invalid(fields) | Error::AmountInvalid(fields) | Error::UnknownField(fields) => {
                fields.iter().map(|f| format!("; {}: {}", f.field, f.message)).collect()
            }
            Error::StoreUnavailable(cause) | Error::Internal(cause) => format!(": {cause}"),
            _ => String::new(),
        };
        let code = match &error {
            Error::StoreUnavailable(_) => ExitCode::Unavailable,
            Error::Overloaded | Error::TransnoInProgress => ExitCode::TryAgain,
            Error::Internal(_) => ExitCode::Internal,
            _ => ExitCode::Usage,
        };
        Self { code, message: format!("{error}{fields}") }
    }
}
