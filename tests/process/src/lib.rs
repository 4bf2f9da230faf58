//! What the tests of this crate share: an installation (a database, its servers, its commands), the simulated platform
//! as a process, and connections whose every request is accounted for.
//!
//! What goes wrong here fails a test, so everything panics with a message that says what to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is code of tests")]

pub mod collector;
pub mod connection;
pub mod disk;
pub mod installation;
pub mod load;
pub mod proxy;
pub mod python;
pub mod sim;
pub mod tool;
pub mod waiting;

pub use installation::Installation;
pub use sim::SimProcess;

/// A number from the environment, for tests that can be made longer.
pub fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => {
            text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, which is no number"))
        }
        _ => default,
    }
}
