//! The rules. No SQL, no HTTP.

pub mod accounts;
pub mod admin;
pub mod auth;
pub mod balances;
pub mod booking;
pub mod caches;
mod cursor;
mod error;
pub mod holds;
pub mod invalidation;
pub mod keys;
pub mod list;
pub mod mirror;
pub mod mirrored_users;
pub mod nonces;
pub mod page;
pub mod prices;
pub mod pricing;
pub mod principal;
pub mod quota;
pub mod sign_in;
pub mod usage;
pub mod verify;

pub use cursor::{Listing, Position};
pub use error::{Error, FieldError};
