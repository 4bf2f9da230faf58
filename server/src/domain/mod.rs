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
pub mod invalidation;
pub mod keys;
pub mod mirror;
mod nonces;
pub mod page;
pub mod prices;
pub mod pricing;
pub mod principal;
pub mod verify;

pub use error::{Error, FieldError};
