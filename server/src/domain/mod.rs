//! The rules. No SQL, no HTTP.

pub mod accounts;
pub mod auth;
pub mod booking;
pub mod caches;
mod cursor;
mod error;
#[doc(hidden)]
pub mod fuzz;
pub mod holds;
pub mod keys;
pub mod mirror;
pub mod news;
mod nonces;
pub mod page;
pub mod prices;
pub mod pricing;
pub mod verify;

pub use error::{Error, FieldError};
