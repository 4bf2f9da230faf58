//! Bad input, against the real binary on every kind of database: a documented answer or a closed connection, never a
//! 5xx, a panic, a leak of SQL or secrets, or growth in memory; and afterwards it serves as before.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "this is code of tests"
)]

#[path = "../raw/mod.rs"]
mod raw;

mod bodies;
mod cases;
mod feed;
mod framing;
mod headers;
mod queries;
mod requests;
mod seeds;
mod slow;
mod unreadable;
mod victim;
