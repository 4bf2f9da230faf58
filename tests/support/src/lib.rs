//! Real databases, real processes and a signing client for tests.
//!
//! What goes wrong here fails a test, so everything panics with a message that says what to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is code of tests")]

pub mod app;
pub mod client;
pub mod database;
pub mod server;

mod galera;
mod mysqld;
mod offspring;
mod paths;

pub use galera::Galera;
pub use mysqld::{Mysqld, Vendor};
