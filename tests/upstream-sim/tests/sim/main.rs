//! The simulator as its users see it: over HTTP, in this process and as a process of its own.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has to fail")]

mod auth;
mod client;
mod commands;
mod faults;
mod paging;
mod process;
