//! The rules. No SQL, no HTTP.

mod error;

pub use error::{Error, FieldError};
