//! The rules. No SQL, no HTTP.

pub mod accounts;
pub mod auth;
pub mod booking;
pub mod caches;
mod cursor;
mod error;
pub mod mirror;
pub mod page;

pub use error::{Error, FieldError};
