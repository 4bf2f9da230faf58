//! The REST interface over a real listener, on every kind of database. One module per resource; the contract's rules
//! are tested where a client would meet them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "this is code of tests"
)]

#[path = "../raw/mod.rs"]
mod raw;

mod accounting;
mod admin;
mod auth;
mod auth_keys;
mod balance;
mod batch;
mod concurrency;
mod events;
mod holds;
mod idempotency;
mod ids;
mod instances;
mod lists;
mod mirror;
mod neighbours;
mod pricing;
mod problems;
mod reversals;
mod site;
mod unready;
mod values;
mod vectors;
